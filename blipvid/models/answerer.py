"""BLIP for question answering: a question encoder that looks at the picture, a decoder that looks at the question.

The decoder never sees the picture: its memory is the states of the question's tokens. Answers are generated, or the
best of a list is found. Knows no frames and no clips: a clip is its tokens.

Shape legend: Q questions, L question length, A answers in a list, k candidates of a question, N nodes, W words.
"""

from collections.abc import Sequence

import torch

from blipvid.core.features import Answer, Features, QuestionStates, RankedAnswers
from blipvid.models.answer_tree import AnswerTree, Branches, side_by_side
from blipvid.models.blip import BlipModel
from blipvid.models.decoder import MedDecoder
from blipvid.models.generation import Rules, beam_search
from blipvid.models.med import MedEncoder, Memory
from blipvid.models.packed import all_states
from blipvid.models.spec import ModelSpec
from blipvid.models.tokenizer import Tokenizer

LABEL_SMOOTHING = 0.1
"""Of the loss that answers are ranked by. Source: salesforce/BLIP models/med.py, `BertLMHeadModel.forward`."""

NODES_AT_ONCE = 8192
"""Beginnings of answers that go through the decoder at once; bounds memory, changes nothing else."""

LOGITS_AT_ONCE = 2**24
"""Logits that exist at once: 64 MiB in float32."""


class BlipAnswerer(BlipModel):
    """Question encoder and answer decoder with official parameter names; satisfies `core.protocols.Answerer`.

    Made from the same arguments as every `BlipModel`.

    Source: salesforce/BLIP models/blip_vqa.py.
    """

    def __init__(
        self, spec: ModelSpec, tokenizer: Tokenizer, image_size: int | None = None, drop_path: float = 0.0
    ) -> None:
        super().__init__(spec, tokenizer, image_size, drop_path)
        self.text_encoder = MedEncoder(spec.text, len(tokenizer), memory_width=spec.vision.width)
        # the decoder looks at question states, which are as wide as the text tower
        self.text_decoder = MedDecoder(spec.text, len(tokenizer), memory_width=spec.text.width)

    def encode_images(self, pixels: torch.Tensor) -> Features:
        """Encodes pictures (B, 3, S, S) float in [0, 1]; the class tokens serve as embeddings."""
        tokens = self.see(pixels)
        return Features(tokens, tokens[:, 0])

    def remember(self, tokens: torch.Tensor) -> Memory:
        """Makes the memory of one clip from its tokens (N*T, D)."""
        return self.text_encoder.remember(tokens[None].to(self.device))

    def count_tokens(self, questions: Sequence[str], max_tokens: int) -> torch.Tensor:
        """Returns (Q,) int64 tokens that `read_questions` keeps of each question."""
        return self.tokenizer(questions, min(max_tokens, self.max_tokens))[1].sum(1)

    def read_questions(
        self, memory: Memory, questions: Sequence[str], max_tokens: int, padded_to: int | None = None
    ) -> QuestionStates:
        """Reads questions about one clip, all of them as one long query to its memory.

        Args:
            memory: The clip, from `remember`.
            questions: Q cleaned questions.
            max_tokens: Longest question in word pieces with [ENC] and [SEP]; the tower's positions bound it further.
            padded_to: Length up to which padding positions get states as the released code gives them; None pads to
                the longest question, with zeros.

        Returns:
            States (Q, L, D), the true mask, and which questions were cut.
        """
        most = min(max_tokens, self.max_tokens)
        cut = self.tokenizer(questions)[1].sum(1) > most
        ids, mask = self.tokenizer(questions, most, padded_to)
        ids[:, 0] = self.tokenizer.enc
        ids, mask = ids.to(self.device), mask.to(self.device)
        with self.precision.context(self.device):
            if padded_to is None:
                states = all_states(self.text_encoder, ids, mask, memory)
            else:
                states = self.text_encoder(ids, mask, memory)
        return QuestionStates(states, mask, cut)

    def generate_answers(
        self, questions: QuestionStates, beams: int, max_tokens: int, min_tokens: int
    ) -> list[list[Answer]]:
        """Answers each question in the model's own words by beam search.

        Args:
            questions: Q questions; the decoder looks where their mask is 1.
            beams: Texts kept at each step.
            max_tokens: Longest answer in word pieces, [DEC] counted; the tower's positions bound it further.
            min_tokens: Shortest answer, counted likewise.

        Returns:
            For each question at most `beams` answers, the best first.
        """
        start = torch.full((len(questions), 1), self.tokenizer.dec, device=self.device)
        rules = Rules(self.tokenizer.sep, min(max_tokens, self.max_tokens), min_tokens)
        with self.precision.context(self.device):
            writing = self.text_decoder.begin(self.text_decoder.remember(questions.states, questions.mask))
            found = beam_search(writing, start, rules, beams)
        return [[Answer(self.tokenizer.decode(h.ids), h.score, h.logprob) for h in own] for own in found]

    def list_answers(self, answers: Sequence[str]) -> AnswerTree:
        """Prepares A answers for ranking; each keeps at most as many word pieces as the decoder has positions."""
        ids, mask = self.tokenizer(answers, self.max_tokens)
        ids[:, 0] = self.tokenizer.dec
        return AnswerTree(ids, mask)

    def rank_answers(self, questions: QuestionStates, answers: AnswerTree, top_k: int) -> RankedAnswers:
        """Scores the answers whose first token is most probable.

        Args:
            questions: Q questions.
            answers: From `list_answers`.
            top_k: Candidates of each question; all answers where there are fewer, or where it is 0. Of answers that
                tie for the last place, as all with the same first token do, the earlier ones are taken.

        Returns:
            Candidates (Q, k) and their scores.
        """
        k = min(top_k or len(answers), len(answers))
        start = torch.full((len(questions), 1), self.tokenizer.dec, device=self.device)
        with self.precision.context(self.device):
            logits = self.text_decoder.begin(self.text_decoder.remember(questions.states, questions.mask)).step(start)
        first = logits.softmax(1)[:, answers.first.to(self.device)]
        best = first.argsort(dim=1, descending=True, stable=True)[:, :k]
        return self.score_answers(questions, answers, best.cpu())

    def score_answers(self, questions: QuestionStates, answers: AnswerTree, index: torch.Tensor) -> RankedAnswers:
        """Scores given answers.

        Args:
            questions: Q questions.
            answers: From `list_answers`.
            index: (Q, k) int64, positions in the list.

        Returns:
            The candidates as given and, on the CPU in float32, the label-smoothed loss of each, a sum over its tokens
            and so lower for short answers, and its plain log-probability.
        """
        step = max(1, NODES_AT_ONCE // answers.most_nodes(index.shape[1]))
        losses, logprobs = torch.zeros(index.shape), torch.zeros(index.shape)
        for begin in range(0, len(questions), step):
            some = slice(begin, begin + step)
            states = QuestionStates(questions.states[some], questions.mask[some], questions.cut[some])
            branches = side_by_side([answers.among(own) for own in index[some]])
            losses[some], logprobs[some] = self._score(states, branches, index.shape[1])
        return RankedAnswers(index, losses, logprobs)

    def _score(self, questions: QuestionStates, nodes: Branches, k: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns losses and log-probabilities (Q, k) on the CPU."""
        tower, memory = self.text_decoder.bert, self.text_decoder.remember(questions.states, questions.mask)
        with self.precision.context(self.device):
            x = tower.embeddings(nodes.token.to(self.device), nodes.depth.to(self.device))
            x = tower.run(x, nodes.sees[:, None].to(self.device), memory).flatten(0, 1)
        question, candidate, node, word = nodes.edges.unbind(1)
        # padding nodes are nobody's, so their words are not scored
        used, row = torch.unique(question * nodes.token.shape[1] + node, return_inverse=True)
        x, order = x[used.to(self.device)], row.argsort()
        row, word, cell = row[order], word[order], (question * k + candidate)[order]
        losses, logprobs = torch.zeros(len(questions) * k), torch.zeros(len(questions) * k)
        step = max(1, LOGITS_AT_ONCE // len(self.tokenizer))
        for begin in range(0, len(x), step):
            with self.precision.context(self.device):
                logits = self.text_decoder.logits(x[begin : begin + step]).float()
            total, mean = logits.logsumexp(1), logits.mean(1)
            low, high = torch.searchsorted(row, torch.tensor([begin, begin + step])).tolist()
            here = row[low:high].to(self.device) - begin
            plain = total[here] - logits[here, word[low:high].to(self.device)]
            smoothed = (1 - LABEL_SMOOTHING) * plain + LABEL_SMOOTHING * (total[here] - mean[here])
            losses.index_add_(0, cell[low:high], smoothed.cpu())
            logprobs.index_add_(0, cell[low:high], -plain.cpu())
        return losses.view(-1, k), logprobs.view(-1, k)
