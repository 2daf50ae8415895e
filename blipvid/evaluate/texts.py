"""Encodes captions and other texts that are to meet clips: cleaned, equal ones once, short ones beside short ones."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import pad

from blipvid.core.errors import BlipvidError
from blipvid.core.features import Texts
from blipvid.core.protocols import Progress, TextEncoder
from blipvid.core.text import clean_caption
from blipvid.evaluate.share import ALONE, Share

TEXT_CHUNK = 256
"""Texts encoded at once. Source: salesforce/BLIP eval_retrieval_video.py, `text_bs`."""


def encode_texts(
    captions: Sequence[str],
    model: TextEncoder,
    words: int,
    tokens: int,
    progress: Progress,
    share: Share = ALONE,
    device: str = "cpu",
) -> tuple[Texts, npt.NDArray[np.int64]]:
    """Cleans and encodes texts, equal ones once, short ones beside short ones.

    Args:
        captions: Q captions as annotated.
        model: The text encoder.
        words: Words kept of each caption.
        tokens: Word pieces kept of each, with the two special ones.
        progress: Told of each chunk.
        share: Which chunks this process encodes; afterwards each process has all.
        device: Where those of other processes go.

    Returns:
        The U distinct texts, and for each caption its row among them (Q,).

    Raises:
        BlipvidError: An embedding is not finite.
    """
    cleaned = [clean_caption(caption, words) for caption in captions]
    distinct = sorted(set(cleaned), key=lambda text: (len(text.split()), text))
    row = {text: place for place, text in enumerate(distinct)}
    progress("encoding texts", 0, len(distinct))
    chunks = [distinct[start : start + TEXT_CHUNK] for start in range(0, len(distinct), TEXT_CHUNK)]
    own, done = {}, 0
    for chunk in share.own(len(chunks)):
        own[chunk] = model.encode_texts(chunks[chunk], tokens)
        done += len(chunks[chunk])
        progress("encoding texts", done, len(distinct))
    encoded = list(own.values()) if share.count == 1 else _of_all(own, share, device)
    length = max(part.ids.shape[1] for part in encoded)
    texts = Texts(  # what stands in the ids beyond a text's end does not matter, the mask hides it
        torch.cat([pad(part.ids, (0, length - part.ids.shape[1])) for part in encoded]),
        torch.cat([pad(part.mask, (0, length - part.mask.shape[1])) for part in encoded]),
        torch.cat([part.embeds.float() for part in encoded]),
    )
    if not texts.embeds.isfinite().all():
        raise BlipvidError("the model's text embeddings are not finite; try precision fp32, and check the checkpoint.")
    return texts, np.array([row[text] for text in cleaned], np.int64)


def _of_all(own: Mapping[int, Texts], share: Share, device: str) -> list[Texts]:
    """Returns the chunks that all processes encoded, in their order."""
    arrays = {
        chunk: [part.cpu().numpy() for part in (texts.ids, texts.mask, texts.embeds)] for chunk, texts in own.items()
    }
    found = {chunk: parts for theirs in share.gather(arrays) for chunk, parts in theirs.items()}
    return [Texts(*(torch.from_numpy(part).to(device) for part in found[chunk])) for chunk in sorted(found)]
