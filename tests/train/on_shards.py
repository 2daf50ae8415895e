"""A training whose weights lie in shards, on one of several processes without accelerators; see test_sharded.py.

Run by torchrun: python -m torch.distributed.run --nproc_per_node 2 -m tests.train.on_shards RECIPE OUT DATA [KILLED]
"""

import shutil
import sys
from pathlib import Path

from accelerate import PartialState
from accelerate.utils import DistributedType

from blipvid.train.loop import Step
from blipvid.train.recipe import load_recipe
from blipvid.train.run import run


def main() -> None:
    """Trains, and leaves in KILLED what would be left if it were killed after the fifth step."""
    recipe, out, data, *killed = sys.argv[1:]

    def report(step: Step) -> None:
        if killed and step.number == 5:
            shutil.copytree(out, killed[0])

    PartialState(cpu=True)
    # accelerate shards on accelerators alone, and believes whoever says that these are some
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_GPU
    run(load_recipe(recipe), Path(out), "cpu", report, Path(data))


if __name__ == "__main__":
    main()
