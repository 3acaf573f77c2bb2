"""`python -m services.processor`."""

from libs.stopping import exit_when_told

if __name__ == "__main__":
    exit_when_told()  # to import the rest takes a second
    from services.processor.app import main

    main()
