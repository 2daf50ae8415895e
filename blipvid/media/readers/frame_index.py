"""Where the frames of a file are: one pass over its packets, without decoding.

Both readers stand on it: it names the video stream, counts the frames where the header does not, gives their times,
says from which key frame each can be decoded and which others need it, and whether the file holds all it declares.
Reads only; decodes nothing. What it has read it keeps where that is little, so that no file is opened twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, cast

import av
import av.container
import av.logging
import numpy as np
import numpy.typing as npt

from blipvid.core.errors import DecodeError
from blipvid.media.readers.bitstreams import Standing, nal_length_size, restarts_decoder, shows_picture, standing
from blipvid.media.readers.wholeness import missing_bytes

_RATE_UNKNOWN = 25.0  # frames a second for raw streams that state none; FFmpeg assumes the same
_UNIT_UNKNOWN_S = 1e-3  # what FFmpeg takes for Matroska and FLV
_LATE_FRAMES = 2.5  # rounding, and a last frame without a length, explain less than this
_KEPT_BYTES = 32 * 2**20  # a minute of 4 Mbit/s; bounds the memory of each decoding process


@dataclass(frozen=True, slots=True)
class KeptStream:
    """All whole packets of a stream, and a decoder for them that has not decoded yet; the file itself is closed."""

    packets: "Sequence[av.Packet[av.VideoStream]]"
    decoder: av.VideoCodecContext


@dataclass(frozen=True, slots=True)
class FrameIndex:
    """The frames of one video stream in the order of their display.

    Attributes:
        path: The file.
        container: FFmpeg's name of the demuxer, for instance `mov,mp4,m4a,3gp,3g2,mj2`.
        coding: FFmpeg's name of the coding, for instance `h264`.
        stream: Number of the stream in the file.
        width: Pixels across, as coded; 0 where the header is silent.
        height: Pixels down, as coded.
        pixel_format: FFmpeg's name of the pixel format, for instance `yuv420p`; empty where the header is silent.
        fps: Mean frames a second.
        n_packets: Whole packets of the stream; a last one that was cut off does not count.
        first_key: Number of the first key packet, from which decoding of the file begins.
        ordered: The packets alone tell which frame is which: each has its own time and the first is a key frame that
            precedes all others. Otherwise frames can only be told by decoding, and the arrays below are empty.
        pts: (n,) int64 ascending presentation times in units of the stream.
        packet: (n,) int64 number of the packet of a frame, counted in file order.
        needed: (n,) bool, False where no other frame refers to a frame, so that a decoder can do without it.
        key_packet: (n,) int64 number of the packet from which decoding of a frame must begin.
        key_pts: (n,) int64 presentation time of that packet.
        times_s: (n,) float64 seconds from the first frame.
        steady: Whatever key frame decoding begins at, the decoder has the parameters that belong to it, as far as the
            container and the bits of H.264, HEVC and MPEG-4 tell. A file joined from parts may bring others on the
            way, which a decoder that comes in later never sees.
        clean_keys: From each key frame on, the frames decoded are the frames shown: a reader that seeks to it and
            counts arrives at the right one.
        kept: The packets, where they are few enough to be held in memory.
    """

    path: Path
    container: str
    coding: str
    stream: int
    width: int
    height: int
    pixel_format: str
    fps: float
    n_packets: int
    first_key: int
    ordered: bool
    pts: npt.NDArray[np.int64]
    packet: npt.NDArray[np.int64]
    needed: npt.NDArray[np.bool_]
    key_packet: npt.NDArray[np.int64]
    key_pts: npt.NDArray[np.int64]
    times_s: npt.NDArray[np.float64]
    steady: bool
    clean_keys: bool
    kept: KeptStream | None = field(default=None, repr=False, compare=False)


class _Packet(NamedTuple):
    number: int
    pts: int | None
    is_key: bool
    is_shown: bool
    restarts: bool
    standing: Standing
    header: bytes  # what it brings in place of the stream's, mostly nothing


@dataclass(frozen=True, slots=True)
class _Scan:
    """What one pass over the file found, and what its header declares (0 and None where it is silent)."""

    container: str
    coding: str
    stream: int
    width: int
    height: int
    pixel_format: str
    fps: float
    seconds_a_unit: float
    header: bytes
    packets: list[_Packet]
    kept: KeptStream | None
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
        missing = missing_bytes(path)
        scan = _scan(container, video_stream(container, path), all_streams=missing > 0)
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
    if missing:
        _refuse_cut_file(path, scan, missing)
    first_key = next((p.number for p in packets if p.is_key), 0)
    ordered = _in_order(packets, shown)
    return FrameIndex(
        path,
        scan.container,
        scan.coding,
        scan.stream,
        scan.width,
        scan.height,
        scan.pixel_format,
        scan.fps,
        len(packets),
        first_key,
        ordered,
        **_places(shown if ordered else [], packets, scan.seconds_a_unit),
        steady=_steady(packets, scan.header),
        clean_keys=ordered and len(shown) == len(packets) and _clean_keys(packets),
        kept=scan.kept,
    )


def _scan(container: av.container.InputContainer, stream: av.VideoStream, *, all_streams: bool) -> _Scan:
    """Goes through the packets of the video, or of all streams, since a declared length is that of the longest."""
    coding = stream.codec_context.codec.canonical_name
    header = bytes(stream.codec_context.extradata or b"")
    length_size = nal_length_size(coding, header)
    units = {s.index: float(s.time_base or 0) for s in container.streams}
    packets: list[_Packet] = []
    kept: list[av.Packet[av.VideoStream]] = []
    end_s, last_is_whole, n_bytes = 0.0, True, 0
    for packet in container.demux() if all_streams else container.demux(stream):
        if not packet.size:
            continue  # the end of a stream
        if all_streams and packet.pts is not None:
            end_s = max(end_s, (packet.pts + (packet.duration or 0)) * units.get(packet.stream_index, 0.0))
        if packet.stream_index == stream.index:
            packets.append(_look_at(packet, len(packets), coding, length_size))
            last_is_whole = not packet.is_corrupt
            n_bytes += packet.size
            if n_bytes <= _KEPT_BYTES:
                kept.append(cast("av.Packet[av.VideoStream]", packet))
            else:
                kept.clear()
    n_whole = len(packets) if last_is_whole else len(packets) - 1
    rate = stream.average_rate or stream.guessed_rate
    begin_s, length = (container.start_time or 0) / av.time_base, container.duration
    return _Scan(
        container=container.format.name,
        coding=coding,
        stream=stream.index,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        pixel_format=stream.codec_context.pix_fmt or "",
        fps=float(rate) if rate else _RATE_UNKNOWN,
        seconds_a_unit=units[stream.index] or _UNIT_UNKNOWN_S,
        header=header,
        packets=packets[:n_whole],
        kept=KeptStream(kept[:n_whole], stream.codec_context) if kept else None,
        end_s=end_s,
        declared_frames=stream.frames,
        declared_end_s=None if length is None else begin_s + length / av.time_base,
    )


def _look_at(packet: "av.Packet[Any]", number: int, coding: str, length_size: int) -> _Packet:
    content, is_key = memoryview(packet), packet.is_keyframe
    return _Packet(
        number,
        packet.pts,
        is_key,
        is_shown=not packet.is_discard and (coding != "vp8" or shows_picture(content)),
        restarts=is_key and restarts_decoder(coding, content, length_size),
        standing=standing(coding, content, length_size),
        header=bytes(packet.get_sidedata("new_extradata")) if packet.has_sidedata("new_extradata") else b"",
    )


def _refuse_cut_file(path: Path, scan: _Scan, missing: int) -> None:
    """Raises where a file that was cut off would be sampled as if its rest were the whole clip.

    Bytes are missing, and frames with them: more than one of the number in the header; without a number, the declared
    length is not reached. A fragmented MP4 and a GIF declare neither (what FFmpeg says of them it has counted).
    """
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


def _places(shown: Sequence[_Packet], packets: Sequence[_Packet], seconds_a_unit: float) -> dict[str, npt.NDArray[Any]]:
    """Returns the arrays of an index: pts, packet, needed, key_packet, key_pts, times_s of the shown frames.

    A frame is decoded from the last key frame that precedes it both in the file and on the screen: pictures that lead
    an open group of pictures follow their key frame in the file but need the group before.
    """
    by_time = sorted(shown, key=lambda p: p.pts or 0)
    pts, packet = (
        np.array(column, dtype=np.int64) for column in ([p.pts for p in by_time], [p.number for p in by_time])
    )
    keys = np.array([(p.number, p.pts or 0) for p in packets if p.is_key], dtype=np.int64).reshape(-1, 2)
    in_file, on_screen = (np.searchsorted(keys[:, c], own, side="right") for c, own in enumerate((packet, pts)))
    begin = keys[np.minimum(in_file, on_screen) - 1] if len(pts) else keys[:0]
    highest = max(p.standing.layer for p in packets)
    return {
        "pts": pts,
        "packet": packet,
        "needed": np.array([p.standing.needed or p.standing.layer < highest for p in by_time], dtype=np.bool_),
        "key_packet": begin[:, 0],
        "key_pts": begin[:, 1],
        "times_s": (pts - pts[:1]).astype(np.float64) * seconds_a_unit,
    }


def _steady(packets: Sequence[_Packet], header: bytes) -> bool:
    """Tells whether no parameters but those of the header come on the way, or the same ones with every key frame."""
    if any(p.header not in (b"", header) for p in packets):
        return False
    brought = {p.standing.parameters for p in packets} - {()}
    if all(part in header for parts in brought for part in parts):  # which wraps them in lengths or start codes
        return True
    return len(brought) == 1 and all(p.standing.parameters for p in packets if p.is_key)


def _clean_keys(packets: Sequence[_Packet]) -> bool:
    """Tells whether each key frame restarts the decoder and no picture after it is shown before it."""
    rank = {p.number: place for place, p in enumerate(sorted(packets, key=lambda p: p.pts or 0))}
    return all(p.restarts and rank[p.number] == p.number for p in packets if p.is_key)
