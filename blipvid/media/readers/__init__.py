"""The door to video files: the only folder that imports decord and av.

`choice` names the readers and picks one; `decord_reader` and `pyav_reader` are the two; `frame_index` reads a file's
packets and is what both stand on; `scaling` makes PyAV's pixels equal to decord's, and `likeness` says where they are.
"""

from blipvid.media.readers.choice import READERS, OpenReader, open_video

__all__ = ["READERS", "OpenReader", "open_video"]
