"""Pictures that change are told of, by what changed, and those that are as taught never."""

import numpy as np
import pytest

from inspector.detect.picture_drift import (
    PictureDrift,
    PictureMonitor,
    more_pictures,
    student,
    taught_pictures,
)
from inspector.types import FrameContext


def seen(rng: np.random.Generator, light: float = 1.0, focus: float = 1.0) -> FrameContext:
    """A picture of a line whose own light and focus vary by 1 % and 5 %."""
    level = 0.25 * light * 2.0 ** rng.normal(0.0, 0.015)
    return FrameContext(
        light_level=level, sharpness=0.1 * level**2 * focus * float(2.0 ** rng.normal(0.0, 0.07))
    )


def told(monitor: PictureMonitor, contexts: list[FrameContext]) -> list[PictureDrift]:
    found = [monitor.add(context) for context in contexts]
    return [drift for drift in found if drift is not None and drift.began]


def monitor_of(rng: np.random.Generator, count: int) -> PictureMonitor:
    return PictureMonitor(taught_pictures([seen(rng) for _ in range(count)]))


@pytest.mark.parametrize(
    ("light", "focus", "said"),
    [
        (0.85, 1.0, "darker"),
        (1.2, 1.0, "brighter"),
        (1.0, 0.6, "softer"),
        (1.0, 1.8, "noisier"),
        (0.8, 0.5, "darker and softer"),
    ],
)
def test_what_changed_is_told_once(light: float, focus: float, said: str) -> None:
    rng = np.random.default_rng(0)
    monitor = monitor_of(rng, 30)
    assert told(monitor, [seen(rng) for _ in range(300)]) == []
    drifts = told(monitor, [seen(rng, light, focus) for _ in range(300)])
    assert said in drifts[-1].text
    assert len(drifts) <= len(said.split(" and "))
    last = monitor.add(seen(rng, light, focus))
    assert last is not None
    assert (last.light, last.focus) == pytest.approx((light, focus), rel=0.05)


def test_what_is_over_can_be_told_again() -> None:
    rng = np.random.default_rng(1)
    monitor = monitor_of(rng, 30)
    dark, usual = [seen(rng, 0.8) for _ in range(200)], [seen(rng) for _ in range(200)]
    assert len(told(monitor, dark + usual + dark)) == 2


@pytest.mark.parametrize("count", [5, 10, 30, 200])
def test_pictures_as_taught_are_never_told_of(count: int) -> None:
    """Not with few taught either, nor where all of a window are alike and lie off together."""
    rng = np.random.default_rng(2)
    for _ in range(20):
        monitor = monitor_of(rng, count)
        assert told(monitor, [seen(rng) for _ in range(200)]) == []
        assert told(monitor, [seen(rng)] * 100) == []


def test_a_few_odd_pictures_say_nothing() -> None:
    rng = np.random.default_rng(3)
    odd = [seen(rng, 0.3, 0.1) if rng.random() < 0.2 else seen(rng) for _ in range(500)]
    assert told(monitor_of(rng, 30), odd) == []


def test_pictures_all_alike_or_black_are_taken() -> None:
    """A blank wall: no spread at all. A dead lamp: no light to take a logarithm of."""
    wall, black = (
        FrameContext(light_level=0.5, sharpness=0.0),
        FrameContext(light_level=0.0, sharpness=0.0),
    )
    monitor = PictureMonitor(taught_pictures([wall] * 5))
    assert told(monitor, [wall] * 100) == []
    assert "darker" in told(monitor, [black] * 100)[0].text


def test_nothing_is_said_of_a_few_pictures() -> None:
    rng = np.random.default_rng(4)
    monitor = monitor_of(rng, 30)
    assert [monitor.add(seen(rng, 0.5)) for _ in range(29)] == [None] * 29


def test_more_are_as_if_taught_at_once() -> None:
    rng = np.random.default_rng(5)
    contexts = [seen(rng) for _ in range(40)]
    whole = taught_pictures(contexts)
    added = more_pictures(taught_pictures(contexts[:15]), contexts[15:])
    assert added.count == whole.count
    for one, other in ((added.light, whole.light), (added.focus, whole.focus)):
        assert (one.mean, one.deviation) == pytest.approx((other.mean, other.deviation))
    assert more_pictures(whole, []) == whole


@pytest.mark.parametrize(
    ("freedom", "tail", "value"),
    [(1, 0.025, 12.706), (4, 0.0005, 8.610), (9, 0.0005, 4.781), (100, 0.025, 1.984)],
)
def test_the_limit_is_that_of_the_tables(freedom: int, tail: float, value: float) -> None:
    assert student(freedom, tail) == pytest.approx(value, abs=1e-3)
