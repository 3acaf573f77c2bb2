"""`python -m services.ingest`."""

from libs.stopping import exit_when_told

if __name__ == "__main__":
    exit_when_told()  # to import the rest takes a second
    from services.ingest.app import main

    main()
