import numpy as np

from blipvid.core.types import Frames
from blipvid.media.sheet import contact_sheet


def frames(n: int) -> Frames:
    pixels = np.zeros((n, 30, 60, 3), np.uint8)
    pixels[..., 0] = np.arange(1, n + 1)[:, None, None] * 20
    return Frames(pixels, np.arange(n) * 10, np.arange(n) * 0.4, "pyav")


def test_every_frame_is_on_the_sheet_in_reading_order() -> None:
    sheet = np.asarray(contact_sheet(frames(6), columns=4, side=60))
    assert sheet.shape == (2 * (30 + 20 + 8) + 8, 4 * 68 + 8, 3)
    for place in range(6):
        left, top = 8 + place % 4 * 68, 8 + place // 4 * 58
        assert (sheet[top : top + 30, left : left + 60] == [20 * (place + 1), 0, 0]).all()
        assert (sheet[top + 30 : top + 50, left : left + 60] < 128).any(), "a label stands below"


def test_a_single_frame_has_a_sheet_of_its_size() -> None:
    assert contact_sheet(frames(1), side=60).size == (68 + 8, 58 + 8)
