"""An answering model whose answers follow from clip, question and visible positions alone, and sets to ask it about.

Every number is small and whole, so that equal losses are common and nothing depends on rounding.
"""

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import torch

from blipvid.core.features import Answer, Features, QuestionStates, RankedAnswers
from blipvid.core.types import Clip

WORDS = ("dog", "Dog.", "a dog", "two", "2", "cat", "none")


def code(text: str) -> int:
    """A number for a text, the same in every process."""
    return crc32(text.encode()) % 97


class Echo:
    """Satisfies ImageEncoder and Answerer of core.protocols; clips come from `replay.Loader`.

    Attributes:
        remembered: Clips whose memory was made, in order.
        reads: (clip, question, padded_to) of each question read, in order.
        portions: Questions in each call of `read_questions`.
        lists: Answer lists that were prepared.
    """

    def __init__(self) -> None:
        self.remembered: list[int] = []
        self.reads: list[tuple[int, str, int | None]] = []
        self.portions: list[int] = []
        self.lists: list[tuple[str, ...]] = []

    def encode_images(self, pixels: torch.Tensor) -> Features:
        clip = (pixels[:, 0, 0, 0] * 255).round() - 2
        return Features(clip[:, None, None].expand(-1, 3, 2), torch.ones(len(pixels), 2))

    def remember(self, tokens: torch.Tensor) -> int:
        assert tokens.ndim == 2
        assert len(tokens.unique()) == 1
        self.remembered.append(int(tokens[0, 0]))
        return self.remembered[-1]

    def count_tokens(self, questions: Sequence[str], max_tokens: int) -> torch.Tensor:
        return torch.tensor([min(len(question.split()) + 2, max_tokens) for question in questions])

    def read_questions(
        self, memory: int, questions: Sequence[str], max_tokens: int, padded_to: int | None = None
    ) -> QuestionStates:
        self.portions.append(len(questions))
        self.reads += [(memory, question, padded_to) for question in questions]
        counts = self.count_tokens(questions, max_tokens)
        length = padded_to or int(counts.max())
        assert length >= int(counts.max())
        mask = (torch.arange(length) < counts[:, None]).long()
        states = torch.full((len(questions), length, 2), torch.nan if padded_to is None else 7.0 + memory)
        for row, question in enumerate(questions):
            for place, word in enumerate(["[ENC]", *question.split(), "[SEP]"][: int(counts[row])]):
                states[row, place] = code(f"{memory} {place} {word}")
        return QuestionStates(states, mask, torch.tensor([len(text.split()) + 2 > max_tokens for text in questions]))

    def _seen(self, states: QuestionStates) -> list[int]:
        return [int(own[mask.bool()].sum()) for own, mask in zip(states.states, states.mask, strict=True)]

    def generate_answers(
        self, questions: QuestionStates, beams: int, max_tokens: int, min_tokens: int
    ) -> list[list[Answer]]:
        spread = 7 * beams + 11 * max_tokens + 13 * min_tokens
        return [
            [
                Answer(WORDS[(seen + spread + beam) % len(WORDS)], -(seen % 5) - beam - 0.25, -9.0)
                for beam in range(beams)
            ]
            for seen in self._seen(questions)
        ]

    def list_answers(self, answers: Sequence[str]) -> tuple[str, ...]:
        self.lists.append(tuple(answers))
        return self.lists[-1]

    def rank_answers(self, questions: QuestionStates, answers: tuple[str, ...], top_k: int) -> RankedAnswers:
        rows = [
            sorted(range(len(answers)), key=lambda place, seen=seen: ((seen + 7 * place) % 11, place))[:top_k]
            for seen in self._seen(questions)
        ]
        return self.score_answers(questions, answers, torch.tensor(rows))

    def score_answers(self, questions: QuestionStates, answers: tuple[str, ...], index: torch.Tensor) -> RankedAnswers:
        losses = [
            [float((seen * 3 + code(answers[place])) % 4) for place in own]
            for seen, own in zip(self._seen(questions), index.tolist(), strict=True)
        ]
        return RankedAnswers(index, torch.tensor(losses), -torch.tensor(losses) - 0.5)


def clips(n: int) -> tuple[Clip, ...]:
    """Returns n clips that `replay.Loader` can draw."""
    return tuple(Clip(f"clip{v}", Path(f"{v}.mp4")) for v in range(n))
