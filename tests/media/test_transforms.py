from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from blipvid.core.errors import DecodeError
from blipvid.media.transforms import is_picture, read_picture, resize_bicubic


def test_bicubic_is_torchvisions_on_pil_pictures() -> None:
    from torchvision.transforms import InterpolationMode
    from torchvision.transforms.functional import resize

    pixels = np.random.default_rng(0).integers(0, 256, (3, 50, 70, 3), dtype=np.uint8)
    expected = [np.asarray(resize(Image.fromarray(p), [32, 32], InterpolationMode.BICUBIC)) for p in pixels]
    assert np.array_equal(resize_bicubic(pixels, 32), expected)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK"])
def test_every_picture_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / ("p.tif" if mode == "CMYK" else "p.png")
    Image.new(mode, (8, 6), 100).save(path)
    assert read_picture(path).shape == (1, 6, 8, 3)


def test_exif_orientation_is_not_applied(tmp_path: Path) -> None:
    path = tmp_path / "phone.jpg"
    picture = Image.new("RGB", (8, 6))
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(path, exif=exif)
    assert read_picture(path).shape == (1, 6, 8, 3)


def test_damaged_and_missing_pictures_are_one_clean_sentence(tmp_path: Path) -> None:
    path = tmp_path / "p.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)).save(path)
    content = path.read_bytes()
    for bad in (b"", b"<html>", content[: len(content) // 2]):
        path.write_bytes(bad)
        with pytest.raises(DecodeError, match=r"p\.png: cannot be read as a picture \(damaged, or no picture\)"):
            read_picture(path)
    with pytest.raises(DecodeError, match="no such file"):
        read_picture(tmp_path / "gone.png")


def test_a_gif_is_a_video() -> None:
    assert is_picture(Path("a/B.JPG"))
    assert not is_picture(Path("a.gif"))
    assert not is_picture(Path("a.mp4"))
