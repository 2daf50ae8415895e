"""BLIP for captioning: the vision tower, and a decoder that looks at the picture.

Knows no frames and no clips: a clip is its tokens.
"""

import torch

from blipvid.core.features import Answer, Features
from blipvid.models.blip import BlipModel
from blipvid.models.decoder import MedDecoder
from blipvid.models.generation import Rules, beam_search, greedy
from blipvid.models.med import Memory
from blipvid.models.spec import ModelSpec
from blipvid.models.tokenizer import Tokenizer

PROMPT = "a picture of "
"""What every caption begins with, unseen. Source: salesforce/BLIP configs/caption_coco.yaml."""


class BlipCaptioner(BlipModel):
    """Vision tower and caption decoder with official parameter names.

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

    def remember(self, tokens: torch.Tensor) -> Memory:
        """Makes the memory of one clip from its tokens (N*T, D)."""
        return self.text_decoder.remember(tokens[None].to(self.device))

    def start(self, prompt: str) -> torch.Tensor:
        """Returns the ids (1, L) int64 that captions with this prompt begin with: [DEC] first, no [SEP]."""
        ids = self.tokenizer([prompt])[0][:, :-1].clone()
        ids[:, 0] = self.tokenizer.dec
        return ids.to(self.device)

    def caption(
        self,
        memory: Memory,
        beams: int = 3,
        max_tokens: int = 20,
        min_tokens: int = 5,
        penalty: float = 1.0,
        prompt: str = PROMPT,
    ) -> list[list[Answer]]:
        """Captions everything in a memory by beam search, or greedily with one beam.

        Args:
            memory: M clips or pictures.
            beams: Texts kept at each step.
            max_tokens: Longest caption in word pieces, [DEC] and the prompt counted.
            min_tokens: Shortest caption, counted likewise.
            penalty: Of words that were written already; 1 is none.
            prompt: What captions begin with; it is cut off what is returned.

        Returns:
            For each of the M things at most `beams` captions, the best first.

        Source of the numbers: salesforce/BLIP configs/caption_coco.yaml.
        """
        start = self.start(prompt).repeat(len(memory), 1)
        rules = Rules(self.tokenizer.sep, min(max_tokens, self.max_tokens), min_tokens, penalty)
        with self.precision.context(self.device):
            writing = self.text_decoder.begin(memory)
            if beams == 1:
                found = [[hypothesis] for hypothesis in greedy(writing, start, rules)]
            else:
                found = beam_search(writing, start, rules, beams)
        return [[Answer(self._text(h.ids, prompt), h.score, h.logprob) for h in own] for own in found]

    def _text(self, ids: tuple[int, ...], prompt: str) -> str:
        return self.tokenizer.decode(ids)[len(prompt) :]
