"""BERT's WordPiece with BLIP's two additions: [DEC] opens a text to be generated, [ENC] one that looks at a picture.

The first id is overwritten by whoever needs another task; tokenisation itself always gives [CLS] ... [SEP].
"""

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AddedToken, BertTokenizer

from blipvid.core.errors import CheckpointError, ConfigError
from blipvid.models.hub import hub_file

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


class Tokenizer:
    """Turns texts into padded ids.

    Attributes:
        pad, cls, sep, dec, enc: Ids of the special tokens.
    """

    def __init__(self, bert: BertTokenizer) -> None:
        """Adds [DEC] and [ENC], in this order, to a BERT tokenizer.

        Source: salesforce/BLIP models/blip.py `init_tokenizer`; with the BERT vocabulary they get 30522 and 30523.
        """
        # parity: the slow tokenizer of the official code knows [MASK] only where it stands alone, not in "[MASK]ed"
        # (tests/parity/test_text.py)
        alone = [AddedToken(token, single_word=True, normalized=False, special=True) for token in SPECIAL_TOKENS]
        bert.add_tokens(alone, special_tokens=True)
        bert.add_tokens(["[DEC]"], special_tokens=True)
        bert.add_tokens(["[ENC]"], special_tokens=True)
        self._bert = bert
        self.pad, self.cls, self.sep, self.dec, self.enc = (
            bert.get_vocab()[token] for token in ("[PAD]", "[CLS]", "[SEP]", "[DEC]", "[ENC]")
        )

    def __len__(self) -> int:
        return len(self._bert)

    def __call__(
        self, texts: Sequence[str], max_tokens: int | None = None, pad_to: int | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokenises texts.

        Args:
            texts: Q cleaned texts.
            max_tokens: Longest text in word pieces, [CLS] and [SEP] counted; cut from the right, [SEP] kept.
            pad_to: Width of the result; the longest text where None.

        Returns:
            Ids (Q, L) int64, right-padded, and mask (Q, L) int64, 1 for tokens.
        """
        batch = self._bert(
            list(texts),
            padding="max_length" if pad_to else "longest",
            truncation=max_tokens is not None,
            max_length=pad_to or max_tokens,
            return_tensors="pt",
            return_token_type_ids=False,
        )
        return batch["input_ids"], batch["attention_mask"]

    def decode(self, ids: Sequence[int]) -> str:
        """Returns the text of ids without special tokens, BERT's blanks before punctuation taken out."""
        return str(self._bert.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=True))

    def pieces(self) -> list[str]:
        """Returns the vocabulary in the order of its ids, without [DEC] and [ENC]."""
        by_id = sorted(self._bert.get_vocab().items(), key=lambda item: item[1])
        return [piece for piece, _ in by_id if piece not in ("[DEC]", "[ENC]")]

    def save(self, folder: Path) -> None:
        """Writes the tokenizer's files for Hugging Face loaders."""
        self._bert.save_pretrained(str(folder))


def load_tokenizer(vocab: str | Path) -> Tokenizer:
    """Loads a tokenizer.

    Args:
        vocab: Path of a WordPiece vocabulary, one piece a line, or the name of a hub repository that holds a vocab.txt.

    Returns:
        The tokenizer with [DEC] and [ENC].

    Raises:
        ConfigError: The file lacks a special token, or the name can be found neither on the hub nor in its cache.
    """
    path = Path(vocab)
    if not path.is_file():
        if path.suffix or path.is_absolute():
            raise ConfigError(f"{path}: no such vocabulary file; key 'vocab'.")
        try:
            path = hub_file(str(vocab), ["vocab.txt"])
        except CheckpointError as error:
            raise ConfigError(
                f"vocabulary '{vocab}' cannot be had ({error}); "
                "or set 'vocab' in the model file to the path of a vocab.txt."
            ) from error
    pieces = set(path.read_text(encoding="utf-8").splitlines())
    absent = [token for token in SPECIAL_TOKENS if token not in pieces]
    if absent:
        raise ConfigError(f"{path}: is no WordPiece vocabulary, it lacks {', '.join(absent)}; key 'vocab'.")
    return Tokenizer(BertTokenizer(vocab=str(path), do_lower_case=True))
