"""Figures of merit: against cases whose answer is known by hand."""

import math

import numpy as np
import pytest

from inspector.detect.evaluating.box_figures import ImageBoxes, mean_average_precision
from inspector.detect.evaluating.evaluate import best_f1, f1_at, false_reject_at_escape
from inspector.detect.evaluating.pixel_figures import pixel_figures


def _two_regions() -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((100, 100), dtype=bool)
    mask[10:30, 10:30] = True  # 400 pixels
    mask[60:64, 60:64] = True  # 16 pixels
    return mask, np.random.default_rng(0).uniform(0.0, 0.5, mask.shape).astype(np.float32)


def test_a_map_that_marks_all_regions_scores_one() -> None:
    mask, scores = _two_regions()
    scores[mask] = 1.0
    figures = pixel_figures([scores], [mask])
    assert figures.regions == 2
    assert figures.aupro == pytest.approx(1.0, abs=0.003)
    assert figures.pixel_auroc == pytest.approx(1.0)


def test_a_small_region_weighs_as_much_as_a_large_one() -> None:
    mask, scores = _two_regions()
    scores[mask] = 0.0
    scores[10:30, 10:30] = 1.0  # the large region alone
    figures = pixel_figures([scores], [mask])
    assert figures.aupro == pytest.approx(0.5, abs=0.01)
    assert figures.pixel_auroc > 0.95  # blind to the small one


def test_random_scores_have_the_area_of_the_diagonal() -> None:
    mask, _ = _two_regions()
    masks = [mask] * 20
    rng = np.random.default_rng(1)
    maps = [rng.uniform(size=mask.shape).astype(np.float32) for _ in masks]
    assert pixel_figures(maps, masks).aupro == pytest.approx(0.15, abs=0.02)


def test_a_constant_map_gains_nothing_from_its_ties() -> None:
    mask, scores = _two_regions()
    assert pixel_figures([np.zeros_like(scores)], [mask]).aupro == pytest.approx(0.15, abs=0.01)


def test_without_marked_regions_there_is_nothing_to_measure() -> None:
    figures = pixel_figures([np.zeros((4, 4), np.float32)], [np.zeros((4, 4), dtype=bool)])
    assert math.isnan(figures.aupro)
    assert math.isnan(figures.pixel_auroc)


def test_f1_and_false_rejects_by_hand() -> None:
    good, defect = [0.1, 0.2, 0.3, 0.6], [0.4, 0.5, 0.7, 0.8]
    assert best_f1(good, defect) == pytest.approx(2 * 4 / (4 + 4 + 1))
    assert f1_at(good, defect, 0.65) == pytest.approx(2 * 2 / (4 + 2 + 0))
    assert false_reject_at_escape(good, defect, 0.0) == pytest.approx(0.25)
    assert false_reject_at_escape(good, defect, 0.5) == 0.0
    assert math.isnan(best_f1([], defect))


def test_average_precision_by_hand() -> None:
    box = (0.0, 0.0, 10.0, 10.0)
    away = (50.0, 50.0, 60.0, 60.0)
    right = ImageBoxes([("pit", box)], [("pit", 0.9, box)])
    wrong = ImageBoxes([("pit", box)], [("pit", 0.8, away)])
    assert mean_average_precision([right]) == pytest.approx(1.0)
    assert mean_average_precision([right, wrong]) == pytest.approx(0.505, abs=0.01)  # half the recall
    twice = ImageBoxes([("pit", box)], [("pit", 0.9, box), ("pit", 0.95, box)])
    assert mean_average_precision([twice]) == pytest.approx(1.0)  # the second comes after full recall
    other = ImageBoxes([("pit", box)], [("dent", 0.9, box)])
    assert mean_average_precision([other]) == 0.0
    assert math.isnan(mean_average_precision([ImageBoxes([], [])]))
