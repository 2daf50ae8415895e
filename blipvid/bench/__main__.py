"""`python -m blipvid.bench`: `blipvid bench`, as torchrun starts it where the package is installed."""

import sys

from blipvid.bench.cli import main

if __name__ == "__main__":
    main(["bench", *sys.argv[1:]])
