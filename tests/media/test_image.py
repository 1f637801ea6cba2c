"""Reading pictures as they are meant to be seen, writing PNG, contact sheets."""

import struct
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image, ImageCms, features

from svp.errors import InputError
from svp.media.image import LONGEST_SIDE, contact_sheet, read_image, write_png

RNG = np.random.default_rng(0)
PICTURE = RNG.integers(0, 256, (12, 20, 3), dtype=np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    stored = {
        1: lambda x: x,
        2: np.fliplr,
        3: lambda x: np.rot90(x, 2),
        4: np.flipud,
        5: lambda x: x.swapaxes(0, 1),
        6: lambda x: np.rot90(x, 1),  # the viewer turns it clockwise
        7: lambda x: np.rot90(x, 2).swapaxes(0, 1),
        8: lambda x: np.rot90(x, -1),
    }[orientation](PICTURE)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(read_image(tmp_path / "turned.png"), PICTURE)


def test_transparency_lies_over_white(tmp_path):
    alpha = np.zeros((12, 20, 1), np.uint8)
    alpha[:, 5:10], alpha[:, 10:] = 128, 255
    Image.fromarray(np.concatenate([PICTURE, alpha], axis=2)).save(tmp_path / "alpha.png")
    image = read_image(tmp_path / "alpha.png")
    assert (image[:, :5] == 255).all() and np.array_equal(image[:, 10:], PICTURE[:, 10:])
    half = PICTURE[:, 5:10] * (128 / 255) + 255 * (127 / 255)
    assert np.abs(image[:, 5:10] - half).max() <= 1


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "I", "F"])
def test_every_kind_of_picture_becomes_rgb(tmp_path, mode):
    grey = np.linspace(0, 255, 240).reshape(12, 20).astype(np.uint8)
    if mode in ("I;16", "I"):
        picture = Image.fromarray(grey.astype(np.uint16 if mode == "I;16" else np.int32) * 257)
    elif mode == "F":
        picture = Image.fromarray(grey.astype(np.float32))
    else:
        picture = Image.fromarray(grey).convert("RGB" if mode == "CMYK" else mode).convert(mode)
    path = tmp_path / f"picture.{'tif' if mode in ('CMYK', 'F', 'I') else 'png'}"
    picture.save(path)
    image = read_image(path)
    assert image.shape == (12, 20, 3) and image.dtype == np.uint8
    if mode != "1":
        assert np.abs(image.astype(int) - grey[..., None]).max() <= 4


def test_embedded_colours_become_srgb(tmp_path):
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    picture = Image.fromarray(PICTURE)
    picture.save(tmp_path / "srgb.png", icc_profile=bytes(profile))
    assert np.abs(read_image(tmp_path / "srgb.png").astype(int) - PICTURE).max() <= 2
    # Red and blue primaries exchanged: the same numbers now mean the exchanged colours.
    for index in range(struct.unpack_from(">I", profile, 128)[0]):
        at = 132 + 12 * index
        name = bytes(profile[at : at + 4])
        profile[at : at + 4] = {b"rXYZ": b"bXYZ", b"bXYZ": b"rXYZ"}.get(name, name)
    picture.save(tmp_path / "swapped.png", icc_profile=bytes(profile))
    assert np.abs(read_image(tmp_path / "swapped.png").astype(int) - PICTURE[..., ::-1]).mean() < 3
    picture.save(tmp_path / "broken.png", icc_profile=b"no profile")
    assert np.array_equal(read_image(tmp_path / "broken.png"), PICTURE)


def test_unusable_pictures_say_which_and_what_to_do(tmp_path):
    buffer = BytesIO()
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(buffer, "PNG")
    files = {"cut.png": buffer.getvalue()[:3000], "text.png": b"hello" * 40, "empty.png": b""}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    for path in [*(tmp_path / name for name in files), tmp_path / "missing.png", tmp_path]:
        with pytest.raises(InputError) as caught:
            read_image(path)
        assert str(path) in str(caught.value) and ";" in str(caught.value)


def test_postscript_of_strangers_is_not_run(tmp_path, monkeypatch):
    fake = tmp_path / "gs"
    fake.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    text = "%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n%%EOF\n"
    (tmp_path / "page.png").write_text(text)
    with pytest.raises(InputError, match=r"page\.png: not a picture this program reads \(PNG, JPEG, .*\); export"):
        read_image(tmp_path / "page.png")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF", "GIF", "TIFF", "BMP", "JPEG2000", "PPM"])
def test_every_kind_that_is_promised_is_read(tmp_path, kind):
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("Pillow without AVIF")
    plain = np.full((16, 24, 3), (200, 120, 40), np.uint8)
    Image.fromarray(plain).save(tmp_path / "picture.png", kind)  # the name tells nothing
    assert np.abs(read_image(tmp_path / "picture.png").astype(int) - plain).max() <= 6


@pytest.mark.skipif(not features.check("avif"), reason="Pillow without AVIF")
def test_damaged_avif_is_one_line_wherever_the_damage_is(tmp_path):
    buffer, told = BytesIO(), 0
    Image.fromarray(PICTURE).save(buffer, "AVIF")
    for place in range(len(buffer.getvalue())):
        data = bytearray(buffer.getvalue())
        data[place] ^= 255
        (tmp_path / "torn.avif").write_bytes(data)
        try:
            read_image(tmp_path / "torn.avif")
        except InputError as error:
            told += "torn.avif: damaged or truncated picture" in str(error)
    assert told


def test_a_damaged_tiff_is_told_by_us_alone(tmp_path, capfd):
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.tif", compression="tiff_lzw")
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[3000:6000] = bytes(3000)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(InputError, match="damaged or truncated"):
        read_image(tmp_path / "a.tif")
    assert capfd.readouterr().err == ""  # libtiff has its own way to stderr
    print("heard again", file=sys.stderr)
    assert capfd.readouterr().err == "heard again\n"


def test_pictures_beyond_measure_are_refused_before_they_are_read(tmp_path):
    for size in ((LONGEST_SIDE + 1, 1), (9000, 9000)):  # ten bytes a row, black
        Image.new("1", size).save(tmp_path / "large.png")
        with pytest.raises(InputError, match=rf"large\.png: {size[0]} x {size[1]} pixels; make it smaller"):
            read_image(tmp_path / "large.png")
    Image.new("1", (LONGEST_SIDE, 1)).save(tmp_path / "line.png")
    assert read_image(tmp_path / "line.png").shape == (1, LONGEST_SIDE, 3)


def test_sixteen_bits_become_the_nearest_of_eight(tmp_path):
    wide = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(wide).save(tmp_path / "wide.png")
    assert np.array_equal(read_image(tmp_path / "wide.png")[..., 0], np.round(wide / 257).astype(np.uint8))


def test_png_comes_back(tmp_path):
    write_png(tmp_path / "new" / "a.png", PICTURE)
    assert np.array_equal(read_image(tmp_path / "new" / "a.png"), PICTURE)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.png"]
    with pytest.raises(ValueError, match="uint8"):
        write_png(tmp_path / "b.png", PICTURE.astype(np.float32))


def test_contact_sheet_shows_every_picture_and_label():
    red, blue = np.zeros((40, 40, 3), np.uint8), np.zeros((40, 20, 3), np.uint8)
    red[..., 0], blue[..., 2] = 255, 255
    plain = contact_sheet([[red, blue], [red]], cell=40)
    assert plain.shape == (4 + 2 * 44, 4 + 2 * 44, 3)
    assert (plain[4:44, 4:44] == (255, 0, 0)).all()
    assert (plain[4:44, 58:78] == (0, 0, 255)).all() and (plain[4:44, 48:58] == 255).all()
    assert (plain[48:, 48:] == 255).all()
    labelled = contact_sheet([[red, blue], [red]], row_labels=["happy", "sad"], column_labels=["0 s", "1 s"], cell=40)
    height, width = labelled.shape[:2]
    assert height > plain.shape[0] and width > plain.shape[1]
    assert labelled[:, : width - plain.shape[1]].min() < 100  # letters left
    assert labelled[: height - plain.shape[0]].min() < 100  # and above
    assert np.array_equal(labelled[height - plain.shape[0] :, width - plain.shape[1] :], plain)
    with pytest.raises(ValueError, match="labels"):
        contact_sheet([[red]], row_labels=["a", "b"])
