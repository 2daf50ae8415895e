"""A contact sheet: the frames of one clip side by side with their numbers and times."""

import math

from PIL import Image, ImageDraw, ImageFont

from blipvid.core.types import Frames

_GAP, _LABEL = 8, 20  # pixels
_PAPER, _INK = (255, 255, 255), (20, 20, 20)


def contact_sheet(frames: Frames, columns: int = 4, side: int = 224) -> Image.Image:
    """Draws the frames of a clip on one sheet.

    Args:
        frames: What was sampled.
        columns: Pictures in a row.
        side: Longer side of each picture on the sheet, in pixels.

    Returns:
        An RGB picture; below each frame its number in the file and its time in seconds.
    """
    height, width = frames.pixels.shape[1:3]
    scale = side / max(height, width)
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    columns = min(columns, len(frames.indices))
    rows = math.ceil(len(frames.indices) / columns)
    cell_width, cell_height = width + _GAP, height + _LABEL + _GAP
    sheet = Image.new("RGB", (columns * cell_width + _GAP, rows * cell_height + _GAP), _PAPER)
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(14)
    for place, (pixels, index, time_s) in enumerate(zip(frames.pixels, frames.indices, frames.times_s, strict=True)):
        left, top = _GAP + place % columns * cell_width, _GAP + place // columns * cell_height
        sheet.paste(Image.fromarray(pixels).resize((width, height), Image.Resampling.LANCZOS), (left, top))
        pen.text((left, top + height + 2), f"#{index}  {time_s:.2f} s", fill=_INK, font=font)
    return sheet
