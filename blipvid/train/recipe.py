"""Training recipes: what a person writes to say how a model is made, checked before any work starts."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from blipvid.core.config import Seed, Settings, did_you_mean, read_yaml, validate
from blipvid.core.errors import ConfigError
from blipvid.core.places import definitions
from blipvid.core.settings import PROMPT
from blipvid.train.backbones import WEIGHT_FILES
from blipvid.train.pictures.settings import Pictures


class Losses(Settings):
    """What every objective may say.

    Attributes:
        max_tokens: Longest caption or question in word pieces, the two special ones counted.
        text_dropout: Whether the text towers drop out in training, as BERT does.
        drop_path: Largest stochastic-depth rate of the vision tower; the official code has 0.1 for VQA, for NLVR2 and
            for every ViT-L.
    """

    max_tokens: int = Field(default=35, ge=3)
    text_dropout: bool = True
    drop_path: float = Field(default=0.0, ge=0, lt=1)


class Momentum(Settings):
    """Momentum distillation and the queue of contrastive learning.

    Attributes:
        momentum: Share of a weight of the momentum towers that stays at each step.
        queue: Embeddings of each side that are kept as candidates, a multiple of the pictures of a step over all
            processes.
        alpha: Weight of the momentum towers' opinion in the targets, once it is fully there.
        alpha_epochs: It rises linearly over the first so many epochs.

    Source of the numbers: salesforce/BLIP configs/retrieval_coco.yaml, pretrain.yaml (the same there).
    """

    momentum: float = Field(default=0.995, ge=0, lt=1)
    queue: int = Field(default=57600, ge=1)
    alpha: float = Field(default=0.4, ge=0, le=1)
    alpha_epochs: float = Field(default=1.0, gt=0)

    def alpha_at(self, epochs: float) -> float:
        """Returns the weight after so many epochs, fractions included."""
        return self.alpha * min(1.0, epochs / self.alpha_epochs)


class ContrastiveLosses(Losses):
    """ITC and ITM.

    Attributes:
        temperature: Begin of the learnt temperature that similarities are divided by.
        momentum: Momentum towers and queue; None compares within the batch alone.
    """

    temperature: float = Field(default=0.07, gt=0)
    momentum: Momentum | None = Momentum()

    @property
    def compares(self) -> bool:
        """Whether pictures and texts of a batch are compared, for which it takes two of each."""
        return True


class Weights(Settings):
    """What each loss of pre-training counts; the official code and the paper have 1 for all.

    Attributes:
        itc: Contrastive.
        itm: Matching.
        lm: Language model.
    """

    itc: float = Field(default=1.0, ge=0)
    itm: float = Field(default=1.0, ge=0)
    lm: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _something_counts(self) -> "Weights":
        if not (self.itc or self.itm or self.lm):
            raise ValueError("at least one of 'itc', 'itm' and 'lm' must count something")
        return self


class PretrainLosses(ContrastiveLosses):
    """ITC, ITM and LM, as in pre-training.

    Attributes:
        kind: The word that chooses this objective.
        weights: What each loss counts. LM is left out where it counts nothing, ITC and ITM where both count nothing:
            ITM needs the similarities of ITC.
    """

    kind: Literal["pretrain"]
    max_tokens: int = Field(default=30, ge=3)
    momentum: Momentum | None = Momentum(alpha_epochs=2.0)
    weights: Weights = Weights()

    @property
    def compares(self) -> bool:
        """Says so where ITC or ITM counts; LM takes each picture alone."""
        return bool(self.weights.itc or self.weights.itm)


class RetrievalLosses(ContrastiveLosses):
    """ITC and ITM, as in retrieval fine-tuning.

    Attributes:
        kind: The word that chooses this objective.
        negatives_of_all: Whether hard negatives come from the batches of all processes, not the own one alone.
    """

    kind: Literal["retrieval"]
    negatives_of_all: bool = True


class CaptionLosses(Losses):
    """LM loss of captions, as in fine-tuning for captioning.

    Attributes:
        kind: The word that chooses this objective.
        prompt: What every caption begins with; it is not learnt.
    """

    kind: Literal["caption"]
    max_tokens: int = Field(default=40, ge=3)
    prompt: str = PROMPT


class VqaLosses(Losses):
    """LM loss of answers, as in VQA fine-tuning.

    Attributes:
        kind: The word that chooses this objective.
    """

    kind: Literal["vqa"]
    drop_path: float = Field(default=0.1, ge=0, lt=1)


class NlvrLosses(Losses):
    """Cross entropy of true and false, as in fine-tuning on NLVR2.

    Attributes:
        kind: The word that chooses this objective.

    Source of the numbers: salesforce/BLIP models/blip_nlvr.py, where sentences are not cut.
    """

    kind: Literal["nlvr"]
    drop_path: float = Field(default=0.1, ge=0, lt=1)
    max_tokens: int = Field(default=512, ge=3)


class VisdialLosses(Losses):
    """Matching loss of dialogs, as in fine-tuning on VisDial.

    Attributes:
        kind: The word that chooses this objective.
        max_tokens: Longest dialog in word pieces; 512 is all that the text tower has positions for.
    """

    kind: Literal["visdial"]
    max_tokens: int = Field(default=512, ge=3)


Beta = Annotated[float, Field(ge=0, lt=1)]


class Optimiser(Settings):
    """AdamW with weight decay on all parameters, as in the official code.

    Attributes:
        lr: Highest learning rate.
        weight_decay: Decoupled weight decay.
        betas: Decay of the two moments.
        clip_norm: Gradients are scaled down to at most this norm; None leaves them.
    """

    lr: float = Field(gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    clip_norm: float | None = Field(default=None, gt=0)


class Schedule(Settings):
    """How the learning rate goes.

    Attributes:
        kind: `cosine` falls to `min_lr` along half a cosine, `step` multiplies by `decay`, `constant` stays.
        min_lr: Lower bound.
        decay: Factor of `step`.
        per: Whether the rate changes at every step, or at every epoch as in the official code.
        warmup_steps: Steps of linear warm-up, which go before everything else.
        warmup_lr: Learning rate at step 0 of the warm-up.
    """

    kind: Literal["cosine", "step", "constant"] = "cosine"
    min_lr: float = Field(default=0.0, ge=0)
    decay: float = Field(default=0.9, gt=0, le=1)
    per: Literal["step", "epoch"] = "step"
    warmup_steps: int = Field(default=0, ge=0)
    warmup_lr: float = Field(default=1e-6, ge=0)


class Validation(Settings):
    """A benchmark that is run while training, by the same code as on the command line.

    Attributes:
        benchmark: Name or path of a benchmark file.
        metric: The one that decides which model is the best, for instance `t2v_r1`; higher is better.
        every_steps: Steps between two validations; there is always one after the last step.
        limit: Clips to keep of the benchmark; None takes all.
    """

    benchmark: str
    metric: str
    every_steps: int = Field(ge=1)
    limit: int | None = Field(default=None, ge=1)


class Recipe(Settings):
    """One training recipe.

    Attributes:
        name: File stem, and the name of the output folder.
        about: One line on what comes out of it.
        model: Model file (name or path) whose sizes are built.
        start_from: Trained model (name or path), of this or another kind, whose towers and heads are taken over where
            this model has them too; None starts from chance.
        start_vision: Vision transformer of timm, or its weight file, that the vision tower starts with.
        start_text: BERT on the hub, or its folder, that the text towers start with.
        start_std: Standard deviation that the weights of linear maps, embeddings and position tables start with if
            they are not taken over; None leaves the official 0.02, which is made for a width of 768 and makes a narrow
            tower wait long at chance.
        start_waves: Height of sines and cosines of row and column that are added to the position table, so that places
            are learnt soon; None adds none.
        pictures: The data.
        objective: The losses.
        optimiser: AdamW.
        schedule: Learning rate over the steps.
        steps: How many optimiser steps; or
        epochs: How many passes over the data.
        epoch_steps: Steps of one epoch, where that is not one pass over the data; a training of `steps` on pictures
            drawn without end is one epoch.
        accumulate: Batches whose gradients are added up for one step.
        compile: Whether the vision tower is compiled.
        recompute_blocks: So many of its last blocks keep nothing for the way back and are computed twice (gradient
            checkpointing): less memory, more time, the same numbers.
        validation: What is measured on the way; None measures nothing.
        seed: Of everything that is left to chance.
        precision: `fp32`, or `bf16`/`fp16` mixed precision.
        checkpoint_steps: A killed run goes on from the last multiple of this many steps.
    """

    name: str
    about: str = ""
    model: str
    start_from: str | None = None
    start_vision: str | None = None
    start_text: str | None = None
    start_std: float | None = Field(default=None, gt=0)
    start_waves: float | None = Field(default=None, gt=0)
    pictures: Pictures
    objective: Annotated[
        PretrainLosses | RetrievalLosses | CaptionLosses | VqaLosses | NlvrLosses | VisdialLosses,
        Field(discriminator="kind"),
    ]
    optimiser: Optimiser
    schedule: Schedule = Schedule()
    steps: int | None = Field(default=None, ge=1)
    epochs: int | None = Field(default=None, ge=1)
    epoch_steps: int | None = Field(default=None, ge=1)
    accumulate: int = Field(default=1, ge=1)
    compile: bool = False
    recompute_blocks: int = Field(default=0, ge=0)
    validation: Validation | None = None
    seed: Seed = 42
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    checkpoint_steps: int = Field(default=500, ge=1)

    @model_validator(mode="after")
    def _fits_together(self) -> "Recipe":
        wrong = list(self._wrong_rates())
        if (self.steps is None) == (self.epochs is None):
            wrong.append("give one of 'steps' and 'epochs'")
        if isinstance(self.objective, ContrastiveLosses) and self.objective.compares and self.pictures.batch_size < 2:
            kind = self.objective.kind
            wrong.append(f"objective '{kind}' compares the pictures of a batch; make 'pictures.batch_size' 2 or more")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def _wrong_rates(self) -> Iterator[str]:
        rates = {"min_lr": self.schedule.min_lr}
        if self.schedule.warmup_steps:
            rates["warmup_lr"] = self.schedule.warmup_lr
        for key, rate in rates.items():
            if rate > self.optimiser.lr:
                yield f"'schedule.{key}' {rate:g} is above 'optimiser.lr' {self.optimiser.lr:g}, the highest rate"


def list_recipes() -> list[str]:
    """Returns the names of the shipped recipes, sorted."""
    return sorted(path.stem for path in definitions("configs/train").glob("*.yaml"))


def load_recipe(name_or_path: str) -> Recipe:
    """Reads a recipe.

    Args:
        name_or_path: A shipped name, or the path of a `.yaml` file; a model named by path is relative to that file.

    Returns:
        The checked recipe.

    Raises:
        ConfigError: No such recipe, or mistakes in the file, all named.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = definitions("configs/train") / f"{name_or_path}.yaml"
        if not path.is_file():
            hint = did_you_mean(name_or_path, list_recipes()) or f" Known: {', '.join(list_recipes())}."
            raise ConfigError(f"unknown recipe '{name_or_path}'.{hint} A file of your own is given by its path.")
    recipe = validate(Recipe, read_yaml(path), path)
    beside = {key: _beside(getattr(recipe, key), path.parent) for key in ("model", "start_from", "start_vision")}
    return recipe.model_copy(update=beside)


def _beside(model: str | None, folder: Path) -> str | None:
    return str((folder / model).resolve()) if model and model.endswith((".yaml", ".yml", *WEIGHT_FILES)) else model
