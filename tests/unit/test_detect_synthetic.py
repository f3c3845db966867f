"""Made-up defects: seen where they are said to be, the same every time, on any image."""

import numpy as np
import pytest

from inspector.detect.teaching.synthetic import (
    CHANGED,
    UNCHANGED,
    Image,
    Synthetic,
    cell_change,
    spoil,
    spoiled_copies,
)


def texture(height: int = 96, width: int = 128, channels: int = 1) -> Image:
    rng = np.random.default_rng(1)
    return np.clip(rng.normal(120, 4, (height, width, channels)), 0, 255).astype(np.uint8)


@pytest.mark.parametrize("shape", [(96, 128, 1), (96, 128, 3), (700, 900, 1), (17, 40, 3)])
def test_the_image_is_altered_where_the_change_says_and_nowhere_else(shape: tuple[int, int, int]) -> None:
    image = texture(*shape)
    altered = 0
    for seed in range(8):
        spoiled, change = spoil(image, np.random.default_rng(seed))
        assert (spoiled.shape, spoiled.dtype, change.shape) == (image.shape, image.dtype, shape[:2])
        difference = np.abs(spoiled.astype(int) - image).max(axis=2)
        assert difference[change < 0.01].max(initial=0) <= 1  # rounding
        altered += int((change > CHANGED).any())
    assert altered >= 6


def test_the_same_seed_gives_the_same_defects_and_another_gives_others() -> None:
    image = texture()
    first, again, other = (spoil(image, np.random.default_rng(seed))[0] for seed in (5, 5, 6))
    assert (first == again).all()
    assert (first != other).any()


def test_the_good_image_stays_as_it_was() -> None:
    image = texture()
    image.flags.writeable = False
    spoil(image, np.random.default_rng(0))
    assert (image == texture()).all()


def test_a_cell_takes_the_strongest_change_within_it() -> None:
    change = np.zeros((32, 48), dtype=np.float32)
    change[8:12, 40:44] = 30.0
    cells = cell_change(change, 4, 6)
    assert cells.shape == (4, 6)
    assert cells[1, 5] > CHANGED
    assert cells[3, 0] < UNCHANGED


def test_copies_differ_and_remember_their_origin() -> None:
    made = [one for number in range(2) for one in spoiled_copies(texture(), number, 2)]
    assert len(made) == 4
    images = [image for image, _ in made]
    assert all((images[i] != images[j]).any() for i in range(4) for j in range(i))
    change = np.stack([cell_change(pixels, 12, 16) for _, pixels in made])
    synthetic = Synthetic(np.zeros((4, 12, 16, 2), np.float32), np.array([0, 0, 1, 1]), change)
    assert synthetic.made_from(np.array([1])).tolist() == [2, 3]
