"""Images as people have them: what is taken, and the one line that says why another is not."""

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from inspector.detect.commands import find_backbone
from inspector.detect.images import common_layout, list_images, read_image
from inspector.detect.model.manifest import InputLayout
from inspector.detect.teaching.teach import TeachOptions, teach
from inspector.errors import ConfigError

LAYOUT = InputLayout(width_px=64, height_px=48, pixel_format="Mono8")


def _image(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def _save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir(exist_ok=True)
    assert cv2.imwrite(str(path), image)
    return path


@pytest.mark.parametrize(
    ("name", "image", "reason"),
    [
        ("deep.png", _image(48, 64, dtype=np.uint16), "16 bits a channel; give 8-bit"),
        ("deep.tif", _image(48, 64, 3, dtype=np.uint16), "16 bits a channel; give 8-bit"),
        ("tiny.png", _image(8, 64), "64 x 8 pixels; the shorter side takes at least 32"),
    ],
)
def test_what_cannot_be_taken_is_named(tmp_path: Path, name: str, image: np.ndarray, reason: str) -> None:
    path = _save(tmp_path / name, image)
    with pytest.raises(ConfigError, match=reason) as caught:
        read_image(path, LAYOUT)
    assert str(path) in str(caught.value)
    with pytest.raises(ConfigError, match=reason):
        common_layout([path])


def test_an_empty_file_and_one_that_is_no_image(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.jpg").write_text("not a picture")
    with pytest.raises(ConfigError, match="the file is empty"):
        read_image(tmp_path / "empty.png", LAYOUT)
    with pytest.raises(ConfigError, match="cannot be read as an image"):
        read_image(tmp_path / "text.jpg", LAYOUT)


def test_what_the_decoder_says_does_not_stand_beside_our_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    whole = _save(tmp_path / "whole.tif", _image(480, 640)).read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "other.png").write_bytes(b"GIF89a" + bytes(50))
    for name in ("cut.tif", "other.png"):
        with pytest.raises(ConfigError, match="cannot be read as an image"):
            read_image(tmp_path / name, LAYOUT)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_file_that_was_cut_off_is_not_half_an_image(tmp_path: Path, suffix: str) -> None:
    whole = _save(tmp_path / f"whole{suffix}", _image(480, 640)).read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="cut off"):
        read_image(cut, LAYOUT)


def test_a_header_that_promises_too_many_pixels(tmp_path: Path) -> None:
    data = bytearray(_save(tmp_path / "huge.png", _image(48, 64)).read_bytes())
    data[16:24] = (200_000).to_bytes(4, "big") * 2
    (tmp_path / "huge.png").write_bytes(data)
    with pytest.raises(ConfigError, match=r"huge\.png: cannot be"):
        read_image(tmp_path / "huge.png", LAYOUT)


def test_alpha_is_dropped_and_grey_in_three_channels_is_grey(tmp_path: Path) -> None:
    grey = _image(48, 64)
    alpha = np.dstack([grey, grey, grey, np.full_like(grey, 255)])
    path = _save(tmp_path / "alpha.png", alpha)
    assert common_layout([path]) == LAYOUT
    np.testing.assert_array_equal(read_image(path, LAYOUT)[..., 0], grey)


def test_colour_is_rgb(tmp_path: Path) -> None:
    path = _save(tmp_path / "red.png", np.full((48, 64, 3), (0, 0, 200), np.uint8))
    layout = common_layout([path])
    assert layout.pixel_format == "RGB8"
    assert read_image(path, layout)[0, 0].tolist() == [200, 0, 0]


def test_a_picture_of_something_else_is_refused_a_slightly_other_crop_is_scaled(tmp_path: Path) -> None:
    usual = [_save(tmp_path / f"{n}.png", _image(100, 200)) for n in range(3)]
    near = _save(tmp_path / "near.png", _image(104, 200))
    assert common_layout([*usual, near]).height_px == 100
    assert read_image(near, common_layout(usual)).shape == (100, 200, 1)
    with pytest.raises(ConfigError, match="most are 200 x 100"):
        common_layout([*usual, _save(tmp_path / "other.png", _image(200, 100))])


# 48 x 40 pixels of cyan 0, magenta 200, yellow 200, black 0, as Adobe's programs write it.
CMYK_JPEG = (
    "/9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAbEhQXFBEbFxYXHhwbIChCKyglJShROj0wQmBVZWRfVV1baniZgWpxkHNbXYW1hpCeo6utq2eA"
    "vMm6pseZqKuk/8AAFAgAKAAwBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAAFBv/EABQQAQAAAAAAAAAAAAAAAAAAAAD/"
    "2gAOBEMATQBZAEsAAD8A0ySktMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAD//Z"
)


def test_cmyk_is_converted(tmp_path: Path) -> None:
    path = tmp_path / "print.jpg"
    path.write_bytes(base64.b64decode(CMYK_JPEG))
    layout = common_layout([path])
    assert (layout.width_px, layout.height_px, layout.pixel_format) == (48, 40, "RGB8")
    red, green, blue = read_image(path, layout)[20, 24].tolist()
    assert red > 240
    assert max(green, blue) < 80


def test_too_few_or_spoiled_images_teach_nothing_and_write_nothing(tmp_path: Path) -> None:
    for number in range(2):
        _save(tmp_path / "good" / f"{number}.png", _image(48, 64))
    with pytest.raises(ConfigError, match="2 images; teach-in takes 5 to 500"):
        _teach(tmp_path)
    for number in range(6):
        _save(tmp_path / "good" / f"{number}.png", _image(48, 64))
    (tmp_path / "good" / "3.png").write_bytes((tmp_path / "good" / "3.png").read_bytes()[:200])
    with pytest.raises(ConfigError, match=r"3\.png: the file is cut off"):
        _teach(tmp_path)
    assert not (tmp_path / "models").exists()


def _teach(folder: Path) -> None:
    backbone = find_backbone(folder / "models")
    teach(folder / "good", None, folder / "models", backbone, options=TeachOptions(name="disc"))


def test_no_folder_and_no_images(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such folder"):
        list_images(tmp_path / "gone")
    with pytest.raises(ConfigError, match="no images in it"):
        list_images(tmp_path)
