"""The captions that re-ranking is measured on, and the operations that the whole task takes with them.

Numbers of MSR-VTT's 1k-A test split (MSRVTT_JSFUSION_test.csv): its captions cleaned as the released code does and cut
into BERT's word pieces, [CLS] and [SEP] counted, equal ones once.
"""

import random

LENGTHS = {
    5: 1, 6: 52, 7: 63, 8: 121, 9: 106, 10: 108, 11: 105, 12: 91, 13: 75, 14: 63, 15: 52, 16: 33, 17: 26, 18: 23,
    19: 18, 20: 9, 21: 8, 22: 12, 23: 9, 24: 6, 25: 6, 26: 1, 27: 3, 28: 2, 30: 1, 34: 1,
}  # fmt: skip
"""Length -> how many of the 995 different captions have it; 11.8 on average."""

N_CLIPS, TOP_K, PADDED = 1000, 128, 35
"""Clips, and as many captions. The released evaluation matches 128 candidates of each query of both directions, and
pads every caption to 35."""

WIDTH, MLP = 768, 3072


def draw_lengths(n: int, seed: int) -> list[int]:
    """Draws lengths as they occur in the split; a single one is the median."""
    pool = [length for length, count in LENGTHS.items() for _ in range(count)]
    return [sorted(pool)[len(pool) // 2]] if n == 1 else random.Random(seed).sample(pool, n)


def pair_flop(layers: int, visual: int) -> float:
    """Returns the operations of one pair in the released order: all layers in full, padded, keys and values anew."""
    products = 2 * WIDTH * WIDTH * 6 + 4 * WIDTH * MLP  # self query, key, value, output; cross query, output; MLP
    token = products + 4 * WIDTH * PADDED + 4 * WIDTH * visual
    return layers * (PADDED * token + keys_values_flop(visual))


def keys_values_flop(visual: int) -> float:
    """Returns the operations of one layer's cross-attention keys and values."""
    return 4 * WIDTH * WIDTH * visual


def texts_flop(lengths: list[int], layers: int, visual: int) -> float:
    """Returns the operations of texts that meet one clip our way, the first self-attention done before.

    Args:
        lengths: Of the texts.
        layers: Of the text tower, at least two.
        visual: Tokens of the clip.
    """
    tokens, squares, texts = sum(lengths), sum(n * n for n in lengths), len(lengths)
    seen = 4 * WIDTH * WIDTH + 4 * WIDTH * MLP + 4 * WIDTH * visual  # cross query, output; MLP; looking
    own = 8 * WIDTH * WIDTH * tokens + 4 * WIDTH * squares
    last = 4 * WIDTH * WIDTH * (tokens + texts) + 4 * WIDTH * tokens  # keys and values of all, queries of the firsts
    return (layers - 1) * tokens * seen + (layers - 2) * own + last + texts * seen


def whole_task(layers: int, visual: int, overlap: float, clips: int = N_CLIPS, top_k: int = TOP_K) -> dict[str, float]:
    """Works out the operations of re-ranking the split, or a smaller gallery with captions of its lengths.

    Args:
        layers: Of the text tower.
        visual: Tokens of a clip.
        overlap: Share of the candidates of one direction that are candidates of the other one, too.
        clips: Clips, and captions.
        top_k: Candidates of each query.

    Returns:
        Pairs and operations of both ways, and how many times fewer operations ours are.
    """
    asked = 2 * clips * top_k
    pairs = asked * (1 - overlap / 2)
    pool = [length for length, count in LENGTHS.items() for _ in range(count)]
    reference = asked * pair_flop(layers, visual)
    ours = clips * layers * keys_values_flop(visual) + pairs / len(pool) * texts_flop(pool, layers, visual)
    return {
        "overlap": overlap,
        "pairs_reference": asked,
        "pairs_ours": pairs,
        "pflop_reference": reference / 1e15,
        "pflop_ours": ours / 1e15,
        "ratio": reference / ours,
    }
