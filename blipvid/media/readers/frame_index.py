"""Where the frames of a file are: one pass over its packets, without decoding.

Both readers stand on it: it names the video stream, counts the frames where the header does not, gives their times,
says from which key frame each can be decoded, and whether the file holds all it declares. Reads only; decodes nothing.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import av.container
import av.logging
import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DecodeError
from blipvid.media.readers.bitstreams import nal_length_size, restarts_decoder, shows_picture
from blipvid.media.readers.wholeness import missing_bytes

_RATE_UNKNOWN = 25.0  # frames a second for raw streams that state none; FFmpeg assumes the same
_LATE_FRAMES = 2.5  # rounding, and a last frame without a length, explain less than this


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The frames of one video stream in the order of their display.

    Attributes:
        path: The file.
        container: FFmpeg's name of the demuxer, for instance `mov,mp4,m4a,3gp,3g2,mj2`.
        coding: FFmpeg's name of the coding, for instance `h264`.
        stream: Number of the stream in the file.
        fps: Mean frames a second.
        n_packets: Whole packets of the stream; a last one that was cut off does not count.
        first_key: Number of the first key packet, from which decoding of the file begins.
        ordered: The packets alone tell which frame is which: each has its own time and the first is a key frame that
            precedes all others. Otherwise frames can only be told by decoding, and the arrays below are empty.
        pts: (n,) int64 ascending presentation times in units of the stream.
        key_packet: (n,) int64 number of the packet, counted in file order, from which decoding of a frame must begin.
        key_pts: (n,) int64 presentation time of that packet.
        times_s: (n,) float64 seconds from the first frame.
        clean_keys: From each key frame on, the frames decoded are the frames shown: a reader that seeks to it and
            counts arrives at the right one.
    """

    path: Path
    container: str
    coding: str
    stream: int
    fps: float
    n_packets: int
    first_key: int
    ordered: bool
    pts: npt.NDArray[np.int64]
    key_packet: npt.NDArray[np.int64]
    key_pts: npt.NDArray[np.int64]
    times_s: npt.NDArray[np.float64]
    clean_keys: bool


@dataclass(frozen=True, slots=True)
class _Packet:
    number: int
    pts: int | None
    is_key: bool
    is_shown: bool
    restarts: bool


@dataclass(frozen=True, slots=True)
class _Scan:
    """What one pass over the file found, and what its header declares (0 and None where it is silent)."""

    container: str
    coding: str
    stream: int
    fps: float
    time_base: Fraction
    packets: list[_Packet]
    end_s: float
    declared_frames: int
    declared_end_s: float | None


def open_container(path: Path) -> av.container.InputContainer:
    """Opens a media file with PyAV; the caller closes it.

    Raises:
        DecodeError: FFmpeg does not know what the file is.
    """
    av.logging.set_level(None)  # errors come as exceptions; FFmpeg's own lines would garble the progress display
    try:
        # An absolute path, because FFmpeg takes what precedes a colon in a relative one for a protocol.
        return av.open(str(path.absolute()), metadata_errors="replace")
    except av.FFmpegError as error:
        raise DecodeError(
            f"{path}: is not a video that FFmpeg can open ({why(error)}); replace the file or leave the clip out."
        ) from error


def why(error: av.FFmpegError) -> str:
    """Returns FFmpeg's own words for an error, without number and address."""
    return str(error.strerror or type(error).__name__).lower()


def video_stream(container: av.container.InputContainer, path: Path) -> av.VideoStream:
    """Chooses the video stream by FFmpeg's best-stream rule, as decord does.

    In this order: not meant for impaired viewers, and marked as default; more frames seen while the file was probed
    (at most 5 count); higher bit rate. So of two ordinary streams the one of higher bit rate is taken, not the first.
    The cover picture of a sound file is no video.

    Raises:
        DecodeError: There is none.

    Source: FFmpeg libavformat, `av_find_best_stream`.
    """
    stream = container.streams.best("video")
    if stream is None or stream.type != "video" or stream.disposition & av.stream.Disposition.attached_pic:
        raise DecodeError(f"{path}: holds no video stream; check that it is the video and not its sound.")
    if not isinstance(stream, av.VideoStream) or stream.codec_context is None:
        raise DecodeError(
            f"{path}: its video is coded in a way that FFmpeg cannot decode; convert it, for instance to H.264."
        )
    return stream


def index_frames(path: Path) -> FrameIndex:
    """Reads all packets of a file once.

    Args:
        path: An existing media file.

    Returns:
        Its frame index.

    Raises:
        DecodeError: Not a video, no video stream, an empty stream, or a file that was cut off.
    """
    container = open_container(path)
    try:
        scan = _scan(container, video_stream(container, path))
    except av.FFmpegError as error:
        raise DecodeError(
            f"{path}: breaks off while it is read ({why(error)}); replace the file or leave the clip out."
        ) from error
    finally:
        container.close()
    packets = scan.packets
    shown = [p for p in packets if p.is_shown]
    if not shown:
        raise DecodeError(f"{path}: its video stream is empty; replace the file or leave the clip out.")
    _refuse_cut_file(path, scan)
    first_key = next((p.number for p in packets if p.is_key), 0)
    ordered = _in_order(packets, shown)
    return FrameIndex(
        path,
        scan.container,
        scan.coding,
        scan.stream,
        scan.fps,
        len(packets),
        first_key,
        ordered,
        *_places(shown if ordered else [], packets, float(scan.time_base)),
        clean_keys=ordered and len(shown) == len(packets) and _clean_keys(packets),
    )


def _scan(container: av.container.InputContainer, stream: av.VideoStream) -> _Scan:
    coding = stream.codec_context.codec.canonical_name
    length_size = nal_length_size(coding, stream.codec_context.extradata)
    packets: list[_Packet] = []
    end_s, last_is_whole = 0.0, True
    for packet in container.demux():  # all streams, since a declared length is that of the longest
        if not packet.size:
            continue  # the end of a stream
        if packet.pts is not None and packet.time_base is not None:
            end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
        if packet.stream_index == stream.index:
            content = bytes(packet) if packet.is_keyframe or coding == "vp8" else b""
            shown = not packet.is_discard and (coding != "vp8" or shows_picture(content))
            restarts = packet.is_keyframe and restarts_decoder(coding, content, length_size)
            packets.append(_Packet(len(packets), packet.pts, packet.is_keyframe, shown, restarts))
            last_is_whole = not packet.is_corrupt
    rate = stream.average_rate or stream.guessed_rate
    begin_s, length = (container.start_time or 0) / av.time_base, container.duration
    return _Scan(
        container=container.format.name,
        coding=coding,
        stream=stream.index,
        fps=float(rate) if rate else _RATE_UNKNOWN,
        time_base=stream.time_base or Fraction(1, 1000),
        packets=packets if last_is_whole else packets[:-1],
        end_s=end_s,
        declared_frames=stream.frames,
        declared_end_s=None if length is None else begin_s + length / av.time_base,
    )


def _refuse_cut_file(path: Path, scan: _Scan) -> None:
    """Raises where a file that was cut off would be sampled as if its rest were the whole clip.

    Bytes are missing, and frames with them: more than one of the number in the header; without a number, the declared
    length is not reached. A fragmented MP4 and a GIF declare neither (what FFmpeg says of them it has counted).
    """
    missing = missing_bytes(path)
    if not missing:
        return
    found, declared = len(scan.packets), scan.declared_frames
    counts_itself = scan.container == "gif" or (scan.container.startswith("mov") and not declared)
    if counts_itself or scan.declared_end_s is None:
        lost, what = True, f"{found} frames are there"
    elif declared:
        lost, what = declared - found > 1, f"{found} of {declared} frames are there"
    else:
        lost, what = scan.declared_end_s - scan.end_s > _LATE_FRAMES / scan.fps, "it ends before its declared length"
    if lost:
        raise DecodeError(
            f"{path}: was cut off ({what}, at least {missing} bytes are missing); fetch the file again or leave the "
            "clip out."
        )


def _in_order(packets: Sequence[_Packet], shown: Sequence[_Packet]) -> bool:
    times = [p.pts for p in packets if p.pts is not None]
    keys = [p.pts for p in packets if p.is_key and p.pts is not None]
    return (
        len(times) == len(packets)
        and len({p.pts for p in shown}) == len(shown)
        and packets[0].is_key
        and times[0] == min(times)
        and keys == sorted(keys)
    )


def _places(
    shown: Sequence[_Packet], packets: Sequence[_Packet], seconds_a_unit: float
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Returns pts, key_packet, key_pts, times_s of the shown frames.

    A frame is decoded from the last key frame that precedes it both in the file and on the screen: pictures that lead
    an open group of pictures follow their key frame in the file but need the group before.
    """
    keys = [p for p in packets if p.is_key]
    numbers, times = [k.number for k in keys], [k.pts or 0 for k in keys]
    by_time = sorted(shown, key=lambda p: p.pts or 0)
    pts = np.array([p.pts for p in by_time], dtype=np.int64)
    begin = [keys[min(bisect_right(numbers, p.number), bisect_right(times, p.pts or 0)) - 1] for p in by_time]
    key_packet = np.array([k.number for k in begin], dtype=np.int64)
    key_pts = np.array([k.pts for k in begin], dtype=np.int64)
    return pts, key_packet, key_pts, (pts - pts[:1]).astype(np.float64) * seconds_a_unit


def _clean_keys(packets: Sequence[_Packet]) -> bool:
    """Tells whether each key frame restarts the decoder and no picture after it is shown before it."""
    rank = {p.number: place for place, p in enumerate(sorted(packets, key=lambda p: p.pts or 0))}
    return all(p.restarts and rank[p.number] == p.number for p in packets if p.is_key)
