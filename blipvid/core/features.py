"""The types that hold tensors: what encoders give and matchers take.

Apart from `types.py` so that decoding processes, which need no torch, start quickly.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True)
class Features:
    """What an image encoder says of B pictures, or, once lifted, of a clip.

    Attributes:
        tokens: (B, T, D) float, all tokens of each picture after the last norm; token 0 is the class token.
        embeds: (B, E) float, class token after the vision projection, or as it is in a model without one; *not*
            normalised for single pictures, because a clip's embedding is the normalised mean over its frames.
    """

    tokens: torch.Tensor
    embeds: torch.Tensor


@dataclass(frozen=True, slots=True)
class KnownClip:
    """A clip that needs no decoding and no encoding, because somebody kept what came of it.

    Attributes:
        features: Tokens (1, N*T, D) and embeds (1, E), float32.
        backend: The reader that gave its frames.
        notes: What was unusual about them.
    """

    features: Features
    backend: str
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Texts:
    """Tokenised and embedded texts.

    Attributes:
        ids: (Q, L) int64, right-padded; first token [CLS].
        mask: (Q, L) int64, 1 for tokens, 0 for padding.
        embeds: (Q, E) float, L2-normalised text embedding.
    """

    ids: torch.Tensor
    mask: torch.Tensor
    embeds: torch.Tensor

    def __len__(self) -> int:
        return self.ids.shape[0]


@dataclass(frozen=True, slots=True)
class QuestionStates:
    """Questions after they have been read together with a clip; what an answer decoder looks at.

    Attributes:
        states: (Q, L, D) float.
        mask: (Q, L) int64, 1 for tokens of the question, 0 for padding.
        cut: (Q,) bool, whether a question was longer than what could be read.
    """

    states: torch.Tensor
    mask: torch.Tensor
    cut: torch.Tensor

    def __len__(self) -> int:
        return self.states.shape[0]


@dataclass(frozen=True, slots=True)
class Answer:
    """One generated answer.

    Attributes:
        text: Without special tokens.
        score: Log-probability divided by the number of tokens, the opening one counted: what beams are compared by.
        logprob: Log-probability of the whole answer, its end included where it was reached.
    """

    text: str
    score: float
    logprob: float


@dataclass(frozen=True, slots=True)
class RankedAnswers:
    """Candidates out of a list, scored for each question.

    Attributes:
        index: (Q, k) int64, positions in the list.
        losses: (Q, k) float32, summed label-smoothed cross entropy of each candidate; lower is better.
        logprobs: (Q, k) float32, plain log-probability of each candidate.
    """

    index: torch.Tensor
    losses: torch.Tensor
    logprobs: torch.Tensor
