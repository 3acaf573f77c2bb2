"""`python -m services.processor`."""

from services.processor.app import main

if __name__ == "__main__":
    main()
