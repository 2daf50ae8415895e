"""The few bits inside coded packets that no container repeats: is a picture shown, does a key frame restart all.

Looks at the first bytes of a packet or at the types of its parts; decodes nothing.
"""

_H264_IDR = 5  # Source: ITU-T H.264, table 7-1
_ANNEX_B = b"\x00\x00\x01"


def shows_picture(packet: bytes) -> bool:
    """Tells whether a VP8 packet holds a picture to be shown; hidden reference pictures are packets of their own.

    Source: RFC 6386, section 9.1, bit `show_frame`.
    """
    return bool(packet[0] & 0x10)


def restarts_decoder(coding: str, packet: bytes, length_size: int) -> bool:
    """Tells whether decoding can begin at a key packet with nothing missing.

    H.264 streams may mark a picture as a key frame from which the picture only builds up over the next ones (intra
    refresh). Other codings are believed.

    Args:
        coding: FFmpeg's name of the coding.
        packet: Bytes of a key packet.
        length_size: What `nal_length_size` says of the stream.

    Source: ITU-T H.264, section 7.4.1.2.4 (IDR pictures) and D.2.8 (recovery points).
    """
    return coding != "h264" or _H264_IDR in _nal_types(packet, length_size)


def nal_length_size(coding: str, extradata: bytes | None) -> int:
    """Returns the bytes that the length of each part of an H.264 packet takes; 0 where start codes part them.

    Source: ISO/IEC 14496-15, section 5.3.3.1 (avcC).
    """
    if coding != "h264" or not extradata or len(extradata) < 7 or extradata[0] != 1:
        return 0
    return (extradata[4] & 3) + 1


def _nal_types(packet: bytes, length_size: int) -> set[int]:
    if not length_size:
        return {part[0] & 31 for part in packet.split(_ANNEX_B)[1:] if part}
    found, at = set(), 0
    while at + length_size < len(packet):
        found.add(packet[at + length_size] & 31)
        at += length_size + int.from_bytes(packet[at : at + length_size], "big")
    return found
