"""One recipe from beginning to end: build the model, train it, write it where `--model` finds it."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from accelerate import PartialState

from blipvid.core.errors import TrainingError
from blipvid.models.convert import convert
from blipvid.models.zoo import load_spec
from blipvid.train.curves import draw_curves
from blipvid.train.loop import Step, train
from blipvid.train.objectives.captioning import CaptionObjective
from blipvid.train.objectives.nlvr import NlvrObjective
from blipvid.train.objectives.objective import Objective
from blipvid.train.objectives.pretrain import PretrainObjective
from blipvid.train.objectives.retrieval import RetrievalObjective
from blipvid.train.objectives.visdial import VisdialObjective
from blipvid.train.objectives.vqa import VqaObjective
from blipvid.train.recipe import (
    CaptionLosses,
    ContrastiveLosses,
    Losses,
    NlvrLosses,
    PretrainLosses,
    Recipe,
    RetrievalLosses,
    VisdialLosses,
    VqaLosses,
)
from blipvid.train.start import first_model, inherit_training_state
from blipvid.train.states import check_folder, last_whole
from blipvid.train.validation import Validator

OBJECTIVES: dict[type[Losses], type[Objective[Any, Any, Any]]] = {
    PretrainLosses: PretrainObjective,
    RetrievalLosses: RetrievalObjective,
    CaptionLosses: CaptionObjective,
    VqaLosses: VqaObjective,
    NlvrLosses: NlvrObjective,
    VisdialLosses: VisdialObjective,
}

MODEL = "model"
"""Folder below that of a run for what came out of it."""


def run(
    recipe: Recipe,
    folder: Path,
    device: str = "auto",
    report: Callable[[Step], None] = lambda step: None,
    data_root: Path | None = None,
    trackers: Sequence[str] = (),
) -> Path:
    """Trains what a recipe describes.

    Args:
        recipe: The recipe.
        folder: For checkpoints, metrics and, below `model`, what came out of it.
        device: `auto` or `cpu`.
        report: Told of every step.
        data_root: Folder below which sets of pictures and the data of the validation lie; None takes $BLIPVID_DATA.
        trackers: Names of accelerate's trackers.

    Returns:
        The model file (`.yaml`) of the trained model, beside its weights and vocabulary.

    Raises:
        ConfigError: The folder holds a run of another recipe or cannot be written, or the objective cannot do
            steps of so many pictures.
        CapabilityError: The objective trains another kind of model than the recipe names.
        TrainingError: See `loop.train`; or the folder cannot be written any more.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))  # as torchrun and accelerate count processes
    check_folder(folder, recipe, world)
    spec = load_spec(recipe.model)
    kind = OBJECTIVES[type(recipe.objective)]
    validator = Validator(recipe.validation, spec, kind.trains, folder, data_root) if recipe.validation else None
    objective = kind(first_model(recipe, spec, kind.trains), recipe.objective)
    if recipe.start_from is not None and isinstance(recipe.objective, ContrastiveLosses):
        inherit_training_state(objective, recipe.start_from)
    objective.check(recipe.pictures.batch_size * world)
    if validator is not None:
        validator.rehearse(objective.model)
    try:
        trained = train(objective, recipe, spec.image_size, folder, device, report, validator, trackers, data_root)
        if PartialState().is_main_process:
            draw_curves(folder, [recipe.validation.metric] if recipe.validation else [])
            convert(trained.eval(), spec, "blipvid", folder / MODEL, spec.image_size)
    except OSError as error:
        raise TrainingError(
            f"{folder}: cannot be written any more ({error}); {last_whole(folder)}. Make room and start the same "
            "command again."
        ) from error
    return folder / MODEL / f"{spec.name}.yaml"
