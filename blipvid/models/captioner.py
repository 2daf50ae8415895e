"""BLIP for captioning: the vision tower, and a decoder that looks at the picture.

Knows no frames and no clips: a clip is its tokens.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch

from blipvid.core.errors import ConfigError
from blipvid.core.features import Answer, Features
from blipvid.core.settings import Writing
from blipvid.models.blip import BlipModel
from blipvid.models.decoder import MedDecoder
from blipvid.models.generation import Hypothesis, Rules, beam_search, greedy, nucleus
from blipvid.models.spec import ModelSpec
from blipvid.models.tokenizer import Tokenizer

NUCLEUS_TOP_K = 50
"""Most tokens that nucleus sampling draws from. Source: transformers 4.15, default of `generate`, which the released
code leaves as it is."""

NUCLEUS_PENALTY = 1.1
"""Repetition penalty of nucleus sampling. Source: salesforce/BLIP models/blip.py `BLIP_Decoder.generate`, where the one
that is asked for goes to beam search alone."""


class BlipCaptioner(BlipModel):
    """Vision tower and caption decoder with official parameter names; satisfies `core.protocols.Captioner`.

    Made from the same arguments as every `BlipModel`.

    Source: salesforce/BLIP models/blip.py `BLIP_Decoder`.
    """

    def __init__(
        self, spec: ModelSpec, tokenizer: Tokenizer, image_size: int | None = None, drop_path: float = 0.0
    ) -> None:
        super().__init__(spec, tokenizer, image_size, drop_path)
        self.text_decoder = MedDecoder(spec.text, len(tokenizer), memory_width=spec.vision.width)

    def encode_images(self, pixels: torch.Tensor) -> Features:
        """Encodes pictures (B, 3, S, S) float in [0, 1]; the class tokens serve as embeddings."""
        tokens = self.see(pixels)
        return Features(tokens, tokens[:, 0])

    def start(self, prompt: str) -> torch.Tensor:
        """Returns the ids (1, L) int64 that captions with this prompt begin with: [DEC] first, no [SEP]."""
        ids = self.tokenizer([prompt])[0][:, :-1].clone()
        ids[:, 0] = self.tokenizer.dec
        return ids.to(self.device)

    def caption(self, tokens: torch.Tensor, writing: Writing, seeds: Sequence[int] = ()) -> list[list[Answer]]:
        """Captions clips: by beam search, greedily where there is one beam, or by nucleus sampling.

        Args:
            tokens: (M, N*T, D) of M clips or pictures.
            writing: Prompt, lengths, and how to search. The tower's positions bound `max_tokens` further.
            seeds: M seeds of nucleus sampling, one a clip; not needed otherwise.

        Returns:
            For each clip its captions, the best first: at most `beams`, or the one that was drawn.

        Raises:
            ConfigError: The prompt leaves no room for a caption.
        """
        start = self.start(writing.prompt)
        most = min(writing.max_tokens, self.max_tokens)
        if start.shape[1] >= most:
            raise ConfigError(
                f"the prompt '{writing.prompt}' has {start.shape[1]} tokens with the opening one, which leaves none of "
                f"max_tokens {most} for a caption; shorten it, or raise max_tokens."
            )
        with self.precision.context(self.device):
            found = self._write(tokens.to(self.device), start.repeat(len(tokens), 1), writing, most, seeds)
        shown = self.tokenizer.decode(start[0].tolist())
        cut = len(shown) + (bool(shown) and writing.prompt.endswith(" "))
        return [[Answer(self.tokenizer.decode(h.ids)[cut:], h.score, h.logprob) for h in own] for own in found]

    def _write(
        self, tokens: torch.Tensor, start: torch.Tensor, writing: Writing, most: int, seeds: Sequence[int]
    ) -> list[list[Hypothesis]]:
        writer = self.text_decoder.begin(self.text_decoder.remember(tokens))
        rules = Rules(self.tokenizer.sep, most, writing.min_tokens, writing.repetition_penalty)
        if writing.search == "nucleus":
            rules = replace(rules, repetition_penalty=NUCLEUS_PENALTY)
            generators = [torch.Generator().manual_seed(seed) for seed in seeds]
            return [[text] for text in nucleus(writer, start, rules, writing.top_p, NUCLEUS_TOP_K, generators)]
        if writing.beams == 1:
            return [[text] for text in greedy(writer, start, rules)]
        return beam_search(writer, start, rules, writing.beams)
