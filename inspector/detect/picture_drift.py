"""Notices that pictures are darker, brighter, softer or noisier than at teach-in. Pure.

The score tells when a change has used up much of the margin (drift.py); light and focus of the pictures tell
of a lamp that ages or a lens that gets dirty long before, and which it is (docs/decisions/052). The median
over recent pictures is compared with those taught. It counts as one picture more: pictures that follow one
another share their lamp and their belt, so that many of them are no surer than one. The limit is that of
Student's t for one more picture like those taught: one in 10,000 lies beyond, however few were taught.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import fmean, median, stdev
from typing import Final

import numpy as np

from inspector.detect.drift import FEWEST, WINDOW
from inspector.detect.model.manifest import Manifest, Spread, TaughtPictures
from inspector.types import FrameContext

_FALSE_ALARMS: Final = 1e-4  # windows, of light and focus together
_TAIL: Final = _FALSE_ALARMS / 4  # each of the two, each way
_WORTH_TELLING: Final = (math.log2(1.1), math.log2(1.25))  # of light and of focus; less is not worth a walk
_CLEAR: Final = 0.8  # of the limit, under which it counts as over
_SMALLEST_LIGHT, _SMALLEST_SHARPNESS = 1e-3, 1e-9
_LIGHT, _FOCUS = 0, 1
_KINDS: Final = (
    ("darker", "brighter", "check the lamp, the exposure and for stray light"),
    ("softer", "sharper or noisier", "clean the lens, check focus, distance and gain"),
)


@dataclass(frozen=True, slots=True)
class PictureDrift:
    """`light` and `focus` as a share of those at teach-in, 1 when they are the same. `began` is true once,
    with the picture that passed a limit; `kinds` are the indices in `_KINDS` of what is beyond its limit."""

    light: float
    focus: float
    kinds: tuple[int, ...]
    began: bool

    @property
    def light_drifts(self) -> bool:
        return _LIGHT in self.kinds

    @property
    def focus_drifts(self) -> bool:
        return _FOCUS in self.kinds

    @property
    def text(self) -> str:
        ratios = self.light, self.focus
        words = [_KINDS[kind][ratios[kind] > 1.0] for kind in self.kinds]
        advice = "; ".join(_KINDS[kind][2] for kind in self.kinds)
        return (
            f"pictures are {' and '.join(words)} than at teach-in (light {self.light:.0%}, focus "
            f"{self.focus:.0%}): {advice}, or teach again with parts of today"
        )


class PictureMonitor:
    """One camera's pictures, in order. Not thread-safe; needs no clock."""

    def __init__(self, taught: TaughtPictures, *, window: int = WINDOW) -> None:
        self._taught = (taught.light, taught.focus)
        self._limits = [
            max(_limit(taught.count, spread.deviation), least)
            for spread, least in zip(self._taught, _WORTH_TELLING, strict=True)
        ]
        self._recent: deque[tuple[float, float]] = deque(maxlen=window)
        self._drifting: set[int] = set()

    @staticmethod
    def of(manifest: Manifest) -> "PictureMonitor | None":
        """None for a model whose manifest does not say how its pictures were."""
        return None if manifest.pictures is None else PictureMonitor(manifest.pictures)

    def add(self, context: FrameContext) -> PictureDrift | None:
        """Take one picture's context; None until there are enough."""
        self._recent.append(light_and_focus(context))
        if len(self._recent) < min(FEWEST, self._recent.maxlen or FEWEST):
            return None
        away = [
            median(values) - spread.mean
            for values, spread in zip(zip(*self._recent, strict=True), self._taught, strict=True)
        ]
        shares = [abs(by) / limit for by, limit in zip(away, self._limits, strict=True)]
        beyond = {kind for kind, share in enumerate(shares) if share >= 1.0}
        held = {kind for kind in self._drifting if shares[kind] >= _CLEAR}
        began = not beyond <= self._drifting
        self._drifting = beyond | held
        return PictureDrift(2.0 ** away[0], 2.0 ** away[1], tuple(sorted(self._drifting)), began)


def light_and_focus(context: FrameContext) -> tuple[float, float]:
    """log2 of the light, and of the sharpness for that light: contrast goes with it, its variance squared."""
    light = math.log2(max(context.light_level, _SMALLEST_LIGHT))
    return light, math.log2(max(context.sharpness, _SMALLEST_SHARPNESS)) - 2.0 * light


def taught_pictures(contexts: Sequence[FrameContext]) -> TaughtPictures:
    """How light and focus of the pictures spread, of two or more."""
    lights, focuses = zip(*(light_and_focus(context) for context in contexts), strict=True)
    return TaughtPictures(count=len(contexts), light=_spread(lights), focus=_spread(focuses))


def more_pictures(old: TaughtPictures, contexts: Sequence[FrameContext]) -> TaughtPictures:
    """`old` and further ones, as if all had been taught at once."""
    count = old.count + len(contexts)
    values = [light_and_focus(context) for context in contexts]
    joined = []
    for kind, spread in enumerate((old.light, old.focus)):
        new = [value[kind] for value in values]
        mean = (spread.mean * old.count + sum(new)) / count
        squares = spread.deviation**2 * (old.count - 1) + old.count * (spread.mean - mean) ** 2
        squares += sum((value - mean) ** 2 for value in new)
        joined.append(Spread(mean=mean, deviation=math.sqrt(squares / (count - 1))))
    return TaughtPictures(count=count, light=joined[0], focus=joined[1])


def _spread(values: Sequence[float]) -> Spread:
    return Spread(mean=fmean(values), deviation=stdev(values))


def _limit(count: int, deviation: float) -> float:
    """How far one more value may lie from the mean of `count`."""
    return student(count - 1, _TAIL) * deviation * math.sqrt(1.0 + 1.0 / count)


@lru_cache(maxsize=8)
def student(freedom: int, tail: float) -> float:
    """What Student's t exceeds with probability `tail`: sqrt(f) tan(a), where a has the density cos^(f-1)."""
    angles = np.linspace(math.pi / 2, 0.0, 200_001)
    density = np.cos(angles) ** (freedom - 1)
    beyond = np.concatenate([[0.0], np.cumsum((density[1:] + density[:-1]) / 2)])
    angle = float(np.interp(tail, beyond / beyond[-1] / 2, angles))
    return math.sqrt(freedom) * math.tan(angle)
