"""One step of each recorded case on one of two processes, each with its half of the first batch; see test_two_ranks.py.

Run by torchrun: python -m torch.distributed.run --nproc_per_node 2 -m tests.train.on_two_ranks GOLDENS OUT
"""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn

from blipvid.train.objectives.gather import rank
from blipvid.train.objectives.pretrain import PretrainObjective
from blipvid.train.objectives.retrieval import RetrievalObjective
from blipvid.train.pictures.batches import CaptionBatch
from blipvid.train.recipe import Momentum, PretrainLosses, RetrievalLosses
from blipvid.train.start import take_over_training_state
from tests.load_goldens import Case, Goldens
from tests.parity.official import pretrained_of, retriever_of
from tests.train.recorded import batches_of, draw_by_argmax

GRADIENTS = (
    "visual_encoder.patch_embed.proj.weight",
    "vision_proj.weight",
    "text_encoder.embeddings.word_embeddings.weight",
    "itm_head.weight",
)


def half(batch: CaptionBatch) -> CaptionBatch:
    """Returns the rows of a batch that this process trains on."""
    own = slice(rank() * 3, rank() * 3 + 3)
    return CaptionBatch(batch.pixels[own], batch.captions[own], batch.ids[own])


def momentum_of(case: Case) -> Momentum:
    """Returns the recorded settings; epochs done are the recorded alpha."""
    return Momentum(momentum=case.config["momentum"], queue=case.config["queue_size"], alpha=1.0, alpha_epochs=1.0)


def step(objective: Any, case: Case, batch: CaptionBatch, alpha: float) -> dict[str, torch.Tensor]:
    """Does one step forwards and backwards, and returns what the recording holds of it."""
    take_over_training_state(objective, case.tensors("weights"))
    objective.before_batch()
    with pytest.MonkeyPatch.context() as patch:
        weights = draw_by_argmax(patch)
        losses = objective.eval()(half(batch), alpha)
    sum(losses.values()).backward()
    queue, drawn = objective.contrast.queue, torch.cat(weights)
    model: nn.Module = objective.model
    norms = {f"gradnorm/{name}": model.get_parameter(name).grad.norm() for name in GRADIENTS}  # type: ignore[union-attr]
    return norms | {
        "losses": torch.stack(list(losses.values())).detach(),
        "neg_weights": drawn,
        "neg_index": drawn.argmax(1),
        "image_queue": queue.image_queue,
        "text_queue": queue.text_queue,
        "idx_queue": queue.idx_queue,
        "pointer": queue.ptr_queue,
    }


def main() -> None:
    """Does all cases and writes what this process saw."""
    goldens, out = Goldens(Path(sys.argv[1])), Path(sys.argv[2])
    torch.set_num_threads(1)
    dist.init_process_group("gloo")
    values, found = goldens["two_ranks"].meta["values"], {}
    case = goldens["retrieval_train"]
    batch = batches_of(case, [values["idx"]] * 3)[0]
    for of_all in (False, True):
        model = retriever_of(goldens, "retrieval_train").requires_grad_(requires_grad=True)
        losses = RetrievalLosses(kind="retrieval", momentum=momentum_of(case), negatives_of_all=of_all)
        name = f"retrieval_allrank{of_all}"
        found[name] = step(RetrievalObjective(model, losses), case, batch, values["alpha_retrieval"])
    case = goldens["pretrain"]
    objective = PretrainObjective(pretrained_of(goldens), PretrainLosses(kind="pretrain", momentum=momentum_of(case)))
    found["pretrain"] = step(objective, case, batches_of(case, [[0] * 6] * 3)[0], values["alpha_pretrain"])
    torch.save(found, out / f"rank{rank()}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
