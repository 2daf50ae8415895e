"""blipvid: how well does an image-trained BLIP do on video, with no video training?"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from blipvid.clip_frames import read_frames
    from blipvid.library import ClipFeatures, Model, load_model
    from blipvid.question_answers import PossibleAnswer

__version__ = "0.1.0"
__all__ = ["ClipFeatures", "Model", "PossibleAnswer", "__version__", "load_model", "read_frames"]


def __getattr__(name: str) -> Any:
    # Imported when first asked for: `import blipvid` stays light, which every start of the command line pays for.
    if name in __all__:
        from blipvid import library

        return getattr(library, name)
    raise AttributeError(f"module 'blipvid' has no attribute '{name}'")
