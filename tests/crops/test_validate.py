"""A crop is ok only if it can be decoded; each fault has its reason, and odd but good crops stay what they show."""

import io
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps

from lmim_kedro.crops.pixels import UndecodableCrop, decode_batch
from lmim_kedro.crops.sources.stream import pixels_of
from lmim_kedro.crops.validate import DECODING, decode_checked, inspect_crop, quiet_decoders, stored_bytes

MAX_PIXELS = 1_000_000
PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (23, 49, 3), np.uint8))


def encode(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def decode(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), DECODING)


def png_header(width, height):
    """A PNG that claims a size and holds hardly any pixels."""
    chunk = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([8, 2, 0, 0, 0])
    data = b"IDAT" + zlib.compress(bytes(100))
    parts = [len(part[4:]).to_bytes(4, "big") + part + zlib.crc32(part).to_bytes(4, "big") for part in (chunk, data)]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_facts_of_a_good_crop():
    data = encode(PICTURE, "JPEG")
    facts = inspect_crop(data, MAX_PIXELS)
    assert (facts.status, facts.reason, facts.width, facts.height) == ("ok", None, 49, 23)
    assert (facts.bytes, facts.format, facts.mode, len(facts.hash)) == (len(data), "JPEG", "RGB", 32)
    assert facts.hash != inspect_crop(data + b"\0", MAX_PIXELS).hash


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_truncated_crop_is_set_aside_with_its_reason(kind):
    data = encode(PICTURE, kind)
    assert inspect_crop(data, MAX_PIXELS).status == "ok"
    facts = inspect_crop(data[: len(data) // 2], MAX_PIXELS)
    assert (facts.status, facts.reason) == ("set aside", "truncated")


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP", "PNG"])
def test_several_frames_cut_off_anywhere_are_set_aside(kind):
    """How many frames there are is read beyond the header, where the file may end."""
    frames = [PICTURE.rotate(angle) for angle in (0, 90, 180)]
    data = encode(frames[0], kind, save_all=True, append_images=frames[1:])
    assert inspect_crop(data, MAX_PIXELS).reason == "animated: 3 frames"
    with quiet_decoders():
        for length in range(1, len(data), 7):
            facts = inspect_crop(data[:length], MAX_PIXELS)
            assert facts.status == "ok" or facts.reason


def test_jpeg_that_lacks_its_last_bytes_is_not_taken_for_whole():
    assert inspect_crop(encode(PICTURE, "JPEG")[:-30], MAX_PIXELS).reason == "truncated"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty: 0 bytes"),
        (b"not an image at all", "undecodable"),
        (b"\xff\xd8\xff\xe0" + bytes(200), "undecodable"),
        (png_header(40_000, 30_000), "too large"),
        (png_header(1001, 1000), "too large: 1001 x 1000 pixels, max_pixels = 1000000"),
        (png_header(0, 10), "zero size|undecodable"),
        (png_header(300, 300), "truncated"),
    ],
)
def test_broken_crops_are_set_aside(data, reason):
    facts = inspect_crop(data, MAX_PIXELS)
    assert facts.status == "set aside"
    assert facts.reason.startswith(tuple(reason.split("|")))
    assert facts.bytes == len(data)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_animated_crops_are_set_aside(kind):
    frames = [PICTURE.rotate(90), PICTURE.rotate(180)]
    data = encode(PICTURE, kind, save_all=True, append_images=frames)
    assert inspect_crop(data, MAX_PIXELS).reason == "animated: 3 frames"


def test_floating_point_crops_are_set_aside():
    assert inspect_crop(encode(PICTURE.convert("F"), "TIFF"), MAX_PIXELS).reason == "unsupported mode: F"


@pytest.mark.parametrize(
    ("mode", "kind", "within"),
    [("L", "JPEG", 0), ("1", "PNG", 0), ("P", "PNG", 0), ("P", "GIF", 0), ("CMYK", "JPEG", 3)],
)
def test_other_modes_are_kept_as_they_came_and_decode_to_what_they_show(mode, kind, within):
    data = encode(PICTURE.convert(mode), kind)
    decoded = decode_checked(data, MAX_PIXELS)
    assert (decoded.facts.status, decoded.facts.mode) == ("ok", mode)
    shown = np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)
    assert np.abs(decoded.pixels[:, :, ::-1].astype(int) - shown).max() <= within
    assert stored_bytes(data, decoded, None) == data


def test_16_bit_crop_keeps_its_gray_levels():
    gray = np.arange(0, 256, dtype=np.uint8).reshape(16, 16)
    decoded = decode_checked(cv2.imencode(".png", gray.astype(np.uint16) * 257)[1].tobytes(), MAX_PIXELS)
    assert decoded.facts.status == "ok"
    assert np.array_equal(decoded.pixels[:, :, 0], gray)


def test_black_text_on_a_transparent_ground_is_stored_on_white():
    layers = np.zeros((20, 40, 4), np.uint8)
    layers[5:15, 10:30, 3] = 255
    data = encode(Image.fromarray(layers, "RGBA"), "PNG")
    decoded = decode_checked(data, MAX_PIXELS)
    stored = decode(stored_bytes(data, decoded, None))
    assert decoded.facts.mode == "RGBA"
    assert stored[0, 0].tolist() == [255, 255, 255]
    assert stored[10, 20].tolist() == [0, 0, 0]


def test_transparent_color_of_a_palette_is_stored_as_white():
    image = Image.new("P", (20, 10), 1)
    image.putpalette([0, 0, 0, 200, 0, 0])
    image.paste(0, (0, 0, 5, 10))
    data = encode(image, "PNG", transparency=0)
    stored = decode(stored_bytes(data, decode_checked(data, MAX_PIXELS), None))
    assert stored[5, 2].tolist() == [255, 255, 255]
    assert stored[5, 12].tolist() == [0, 0, 200]


def test_opaque_alpha_leaves_the_bytes_alone():
    data = encode(PICTURE.convert("RGBA"), "PNG")
    assert stored_bytes(data, decode_checked(data, MAX_PIXELS), None) == data


def test_png_without_its_end_is_stored_whole_again():
    data = encode(PICTURE, "PNG")[:-12]
    decoded = decode_checked(data, MAX_PIXELS)
    assert decoded.facts.status == "ok"
    assert np.array_equal(decode(stored_bytes(data, decoded, None))[:, :, ::-1], np.asarray(PICTURE))


def tagged(tag, kind):
    """A picture as a camera stores it, with its orientation tag; lossless but for JPEG."""
    exif = Image.Exif()
    exif[0x0112] = tag
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
    return encode(SMOOTH, kind, exif=exif, **options)


SMOOTH = PICTURE.resize((12, 6)).resize((48, 24))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_camera_orientation_is_ignored_as_the_field_does_unless_asked_for(tag, kind):
    data = tagged(tag, kind)
    shown = ImageOps.exif_transpose(
        Image.open(io.BytesIO(encode(SMOOTH, "PNG", exif=Image.open(io.BytesIO(data)).getexif())))
    )
    for as_shown, expected in ((False, SMOOTH), (True, shown)):
        decoded = decode_checked(data, MAX_PIXELS, as_shown)
        assert (decoded.facts.status, decoded.facts.width, decoded.facts.height) == ("ok", *expected.size)
        difference = decoded.pixels[:, :, ::-1].astype(int) - np.asarray(expected).astype(int)
        assert np.abs(difference).max() <= (12 if kind == "JPEG" else 0)
    stored = stored_bytes(data, decode_checked(data, MAX_PIXELS), None)
    assert decode(stored).shape[:2] == (24, 48), "whoever opens the packed store sees what ingest saw"


def test_a_photo_in_memory_is_turned_upright_whether_or_not_it_was_loaded():
    for kind in ("JPEG", "TIFF"):
        for load in (False, True):
            image = Image.open(io.BytesIO(tagged(6, kind)))
            if load:
                image.load()
            assert pixels_of(image).shape == (48, 24, 3)


def test_an_orientation_that_cannot_be_read_is_none():
    data = tagged(6, "JPEG").replace(b"Exif\0\0", b"Exif\0\0\xff", 1)
    assert decode_checked(data, MAX_PIXELS, as_shown=True).facts.width == 48


@pytest.mark.parametrize(
    ("header", "levels"),
    [
        (b"P5 4 2 100\n", "u1"),
        (b"P5 4 2 1000\n", ">u2"),
        (b"P5 4 2 65535\n", ">u2"),
        (b"P5 4 2 255\n", "u1"),
        (b"P6 4 2 100\n", "u1"),
    ],
)
def test_gray_levels_of_pnm_are_scaled_from_their_own_maximum(header, levels):
    most, channels = int(header.split()[-1]), 3 if header[:2] == b"P6" else 1
    data = header + np.full((2, 4, channels), most, levels).tobytes()
    decoded = decode_checked(data, MAX_PIXELS)
    assert decoded.facts.reason is None
    assert decoded.pixels.shape == (2, 4, 3) and decoded.pixels.min() == 255
    assert decode(stored_bytes(data, decoded, None)).min() == 255
    assert decode_batch([data], 2, 4)[0].min() == 255


def test_damage_that_the_jpeg_decoder_sees_is_a_reason_and_the_terminal_stays_quiet(capfd):
    data = bytearray(encode(PICTURE.resize((200, 80)), "JPEG", quality=80))
    start = data.find(b"\xff\xda")
    rng, reasons = np.random.default_rng(0), []
    for _ in range(40):
        broken = bytearray(data)
        place = rng.integers(start + 14, len(data) - 30)
        broken[place : place + 20] = rng.integers(0, 255, 20, np.uint8).tobytes()
        reasons.append(inspect_crop(bytes(broken), MAX_PIXELS).reason or "ok")
    assert sum(reason.startswith("damaged: ") for reason in reasons) > 10
    assert set(reason.partition(":")[0] for reason in reasons) <= {"damaged", "ok", "truncated"}
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_heic_is_named_with_what_to_do_whatever_its_suffix():
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)
    assert inspect_crop(data, MAX_PIXELS).reason.startswith("undecodable: HEIC, which is not read here: convert it to")


def test_a_bitmap_without_a_file_header_is_read():
    assert inspect_crop(encode(PICTURE, "DIB"), MAX_PIXELS).reason is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_crops_taller_than_the_store_height_are_scaled_in_their_aspect_ratio(kind):
    data = encode(PICTURE.resize((200, 64)), kind)
    scaled = Image.open(io.BytesIO(stored_bytes(data, decode_checked(data, MAX_PIXELS), 32)))
    assert (scaled.size, scaled.format) == ((100, 32), kind)


def test_lossless_webp_is_scaled_without_loss_and_lossy_is_not():
    formats = {}
    for lossless in (True, False):
        data = encode(PICTURE.resize((200, 64)), "WEBP", lossless=lossless)
        formats[lossless] = Image.open(io.BytesIO(stored_bytes(data, decode_checked(data, MAX_PIXELS), 32))).format
    assert formats == {True: "PNG", False: "JPEG"}


def test_crops_not_taller_than_the_store_height_keep_their_bytes():
    data = encode(PICTURE, "JPEG", quality=40)
    assert stored_bytes(data, decode_checked(data, MAX_PIXELS), 23) == data


def test_uncompressed_crops_are_what_the_loader_makes_of_the_originals_and_any_tool_reads_them():
    data = encode(PICTURE.resize((201, 64)), "JPEG")
    stored = stored_bytes(data, decode_checked(data, MAX_PIXELS), None, store_size=(32, 128))
    kept, aspect = decode_batch([stored], 32, 128)
    wanted, wanted_aspect = decode_batch([data], 32, 128)
    assert np.array_equal(kept, wanted) and np.array_equal(aspect, wanted_aspect)
    for pixels in (decode(stored)[:, :, ::-1], np.asarray(Image.open(io.BytesIO(stored)))):
        assert np.array_equal(pixels, wanted[0].transpose(1, 2, 0))
    assert decode_batch([stored], 16, 64)[1] == np.float32(201 / 64)


def test_cut_off_uncompressed_crop_is_refused():
    data = encode(PICTURE, "JPEG")
    stored = stored_bytes(data, decode_checked(data, MAX_PIXELS), None, store_size=(32, 128))
    with pytest.raises(UndecodableCrop):
        decode_batch([stored[:-1]], 32, 128)


def test_uncompressed_crop_that_was_turned_remembers_its_turned_shape():
    data = encode(PICTURE, "PNG")
    stored = stored_bytes(data, decode_checked(data, MAX_PIXELS), None, True, (32, 128))
    assert decode_batch([stored], 32, 128)[1] == np.float32(PICTURE.height / PICTURE.width)


def test_extreme_strip_keeps_at_least_one_column():
    data = encode(Image.new("RGB", (1, 900), "red"), "PNG")
    assert decode(stored_bytes(data, decode_checked(data, MAX_PIXELS), 32)).shape == (32, 1, 3)
