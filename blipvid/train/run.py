"""One recipe from beginning to end: build the model, train it, write it where `--model` finds it."""

from collections.abc import Callable
from pathlib import Path

from blipvid.models.convert import convert
from blipvid.models.zoo import build, load_model, load_spec
from blipvid.train.finetune import RetrievalObjective
from blipvid.train.loop import Step, train
from blipvid.train.recipe import Recipe


def run(recipe: Recipe, folder: Path, device: str = "auto", report: Callable[[Step], None] = lambda step: None) -> Path:
    """Trains what a recipe describes.

    Args:
        recipe: The recipe.
        folder: For checkpoints, metrics and, below `model`, what came out of it.
        device: `auto` or `cpu`.
        report: Told of every step.

    Returns:
        The model file (`.yaml`) of the trained model, beside its weights and vocabulary.
    """
    from accelerate.utils import set_seed

    spec = load_spec(recipe.model)
    set_seed(recipe.seed)
    model = load_model(recipe.start_from).model.requires_grad_() if recipe.start_from else build(spec)
    objective = RetrievalObjective(model, recipe.objective)
    trained = train(objective, recipe, spec.image_size, folder, device, report)
    return convert(trained.model.eval(), spec, "blipvid", folder / "model", spec.image_size)
