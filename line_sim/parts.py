"""Which parts the line makes: seeded, and independent of how many are made.

Pure. The part number counts from 1. The same seed and number give the same part in every run.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

import numpy as np


class DefectKind(StrEnum):
    SCRATCH = "scratch"
    DENT = "dent"
    STAIN = "stain"
    MISSING_HOLE = "missing_hole"
    CRACK = "crack"


ALL_DEFECTS: tuple[DefectKind, ...] = tuple(DefectKind)


class Stream(IntEnum):
    """Independent streams of random numbers, so that a change to one never moves another."""

    PART = 1
    POSE = 2
    DEFECT = 3
    NOISE = 4
    SENSOR = 5
    FAULT = 6
    LAYER = 7
    SHUFFLE = 8
    VIEW = 9
    CAMPAIGN = 10


def stream_rng(seed: int, stream: Stream, *key: int) -> np.random.Generator:
    """Return the generator of one stream. Any non-negative integers are a valid key."""
    return np.random.default_rng([seed, int(stream), *key])


@dataclass(frozen=True, slots=True)
class PlannedPart:
    """One part as the line makes it. `defect` is None for a good part.

    `image_key` tells the frame source which picture it is (the part number for the renderer).
    `picture` is the photograph's file name, "" for a rendered part.
    """

    number: int
    part_id: str
    defect: str | None
    image_key: int
    picture: str = ""

    @property
    def defective(self) -> bool:
        return self.defect is not None


def part_id_of(number: int) -> str:
    """Return the PLC's name of a part, e.g. P000123."""
    return f"P{number:06d}"


def plan_part(
    seed: int, number: int, defect_rate: float, kinds: tuple[DefectKind, ...] = ALL_DEFECTS
) -> PlannedPart:
    """Plan one part. `defect_rate` is the probability of a defect, in [0, 1]."""
    rng = stream_rng(seed, Stream.PART, number)
    draw, which = rng.random(2)
    defect = kinds[int(which * len(kinds))] if kinds and draw < defect_rate else None
    return PlannedPart(number=number, part_id=part_id_of(number), defect=defect, image_key=number)
