"""`python -m blipvid.train`."""

from blipvid.train.cli import main

main()
