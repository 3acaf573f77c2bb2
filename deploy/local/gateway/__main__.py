"""`python -m deploy.local.gateway`."""

from deploy.local.gateway.app import main

if __name__ == "__main__":
    main()
