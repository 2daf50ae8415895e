"""The words that options choose from; apart, so that reading the command line imports nothing heavy."""

from enum import StrEnum


class Format(StrEnum):
    """What a table is printed as."""

    RICH = "rich"
    MARKDOWN = "markdown"
    LATEX = "latex"
    CSV = "csv"
    JSON = "json"


class Precision(StrEnum):
    """Arithmetic of the encoders."""

    FP32 = "fp32"
    BF16 = "bf16"
    FP16 = "fp16"


class Kept(StrEnum):
    """How features are kept between runs."""

    FP32 = "fp32"
    FP16 = "fp16"


class Resize(StrEnum):
    """How frames are brought to size, see `FrameSettings`."""

    DECODER = "decoder"
    BICUBIC = "bicubic"


class Layout(StrEnum):
    """How weights are written."""

    BLIPVID = "blipvid"
    OFFICIAL = "official"
    HF = "hf"


class Suite(StrEnum):
    """Whose rows are listed."""

    PAPER = "paper"
