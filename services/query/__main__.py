"""`python -m services.query`."""

from libs.stopping import exit_when_told

if __name__ == "__main__":
    exit_when_told()  # to import the rest takes a second
    from services.query.app import main

    main()
