"""Encoded crops become pixels, whatever they are encoded as."""

import io
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from lmim_kedro.crops.pixels import UndecodableCrop, decode, decode_batch, resize, to_input


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 8, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_back_as_rgb(form):
    pixels = picture(20, 50)
    np.testing.assert_array_equal(decode(encoded(Image.fromarray(pixels), form)), pixels)


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1"])
def test_every_mode_becomes_three_channels(mode):
    image = Image.fromarray(picture(20, 50)).convert(mode)
    form = "JPEG" if mode == "CMYK" else "GIF" if mode == "P" else "PNG"
    assert decode(encoded(image, form)).shape == (20, 50, 3)


@pytest.mark.parametrize("profiled", [False, True])
def test_sixteen_bits_of_gray_become_eight(profiled):
    """A PNG with a color profile goes to Pillow, any other to OpenCV."""
    deep = np.linspace(0, 65535, 12 * 30).astype(np.uint16).reshape(12, 30)
    options = {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()} if profiled else {}
    data = encoded(Image.fromarray(deep), "PNG", **options)
    assert (b"iCCP" in data[:256]) == profiled
    found = decode(data)
    assert found.shape == (12, 30, 3)
    assert np.abs(found.astype(int) - (deep[..., None] >> 8)).max() <= 1


def test_bytes_that_are_no_image_are_refused():
    for data in (b"", b"hello", encoded(Image.fromarray(picture(20, 50)), "PNG")[:60]):
        with pytest.raises(UndecodableCrop):
            decode(data)


def test_a_batch_is_its_crops_resized_and_knows_their_shapes():
    pictures = [picture(20, 50), picture(64, 300, 1), picture(12, 12, 2)]
    blobs = [encoded(Image.fromarray(p), "PNG") for p in pictures]
    images, aspect = decode_batch(blobs, 32, 128)
    assert images.shape == (3, 3, 32, 128) and images.dtype == np.uint8
    np.testing.assert_allclose(aspect, [2.5, 300 / 64, 1])
    for image, pixels in zip(images, pictures, strict=True):
        np.testing.assert_array_equal(image, resize(pixels, 32, 128).transpose(2, 0, 1))


def test_threads_change_nothing_and_name_the_broken_crop():
    blobs = [encoded(Image.fromarray(picture(20, 50, seed)), "PNG") for seed in range(40)]
    with ThreadPoolExecutor(3) as pool:
        for one, other in zip(decode_batch(blobs, 32, 128), decode_batch(blobs, 32, 128, pool), strict=True):
            np.testing.assert_array_equal(one, other)
        blobs[37] = b"broken"
        with pytest.raises(UndecodableCrop) as raised:
            decode_batch(blobs, 32, 128, pool)
    assert raised.value.place == 37


@pytest.mark.parametrize("shape", [(20, 50), (64, 300), (20, 200), (80, 60)])
def test_resizing_is_near_pils_bicubic(shape):
    pixels = picture(*shape)
    expected = np.asarray(Image.fromarray(pixels).resize((128, 32), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(resize(pixels, 32, 128) - expected).mean() < 3


def test_an_odd_color_profile_is_neither_used_nor_printed(capfd: pytest.CaptureFixture[str]) -> None:
    pixels = picture(20, 50)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", icc_profile=b"not a profile" * 20)
    assert (decode(file.getvalue()) == pixels).all()
    assert capfd.readouterr().err == ""


def test_the_encoder_gets_the_same_numbers_from_numpy_and_torch_bit_for_bit():
    levels = np.arange(256, dtype=np.uint8)
    found, same = to_input(levels), to_input(torch.from_numpy(levels))
    assert found.dtype == np.float32 and same.dtype == torch.float32
    assert torch.equal(same, torch.from_numpy(levels).float() / 127.5 - 1)
    np.testing.assert_array_equal(found, same.numpy())
    assert (found[0], found[255]) == (-1, 1)


def test_floats_from_0_to_1_are_spread_from_minus_1_to_1():
    assert to_input(torch.tensor([0, 0.25, 1])).tolist() == [-1, -0.5, 1]
