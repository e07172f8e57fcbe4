"""``python -m harness``: the program, where its command is not on the path."""

from harness.cli import main

if __name__ == "__main__":
    main()
