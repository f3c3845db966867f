"""Figures of merit of score maps against masks of the defects. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from inspector.detect.evaluating.evaluate import auroc

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

FALSE_POSITIVE_LIMIT: Final = 0.3  # up to which AUPRO integrates, as its authors do
_STEPS: Final = 300
_MOST_NORMAL: Final = 20_000_000  # pixels; beyond, every second, third, ... counts


@dataclass(frozen=True, slots=True)
class PixelFigures:
    """`pixel_auroc` over all pixels; `aupro` over regions; NaN where there is nothing to measure."""

    pixel_auroc: float
    aupro: float
    regions: int


def pixel_figures(maps: Sequence[Map], masks: Sequence[Mask]) -> PixelFigures:
    """From score maps of all test images and their masks, True where defective, of the same shapes.

    AUPRO: area under the per-region-overlap curve up to 30 % of false positives, over 0.3
    (Bergmann et al., The MVTec anomaly detection dataset, IJCV 2021), at thresholds evenly spaced
    in false positives. A region is a connected one (8 neighbours) of a mask.
    """
    every = 1 + sum(int((~mask).sum()) for mask in masks) // _MOST_NORMAL
    normal = [one[~mask][::every] for one, mask in zip(maps, masks, strict=True)]
    regions = [scores for one, mask in zip(maps, masks, strict=True) for scores in regions_of(one, mask)]
    if not regions or not any(len(scores) for scores in normal):
        return PixelFigures(float("nan"), float("nan"), 0)
    low = np.sort(np.concatenate(normal))
    return PixelFigures(auroc(low, np.concatenate(regions)), aupro(low, regions), len(regions))


def to_mask_size(score_map: Map, shape: tuple[int, int]) -> Map:
    """A score map spread over an image of `shape` (rows, columns), bilinear."""
    return np.asarray(
        cv2.resize(score_map, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR), dtype=np.float32
    )


def regions_of(score_map: Map, mask: Mask) -> list[Map]:
    """Scores of each connected region of the mask (8 neighbours), sorted."""
    count, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return [np.sort(score_map[labels == index]) for index in range(1, count)]


def aupro(normal: Map, regions: Sequence[Map]) -> float:
    """As `pixel_figures`, of normal pixels' scores and those of each region, all sorted."""
    rank = len(normal) - 1 - np.rint(np.linspace(0, FALSE_POSITIVE_LIMIT, _STEPS) * len(normal))
    limits = normal[np.clip(rank, 0, None).astype(np.int64)]
    false_positives = 1.0 - np.searchsorted(normal, limits, side="left") / len(normal)
    overlap = np.zeros(len(limits))
    for scores in regions:
        overlap += 1.0 - np.searchsorted(scores, limits, side="left") / len(scores)
    x = np.concatenate([[0.0], false_positives])
    y = np.concatenate([[0.0], overlap / len(regions)])
    # Ties make the last step overshoot the limit: cut the curve where it crosses it.
    grid = np.linspace(0, FALSE_POSITIVE_LIMIT, 4 * _STEPS)
    return float(np.trapezoid(np.interp(grid, x, y), grid) / FALSE_POSITIVE_LIMIT)
