"""No image costs much more memory or time than its size allows, whatever its container claims."""

import io
import json
import os
import runpy
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, features

from lmim_kedro.crops.containers import MOST_SCANS, container_fault
from lmim_kedro.crops.pixels import UndecodableCrop, bands_of, decode, rgb_of
from lmim_kedro.crops.validate import decode_checked, inspect_crop, quiet_decoders, stored_bytes

MAX_PIXELS = 5_000_000
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (23, 49, 3), np.uint8))


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def chunk(kind, data, length):
    return struct.pack(">I", length) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def lying_png(length, kind=b"IDAT"):
    """92 bytes and fewer, of which one chunk claims `length`."""
    size = struct.pack(">IIBBBBB", 100, 32, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", size, 13), chunk(kind, zlib.compress(bytes(100)), length), chunk(b"IEND", b"", 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def many_scans(scans):
    """A progressive JPEG of 4 megapixels with that many scans more."""
    data = encode(Image.new("RGB", (2000, 2000)), "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * scans + data[-2:]


def jpeg_2000(width, height, **options):
    data = bytearray(encode(PICTURE, "JPEG2000", **options))
    start = data.index(b"\xff\x4f\xff\x51") + 8
    data[start : start + 8] = struct.pack(">II", width, height)
    return bytes(data)


def avif(claimed, real):
    """An AVIF whose boxes claim another size than its AV1 stream has."""
    data = bytearray(encode(Image.new("RGB", real), "AVIF", speed=10))
    start = data.index(b"ispe") + 8
    data[start : start + 8] = struct.pack(">II", *claimed)
    return bytes(data)


def cost(data, work):
    """Megabytes and seconds of processor time that a child takes for it, and what it returns."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
            before, began = peak(), time.process_time()
            with quiet_decoders():
                result = work(data)
            answer = [(peak() - before) / 1024, time.process_time() - began, result]
            os.write(writing, json.dumps(answer).encode())
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as file:
        answer = file.read()
    assert os.waitpid(child, 0)[1] == 0
    return json.loads(answer)


def peak():
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0])


def stored(data):
    decoded = decode_checked(data, MAX_PIXELS)
    return decoded.facts.reason or len(stored_bytes(data, decoded, None))


def unpacked(data):
    try:
        return decode(data).shape
    except UndecodableCrop as error:
        return str(error)


linux = pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="this system does not tell a peak")
with_avif = pytest.mark.skipif(not features.check("avif"), reason="this Pillow reads no AVIF")


@linux
@pytest.mark.parametrize("work", [stored, unpacked])
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (lying_png(0x7FFFFFFF), "truncated"),
        (lying_png(0xF0000000), "truncated"),
        (lying_png(0x3FFFFFFF, b"tEXt"), "truncated"),
        (many_scans(300), "too large: 3.* scans, 100 are the most"),
    ],
    ids=["chunk of 2 GB", "chunk of 4 GB", "text of 1 GB", "scans"],
)
def test_lying_image_costs_nothing_before_it_is_refused(data, reason, work):
    megabytes, seconds, found = cost(data, work)
    assert (megabytes < 20, seconds < 0.2) == (True, True), (megabytes, seconds, found)
    expected = inspect_crop(data, MAX_PIXELS).reason
    assert found == expected if work is stored else expected in found


@linux
@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *[("PNG", mode) for mode in ("RGBA", "LA", "P", "RGB")],
        *[("TIFF", "RGBA"), ("WEBP", "RGBA"), ("WEBP", "RGB")],
        *[(kind, "RGB") for kind in ("JPEG", "GIF", "PPM", "BMP", "JPEG2000")],
    ],
)
def test_honest_image_takes_at_most_15_bytes_for_each_pixel(kind, mode):
    side = 1500 if kind == "JPEG2000" else 2000
    image = Image.new(mode, (side, side))
    data = encode(image, kind, **({"transparency": 0} if (kind, mode) == ("PNG", "P") else {}))
    megabytes, seconds, found = cost(data, stored)
    least = 24 if kind in ("WEBP", "JPEG2000") else 15  # WebP's decoder keeps three pictures with transparency
    assert isinstance(found, int)
    assert megabytes < least * side * side / 1e6 + 10, (megabytes, seconds)


@pytest.mark.parametrize("options", [{}, {"no_jp2": True}])
def test_jpeg_2000_is_measured_by_its_stream(options):
    assert inspect_crop(jpeg_2000(49, 23, **options), MAX_PIXELS).reason is None
    found = container_fault(jpeg_2000(2000, 2000, **options), MAX_PIXELS)
    assert found == "too large: JPEG 2000 of 2000 x 2000 pixels, half of max_pixels = 5000000 are the most"
    assert container_fault(jpeg_2000(1500, 1500, **options), MAX_PIXELS) is None


@with_avif
def test_avif_is_measured_by_its_stream():
    lie = avif((49, 23), (400, 300))
    assert inspect_crop(lie, 119_999).reason == "too large: 400 x 300 pixels, max_pixels = 119999"
    assert container_fault(lie, 120_000) is None
    assert inspect_crop(encode(PICTURE, "AVIF"), MAX_PIXELS).reason is None


@with_avif
def test_avif_cut_anywhere_has_a_reason_or_is_whole():
    data = encode(PICTURE, "AVIF")
    with quiet_decoders():
        for length in range(0, len(data), 3):
            facts = inspect_crop(data[:length], MAX_PIXELS)
            assert facts.status == "ok" or facts.reason


def test_usual_progressive_jpeg_is_good():
    data = encode(PICTURE, "JPEG", progressive=True)
    assert data.count(b"\xff\xda") > 5
    assert inspect_crop(data, MAX_PIXELS).reason is None
    assert container_fault(many_scans(MOST_SCANS // 2), MAX_PIXELS) is None


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000"])
def test_mutated_images_have_a_reason_or_pixels(kind):
    data = encode(PICTURE, kind)
    rng = np.random.default_rng(7)
    with quiet_decoders():
        for _ in range(60):
            mutant = bytearray(data)
            place = int(rng.integers(0, min(300, len(data) - 4)))
            mutant[place : place + 4] = rng.choice(
                [b"\xff\xff\xff\xff", b"\0\0\x1b\x58", b"\x7f\xff\xff\xff", b"\0\0\0\0"]
            )
            decoded = decode_checked(bytes(mutant), 100_000)
            assert decoded.pixels is not None or decoded.facts.reason
            unpacked(bytes(mutant))  # raises nothing else


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1", "CMYK"])
def test_pixels_made_in_bands_are_those_made_at_once(mode, monkeypatch):
    image = PICTURE.convert("RGBA")
    image.putalpha(Image.fromarray(np.random.default_rng(1).integers(0, 256, (23, 49), np.uint8)))
    image = image.convert(mode)
    whole = rgb_of(image)
    monkeypatch.setattr("lmim_kedro.crops.pixels._BAND", 100)
    assert len(list(bands_of(image))) == 12
    assert np.array_equal(rgb_of(image), whole)


@pytest.fixture(scope="module")
def script():
    """What is defined in the script beside exported graphs."""
    return runpy.run_path(str(Path(__file__).parents[2] / "src/lmim_kedro/reading/standalone.py"))


@linux
def test_script_beside_exported_graphs_refuses_what_lies(script, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "empty.png").touch()
    (tmp_path / "good.png").write_bytes(encode(PICTURE, "PNG"))
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(2**36)
    assert script["decode"](tmp_path / "good.png").shape == (23, 49, 3)
    assert script["decode"](tmp_path / "pipe.png") == "no regular file"
    assert script["decode"](tmp_path / "none.png") == "missing file"
    assert script["decode"](tmp_path / "empty.png") == "undecodable"
    assert script["decode"](tmp_path / "large.png") == "larger than 67,108,864 bytes"
    for name, data in (("chunk", lying_png(0xF0000000)), ("scans", many_scans(300))):
        (tmp_path / name).write_bytes(data)
        megabytes, seconds, found = cost(tmp_path / name, script["decode"])
        assert (megabytes < 20, seconds < 0.2, found) == (True, True, "undecodable"), (megabytes, seconds)
