"""``python -m shmclient.cli``."""

from shmclient.cli import main

if __name__ == "__main__":
    main()
