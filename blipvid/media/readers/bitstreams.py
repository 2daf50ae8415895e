"""The few bits inside coded packets that no container repeats: is a picture shown, referred to, a clean start.

Looks at the first bytes of a packet or at the types of its parts; decodes nothing.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

_H264_IDR = 5  # Source: ITU-T H.264, table 7-1
_H264_SLICES, _H264_PARAMETERS = range(1, 6), range(7, 9)  # Source: ITU-T H.264, table 7-1
_HEVC_SLICES, _HEVC_PARAMETERS = range(32), range(32, 35)  # Source: ITU-T H.265, table 7-1
_HEVC_NOT_REFERRED_TO = range(0, 16, 2)  # Source: ITU-T H.265, table 7-1, the types whose names end in _N and RSV_VCL_N
_MPEG4_HEADER = re.compile(rb"\x00\x00\x01[\x20-\x2f].+?(?=\x00\x00\x01[\xb2\xb3\xb6])", re.DOTALL)
"""The video object layer. Source: ISO/IEC 14496-2, table 6-3."""
_ANNEX_B = b"\x00\x00\x01"
_LENGTHS_AT = {"h264": (4, 7), "hevc": (21, 23)}
"""Coding -> place of the field in the extra data, and the least length of these.

Source: ISO/IEC 14496-15, sections 5.3.3.1 (avcC) and 8.3.3.1 (hvcC).
"""


class Standing(NamedTuple):
    """What other pictures have to do with one.

    Attributes:
        layer: Its temporal layer; pictures of a layer refer to none of a higher one.
        needed: Pictures of its own layer may refer to it, or it comes with parameters for those that follow.
        parameters: The parameter sets that come with it.
    """

    layer: int
    needed: bool
    parameters: tuple[bytes, ...] = ()


def standing(coding: str, packet: memoryview, length_size: int) -> Standing:
    """Tells whether a decoder needs a picture for others too, and for what it needs to know of it.

    Of codings but H.264 and HEVC the first is taken for granted; of those but these and MPEG-4 the second.

    Args:
        coding: FFmpeg's name of the coding.
        packet: Bytes of a packet.
        length_size: What `nal_length_size` says of the stream.

    Source: ITU-T H.264, section 7.4.1 (nal_ref_idc); ITU-T H.265, section 3 (sub-layer non-reference picture).
    """
    parameters: list[bytes] = []
    if coding == "h264":
        for begin, end in _parts(packet, length_size):
            kind = packet[begin] & 31
            if kind in _H264_SLICES:
                return Standing(0, bool(parameters or packet[begin] & 0x60), tuple(parameters))
            if kind in _H264_PARAMETERS:
                parameters.append(bytes(packet[begin:end]).rstrip(b"\0"))
    elif coding == "hevc":
        for begin, end in _parts(packet, length_size):
            kind = packet[begin] >> 1 & 63
            if kind in _HEVC_SLICES:
                needed = bool(parameters) or kind not in _HEVC_NOT_REFERRED_TO
                return Standing((packet[begin + 1] & 7) - 1, needed, tuple(parameters))
            if kind in _HEVC_PARAMETERS:
                parameters.append(bytes(packet[begin:end]).rstrip(b"\0"))
    elif coding == "mpeg4" and (header := _MPEG4_HEADER.search(packet)):
        parameters.append(header[0])
    return Standing(0, True, tuple(parameters))


def shows_picture(packet: memoryview) -> bool:
    """Tells whether a VP8 packet holds a picture to be shown; hidden reference pictures are packets of their own.

    Source: RFC 6386, section 9.1, bit `show_frame`.
    """
    return bool(packet[0] & 0x10)


def restarts_decoder(coding: str, packet: memoryview, length_size: int) -> bool:
    """Tells whether decoding can begin at a key packet with nothing missing.

    H.264 streams may mark a picture as a key frame from which the picture only builds up over the next ones (intra
    refresh). Other codings are believed.

    Args:
        coding: FFmpeg's name of the coding.
        packet: Bytes of a key packet.
        length_size: What `nal_length_size` says of the stream.

    Source: ITU-T H.264, section 7.4.1.2.4 (IDR pictures) and D.2.8 (recovery points).
    """
    return coding != "h264" or any(packet[begin] & 31 == _H264_IDR for begin, _ in _parts(packet, length_size))


def nal_length_size(coding: str, extradata: bytes | None) -> int:
    """Returns the bytes that the length of each part of a packet takes; 0 where start codes part them."""
    at, least = _LENGTHS_AT.get(coding, (0, 0))
    if not least or not extradata or len(extradata) < least or extradata[0] != 1:
        return 0
    return (extradata[at] & 3) + 1


def _parts(packet: memoryview, length_size: int) -> Iterator[tuple[int, int]]:
    """Yields where the parts of a packet begin and end; each holds at least two bytes, the end may be missing."""
    at, last = 0, len(packet) - 2
    if not length_size:
        content = bytes(packet)
        at = content.find(_ANNEX_B)
        while at >= 0 and (begin := at + len(_ANNEX_B)) <= last:
            at = content.find(_ANNEX_B, begin)
            yield begin, at if at >= 0 else len(content)
        return
    while (begin := at + length_size) <= last:
        at = begin + int.from_bytes(packet[at:begin], "big")
        yield begin, at
