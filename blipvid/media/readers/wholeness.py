"""Does a media file hold all the bytes that it says it holds? Most containers declare the length of their parts.

A download that stopped half-way still opens, and its surviving part would be sampled as if it were the whole clip.
Streams that declare nothing (MPEG-TS, MPEG-PS, Ogg, live Matroska, raw streams) cannot be judged.
"""

import struct
from pathlib import Path
from typing import BinaryIO

_EBML_HEADER = b"\x1a\x45\xdf\xa3"  # Source: RFC 8794, section 11.2.1
_EBML_SEGMENT = b"\x18\x53\x80\x67"  # Source: RFC 9559, section 5.1.1
_ASF_HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")  # Source: ASF specification, section 10.1
_ASF_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")
_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot", b"styp"}


def missing_bytes(path: Path) -> int:
    """Counts the bytes that the container declares and the file lacks.

    Args:
        path: A media file.

    Returns:
        Bytes missing at the end, at least; 0 where nothing is missing or the container declares nothing.

    Source: ISO/IEC 14496-12, section 4.2 (boxes); RFC 8794 (EBML) and RFC 9559 (Matroska); the RIFF, ASF, FLV and
    GIF89a specifications.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(16)
        if head[:4] == b"RIFF":
            declared = 8 + struct.unpack("<I", head[4:8])[0]
        elif head[:4] == _EBML_HEADER:
            declared = _end_of_segment(file)
        elif head == _ASF_HEADER:
            declared = _asf_size(file)
        elif head[4:8] in _BOXES:
            declared = _end_of_boxes(file, size)
        elif head[:3] == b"FLV":
            declared = _end_of_flv_tags(file, size)
        elif head[:4] == b"GIF8":
            declared = _end_of_gif_blocks(file, size)
        else:
            declared = 0
    return max(0, declared - size)


def _end_of_boxes(file: BinaryIO, size: int) -> int:
    """Walks the top-level boxes of an MP4 or QuickTime file; returns where the last one that holds pictures ends."""
    at = end = 0
    while at + 8 <= size:
        file.seek(at)
        header = file.read(16)
        length = struct.unpack(">I", header[:4])[0]
        if length == 1 and len(header) == 16:
            length = struct.unpack(">Q", header[8:])[0]
        if length < 8:  # 0 is "to the end of the file"; anything else is no box
            return end
        at += length
        if header[4:8] in {b"mdat", b"moof"}:
            end = at
    return end


def _end_of_flv_tags(file: BinaryIO, size: int) -> int:
    """Walks the tags of an FLV file: 11 bytes of header, the data, 4 bytes that repeat the length."""
    file.seek(5)
    at = struct.unpack(">I", file.read(4))[0] + 4
    while at + 4 <= size:
        file.seek(at + 1)
        at += 11 + int.from_bytes(file.read(3), "big") + 4
    return at


def _end_of_gif_blocks(file: BinaryIO, size: int) -> int:
    """Walks the blocks of a GIF up to its trailer, which careless writers leave out."""
    file.seek(10)
    flags = file.read(1)[0]
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    while at < size:
        file.seek(at)
        kind = file.read(1)
        if kind == b"\x2c":  # a picture: place and size, flags, its own colours, code size
            flags = (file.read(9) or b"\0")[-1]
            at += 10 + (3 << (flags & 7) + 1 if flags & 0x80 else 0) + 1
        elif kind == b"\x21":  # an extension: its label
            at += 2
        else:  # the trailer, or what no reader looks at
            return at
        length = 1
        while length:
            if at >= size:
                return at + 1
            file.seek(at)
            length = file.read(1)[0]
            at += 1 + length
    return at


def _end_of_segment(file: BinaryIO) -> int:
    """Returns where a Matroska segment ends, 0 where its length is unknown (live recordings)."""
    file.seek(4)
    header_length = _ebml_length(file)
    if header_length is None:
        return 0
    file.seek(header_length, 1)
    if file.read(4) != _EBML_SEGMENT:
        return 0
    length = _ebml_length(file)
    return 0 if length is None else file.tell() + length


def _ebml_length(file: BinaryIO) -> int | None:
    """Reads a variable-length integer; None where all its bits are set, which means unknown, or at the file's end."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    width = 9 - first[0].bit_length()
    rest = file.read(width - 1)
    value = int.from_bytes(bytes([first[0] & (0xFF >> width)]) + rest, "big")
    return None if len(rest) < width - 1 or value == (1 << 7 * width) - 1 else value


def _asf_size(file: BinaryIO) -> int:
    """Returns the file size in an ASF header's file properties, 0 where there are none."""
    file.seek(0)
    header = file.read(65536)
    at = header.find(_ASF_FILE_PROPERTIES)
    field = header[at + 40 : at + 48]  # object id 16, object size 8, file id 16
    return struct.unpack("<Q", field)[0] if at >= 0 and len(field) == 8 else 0
