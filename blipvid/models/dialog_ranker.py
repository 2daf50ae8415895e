"""BLIP for VisDial: a text tower that reads a dialog about a picture and its caption, and judges the last answer.

Neither code nor weights of this model were released. On record are: what was seen of the picture and read of its
caption is concatenated for the cross-attention of the dialog encoder, which reads all of the history, and the matching
loss tells right answers from wrong ones (Li et al. 2022, section 5.5 and Figure 5); the context is read as text alone,
and what holds the candidate opens with [ENC] (the authors' snippet at salesforce/BLIP#45). The rest is our
reconstruction:

- Caption states stand after the picture's tokens in one memory, as the frames of a clip do, with no mark of which is
  which: two towers have made them, and they tell themselves apart.
- One text tower reads captions and dialogs. Pre-training has taught that very tower both, to read text alone and to
  read it together with a picture, so that no part of the model begins at chance.
- A dialog that is too long loses its beginning, because the answer that is judged stands at its end.

Shape legend: M pictures or clips with a caption each, V tokens of one, Q dialogs, L text length.
"""

from collections.abc import Sequence

import torch
from torch import nn

from blipvid.core.errors import CapabilityError
from blipvid.core.features import Features
from blipvid.models.blip import BlipModel
from blipvid.models.med import MedEncoder, Memory
from blipvid.models.packed import first_states
from blipvid.models.spec import ModelSpec
from blipvid.models.tokenizer import Tokenizer


class BlipDialogRanker(BlipModel):
    """Vision tower, text tower and matching head, under the names that a retriever has for them.

    Satisfies `core.protocols.DialogRanker`.

    Made from the same arguments as every `BlipModel`.

    Raises:
        CapabilityError: The two towers differ in width, so that their states do not fit into one memory.
    """

    def __init__(
        self, spec: ModelSpec, tokenizer: Tokenizer, image_size: int | None = None, drop_path: float = 0.0
    ) -> None:
        if spec.vision.width != spec.text.width:
            raise CapabilityError(
                f"model '{spec.name}': its towers are {spec.vision.width} and {spec.text.width} wide, but a visdial "
                "model looks at pictures and captions in one memory; give 'vision' and 'text' the same width."
            )
        super().__init__(spec, tokenizer, image_size, drop_path)
        self.text_encoder = MedEncoder(spec.text, len(tokenizer), memory_width=spec.vision.width)
        self.itm_head = nn.Linear(spec.text.width, 2)

    def encode_images(self, pixels: torch.Tensor) -> Features:
        """Encodes pictures (B, 3, S, S) float in [0, 1]; the class tokens serve as embeddings."""
        tokens = self.see(pixels)
        return Features(tokens, tokens[:, 0])

    def remember(self, tokens: torch.Tensor, captions: Sequence[str], keep: bool = False) -> Memory:
        """Makes the memory of M things from their tokens (M, V, D) and the cleaned caption of each; see `Memory`."""
        tokens = tokens.to(self.device)
        ids, mask = (part.to(self.device) for part in self.tokenizer(captions, self.max_tokens))
        with self.precision.context(self.device):
            seen_and_read = torch.cat([tokens, self.text_encoder(ids, mask)], dim=1)
        there = torch.cat([mask.new_ones(tokens.shape[:2]), mask], dim=1)
        return self.text_encoder.remember(seen_and_read, keep, mask=there)

    def remember_captioned(self, tokens: torch.Tensor, caption: str) -> Memory:
        """Makes the memory of one clip, for many rounds, from its tokens (N*T, D) and its cleaned caption."""
        return self.remember(tokens[None], [caption], keep=True)

    def judge(self, memory: Memory, dialogs: Sequence[str], max_tokens: int) -> torch.Tensor:
        """Says whether the last answers of dialogs are right.

        Args:
            memory: M things, from `remember`.
            dialogs: Q cleaned dialogs (history, question and a candidate answer), Q a multiple of M; those about one
                thing stand together.
            max_tokens: Longest dialog in word pieces with [ENC] and [SEP]; the tower's positions bound it further.

        Returns:
            (Q, 2) float32 logits, index 1 says that the last answer is right.
        """
        ids, mask = self._read(dialogs, max_tokens)
        with self.precision.context(self.device):
            return self.itm_head(self.text_encoder(ids, mask, memory)[:, 0]).float()

    def score_dialogs(self, memory: Memory, dialogs: Sequence[str], max_tokens: int) -> torch.Tensor:
        """Scores the last answers of dialogs about one thing; the same logits as `judge`, with less work.

        Args:
            memory: The thing, from `remember_captioned`.
            dialogs: Q cleaned dialogs.
            max_tokens: As in `judge`.

        Returns:
            (Q,) float32, the logit that the answer is right minus the one that it is wrong: what the model was trained
            to tell apart, in an order that the probability has too.
        """
        with self.precision.context(self.device):
            logits = self.itm_head(first_states(self.text_encoder, *self._read(dialogs, max_tokens), memory)).float()
        return logits[:, 1] - logits[:, 0]

    def _read(self, dialogs: Sequence[str], max_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns ids and mask (Q, L) of dialogs, on the device, with [ENC] first."""
        ids, mask = keep_ends(*self.tokenizer(dialogs), min(max_tokens, self.max_tokens))
        ids[:, 0] = self.tokenizer.enc
        return ids.to(self.device), mask.to(self.device)


def keep_ends(ids: torch.Tensor, mask: torch.Tensor, most: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Cuts the beginning of right-padded texts with more than `most` tokens; ids and mask (Q, L) int64."""
    too_many = (mask.sum(1, keepdim=True) - most).clamp(min=0)
    places = torch.arange(min(most, ids.shape[1])) + too_many
    return ids.gather(1, places), mask.gather(1, places)
