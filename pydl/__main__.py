"""python -m pydl: the command line."""

import sys

from pydl.cli import main

if __name__ == "__main__":
    sys.exit(main())
