"""What an objective is: a model, its losses and the state that only training needs, in one module.

One forward a step, so that training on several devices sees one module; a trained model is a plain model.
"""

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import nn

from blipvid.models.blip import BlipModel
from blipvid.models.med import MedEncoder
from blipvid.train.pictures.batches import Feed
from blipvid.train.recipe import Losses

M = TypeVar("M", bound=BlipModel)
B = TypeVar("B")
S = TypeVar("S", bound=Losses)


class Objective(nn.Module, ABC, Generic[M, B, S]):
    """A model with its losses.

    Args:
        model: The model to train; plain, without training state.
        settings: The objective part of the recipe.

    Attributes:
        trains: The kind of model.
        takes: The kind of batch.
    """

    trains: ClassVar[type[BlipModel]]
    takes: ClassVar[Feed[Any]]

    def __init__(self, model: M, settings: S) -> None:
        super().__init__()
        self.model = model
        self.settings = settings

    def train(self, mode: bool = True) -> "Objective[M, B, S]":
        """Sets training mode; the text towers drop out only where the recipe says so."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, MedEncoder):
                module.train(mode and self.settings.text_dropout)
        return self

    @property
    def max_tokens(self) -> int:
        """Longest text in word pieces: what the recipe says, or what the text tower has positions for."""
        return min(self.settings.max_tokens, self.model.max_tokens)

    @property
    def learns_everything(self) -> bool:
        """Whether every step reaches every learnt parameter, which spares processes looking for those it does not."""
        return True

    def check(self, pictures: int) -> None:
        """Makes sure, before time is spent, that a step of so many pictures over all processes can be done.

        Raises:
            ConfigError: It cannot.
        """

    def before_batch(self) -> None:
        """Changes weights other than by learning; called once before each forward pass in training.

        Such changes belong here, not into the forward pass: where processes hold a shard of each weight, what a forward
        pass sees is a copy.
        """

    @abstractmethod
    def forward(self, batch: B, epochs: float) -> dict[str, torch.Tensor]:
        """Computes the losses of one step.

        Args:
            batch: Of the kind that the objective takes.
            epochs: Epochs done so far, fractions included.

        Returns:
            Named scalars; training minimises their sum.
        """
