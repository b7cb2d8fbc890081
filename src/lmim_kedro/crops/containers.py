"""Images whose containers would cost a decoder far more than they hold: found before anything is decoded.

Pillow's headers tell the size of an image. What they leave open was measured (docs/reliability.md): OpenCV reserves the
length that a PNG chunk claims, up to 4 GB; a progressive JPEG may go over its pixels any number of times; JPEG 2000 and
AV1 streams have a size of their own, whatever the boxes around them say. Other formats need no more than a header.
"""

from collections.abc import Iterator

MOST_SCANS = 100
"""Scans of a JPEG; usual progressive ones have about ten."""
_PNG = b"\x89PNG\r\n\x1a\n"
_JPEG_2000 = b"\xff\x4f\xff\x51"
_SEQUENCE_HEADER = 1  # type of an AV1 unit


def container_fault(data: bytes, max_pixels: int) -> str | None:
    """Why an image must not be given to a decoder; None if nothing speaks against it.

    Args:
        data: the encoded image, of any format.
        max_pixels: largest image that may be decoded.

    Example:
        >>> container_fault(b"\\x89PNG\\r\\n\\x1a\\n" + b"\\xf0\\0\\0\\0IDAT" + bytes(50), max_pixels=1000)
        'truncated'
    """
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data.startswith(_JPEG_2000) or data[4:8] == b"jP  ":
        return _jpeg_2000(data, max_pixels)
    return _avif(data, max_pixels) if data[4:8] == b"ftyp" else None


def _png(data: bytes) -> str | None:
    place = len(_PNG)
    while place + 8 <= len(data) and data[place + 4 : place + 8] != b"IEND":
        length = int.from_bytes(data[place : place + 4], "big")
        if length > len(data) - place - 8:
            return "truncated"
        place += 12 + length
    return None


def _jpeg(data: bytes) -> str | None:
    place = 2
    while data[place : place + 1] == b"\xff":  # the segments before the first scan; an embedded preview is in one
        kind = data[place + 1 : place + 2]
        if kind == b"\xda":
            scans = data.count(b"\xff\xda", place)  # coded pixels hold no such bytes
            return f"too large: {scans:,} scans, {MOST_SCANS} are the most" if scans > MOST_SCANS else None
        alone = kind == b"\xff" or b"\xd0" <= kind <= b"\xd8"
        place += 1 if kind == b"\xff" else 2 if alone else 2 + int.from_bytes(data[place + 2 : place + 4], "big")
    return None


def _jpeg_2000(data: bytes, max_pixels: int) -> str | None:
    """Its decoders hold each sample as 32 bits, twice: half as many pixels take as much memory as in other formats."""
    start = next((start for kind, start, _ in _boxes(data, 0, len(data)) if kind == b"jp2c"), 0)
    if data[start : start + 4] != _JPEG_2000:
        return None
    right, bottom, left, top = (int.from_bytes(data[at : at + 4], "big") for at in range(start + 8, start + 24, 4))
    width, height = right - left, bottom - top
    if 2 * width * height > max_pixels:
        return f"too large: JPEG 2000 of {width} x {height} pixels, half of max_pixels = {max_pixels} are the most"
    return None


def _avif(data: bytes, max_pixels: int) -> str | None:
    for start in _items(data):
        size = _av1_size(data[start : start + 1000])
        if size and size[0] * size[1] > max_pixels:
            return f"too large: {size[0]} x {size[1]} pixels, max_pixels = {max_pixels}"
    return None


def _boxes(data: bytes, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes of an ISO file: kind, and where the content starts and stops; one that claims more stops with the file.

    Source: ISO/IEC 14496-12, section 4.2.
    """
    while start + 8 <= stop:
        length, kind, head = int.from_bytes(data[start : start + 4], "big"), data[start + 4 : start + 8], 8
        if length == 1:
            length, head = int.from_bytes(data[start + 8 : start + 16], "big"), 16
        end = stop if length == 0 else min(stop, start + max(length, head))
        yield kind, start + head, end
        start = end


def _items(data: bytes) -> Iterator[int]:
    """Where the items of an AVIF file start. Source: ISO/IEC 14496-12, section 8.11.3 (iloc)."""
    meta = next(((start, end) for kind, start, end in _boxes(data, 0, len(data)) if kind == b"meta"), (0, 0))
    found = next(((start, end) for kind, start, end in _boxes(data, meta[0] + 4, meta[1]) if kind == b"iloc"), None)
    if found is None:
        return
    place, end = found

    def take(size: int) -> int:
        nonlocal place
        place += size
        return int.from_bytes(data[place - size : place], "big")

    version, _, sizes = take(1), take(3), take(2)
    offset, length, base, index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    for _ in range(take(wide)):
        if place >= end:
            return
        take(wide + (4 if version else 2))  # the item's number, how its place is given, and the file that it is in
        begins = take(base)
        for _ in range(take(2)):
            if place >= end:
                return
            take(index if version else 0)
            yield begins + take(offset)
            take(length)


def _av1_size(data: bytes) -> tuple[int, int] | None:
    """Width and height in the first sequence header of AV1 units. Source: AV1 specification, sections 5.3 and 5.5."""
    place = 0
    while place < len(data) and data[place] & 0b10:  # the unit says how long it is
        kind = data[place] >> 3 & 15
        place += 2 if data[place] & 0b100 else 1
        length = shift = 0
        while place < len(data):
            length |= (data[place] & 127) << shift
            shift, place = shift + 7, place + 1
            if data[place - 1] < 128:
                break
        if kind == _SEQUENCE_HEADER:
            return _size_in_sequence_header(data[place : place + length])
        place += length
    return None


def _size_in_sequence_header(data: bytes) -> tuple[int, int]:
    bits, left = int.from_bytes(data, "big"), 8 * len(data)

    def take(count: int) -> int:
        nonlocal left
        left -= count
        return (bits >> left if left >= 0 else 0) & ((1 << count) - 1)

    take(4)
    if take(1):  # a reduced header, of still pictures
        take(5)
    else:
        delay = 0
        if take(1):  # timing
            take(64)
            if take(1):
                zeros = 0
                while left > 0 and not take(1):
                    zeros += 1
                take(zeros)
            if take(1):
                delay = take(5) + 1
                take(42)
        displayed = take(1)
        for _ in range(take(5) + 1):
            take(12)
            if take(5) > 7:
                take(1)
            if delay and take(1):
                take(2 * delay + 1)
            if displayed and take(1):
                take(4)
    across, down = take(4) + 1, take(4) + 1
    return take(across) + 1, take(down) + 1
