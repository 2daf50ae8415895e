"""One recipe from beginning to end: build the model, train it, write it where `--model` finds it."""

from collections.abc import Callable
from pathlib import Path

from accelerate.utils import set_seed
from torch import nn

from blipvid.core.errors import CapabilityError
from blipvid.models.convert import convert
from blipvid.models.retriever import BlipRetriever
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
    spec = load_spec(recipe.model)
    set_seed(recipe.seed)
    model = _begin(recipe.start_from) if recipe.start_from else build(spec)
    if recipe.start_std is not None:
        draw_weights(model, recipe.start_std)
    objective = RetrievalObjective(model, recipe.objective)
    trained = train(objective, recipe, spec.image_size, folder, device, report)
    return convert(trained.model.eval(), spec, "blipvid", folder / "model", spec.image_size)


def _begin(name: str) -> BlipRetriever:
    model = load_model(name).model
    if not isinstance(model, BlipRetriever):
        raise CapabilityError(f"model '{name}' is no retrieval model; key 'start_from' of the recipe.")
    return model.requires_grad_()


def draw_weights(model: nn.Module, std: float) -> None:
    """Draws the weights of linear maps, embeddings and position tables anew, normal and cut off at two deviations."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.trunc_normal_(module.weight, std=std, a=-2 * std, b=2 * std)
    for name, parameter in model.named_parameters():
        if name.endswith("pos_embed"):
            nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std)
