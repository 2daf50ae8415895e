"""The benchmark command: `python run_bench.py [BENCHMARK ...] [--model NAME ...]`; the same as `blipvid bench`."""

import sys

from blipvid.bench.cli import main

if __name__ == "__main__":
    main(["bench", *sys.argv[1:]])
