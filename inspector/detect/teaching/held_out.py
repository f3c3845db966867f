"""Fits scorers, and scores of parts by scorers that have not seen them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from inspector.detect.risk.calibration import Floats
from inspector.detect.teaching.bank import BankScorer
from inspector.detect.teaching.discriminator import DiscriminatingScorer, Discriminator, combine
from inspector.detect.teaching.gaussian import GaussianScorer
from inspector.detect.teaching.graph import F32
from inspector.detect.teaching.peaks import blurred, peaks
from inspector.detect.teaching.synthetic import Synthetic
from inspector.detect.teaching.two_scales import TwoScales

Indices = npt.NDArray[np.int64]
Method = Literal["gaussian", "bank"]
Scorer = TwoScales | DiscriminatingScorer | BankScorer
Progress = Callable[[str, int, int], None]
"""(what is being done, how much is done, of how much)."""

FOLDS: Final = 10
_FOLDS_AT_ONCE: Final = 2
_CELLS_AT_ONCE: Final = 8192  # of those folds; a cell takes some 20 kB while it is fitted
_CHECKING: Final = "Checking on held-out parts"


@dataclass(frozen=True, slots=True)
class Judges:
    """The discriminators of the first `known` good images: `final` learned from all of them, `early` from
    those from `half` on, `late` from those before it, so that each judges images that it has not seen."""

    known: int
    half: int
    early: Discriminator
    late: Discriminator
    final: Discriminator

    def of(self, image: int) -> Discriminator:
        """The one that has not learned from good image `image`."""
        return self.early if image < self.half else self.late if image < self.known else self.final


@dataclass(frozen=True, slots=True)
class Fitted:
    """A scorer fitted to all good parts, and held-out scores of images: good, (N,), defective, and with
    made-up defects."""

    scorer: Scorer
    good_scores: Floats
    defect_scores: Floats
    synthetic_scores: Floats
    judges: Judges | None = None


def fit_and_check(
    method: Method, good: F32, defect: F32, synthetic: Synthetic, *,
    discriminate: bool, blur: F32, progress: Progress,
) -> Fitted:  # fmt: skip
    """Fit to features (N, rows, columns, D); with `discriminate` a discriminator learns from `synthetic`.

    Good and synthetic images are scored by models without them, in folds of neighbours (neighbours in
    time look alike), defects by all of those models, on average.
    """
    if discriminate:
        return _with_discriminator(good, defect, synthetic, blur, progress)
    good_scores, made_scores = np.zeros(len(good)), np.zeros(len(synthetic.features))
    defect_scores = []
    parts = _folds(len(good))

    def check(part: Indices) -> Floats:
        scorer = _fit(method, np.delete(good, part, axis=0))
        good_scores[part] = score_images(scorer, good[part], blur)
        made = synthetic.made_from(part)
        made_scores[made] = score_images(scorer, synthetic.features[made], blur)
        return score_images(scorer, defect, blur)

    # The linear algebra of small matrices takes one core and leaves the others to other folds.
    at_once = max(1, min(_FOLDS_AT_ONCE, _CELLS_AT_ONCE // (good.shape[1] * good.shape[2])))
    with ThreadPoolExecutor(at_once) as pool:
        for done, scores in enumerate(pool.map(check, parts)):
            progress(_CHECKING, done, len(parts))
            defect_scores.append(scores)
    progress(_CHECKING, len(parts), len(parts))
    return Fitted(_fit(method, good), good_scores, np.mean(defect_scores, axis=0), made_scores)


def fit_again(
    good: F32, defect: F32, synthetic: Synthetic, judges: Judges, *, blur: F32, progress: Progress
) -> Fitted:
    """Fit the Gaussian to more good images, with the discriminators as they are.

    `synthetic` are those made from good images that `judges` do not know.
    """
    parts = _folds(len(good))
    good_scores, made_scores = np.zeros(len(good)), np.zeros(len(synthetic.features))
    defect_scores = []
    for done, part in enumerate(parts):
        progress(_CHECKING, done, len(parts))
        gaussian = GaussianScorer.fit(np.delete(good, part, axis=0))
        for image in part:
            scorer = DiscriminatingScorer(gaussian, judges.of(int(image)))
            good_scores[image] = score_images(scorer, good[image][None], blur)[0]
        scorer = DiscriminatingScorer(gaussian, judges.final)
        made = synthetic.made_from(part)
        made_scores[made] = score_images(scorer, synthetic.features[made], blur)
        defect_scores.append(score_images(scorer, defect, blur))
    progress(_CHECKING, len(parts), len(parts))
    scorer = DiscriminatingScorer(GaussianScorer.fit(good), judges.final)
    return Fitted(scorer, good_scores, np.mean(defect_scores, axis=0), made_scores, judges)


def score_images(scorer: Scorer, features: F32, blur: F32) -> Floats:
    """What the graph's score output gives, from projected features (N, rows, columns, D)."""
    if not len(features):
        return np.zeros(0)
    if isinstance(scorer, TwoScales):
        return scorer.scores(features, blur)
    return peaks(scorer.maps(features), blur)


def score_maps(scorer: BankScorer | DiscriminatingScorer, features: F32, blur: F32) -> F32:
    """What the graph's map output gives, (N, rows, columns), where one map makes the score."""
    return blurred(scorer.maps(features), blur)


def _with_discriminator(
    good: F32, defect: F32, synthetic: Synthetic, blur: F32, progress: Progress
) -> Fitted:
    """The discriminator learns from residuals of images that their Gaussian has not seen; those of
    the first folds are scored by one that learned from the other folds, and the reverse."""
    parts = _folds(len(good))
    good_residuals, made_residuals = np.empty_like(good), np.empty_like(synthetic.features)
    gaussians = []
    for done, part in enumerate(parts):
        progress(_CHECKING, done, len(parts))
        gaussian = GaussianScorer.fit(np.delete(good, part, axis=0))
        made = synthetic.made_from(part)
        good_residuals[part] = gaussian.residuals(good[part])
        made_residuals[made] = gaussian.residuals(synthetic.features[made])
        gaussians.append(gaussian)
    progress(_CHECKING, len(parts), len(parts))

    good_scores, made_scores = np.zeros(len(good)), np.zeros(len(synthetic.features))
    defect_scores = []
    middle = len(parts) // 2
    halves: list[Discriminator] = []
    first, second = slice(None, middle), slice(middle, None)
    for what, learned_folds, held_folds in (
        ("Learning defects, 1 of 3", second, first),
        ("Learning defects, 2 of 3", first, second),
    ):
        learned, held = np.concatenate(parts[learned_folds]), np.concatenate(parts[held_folds])
        made = synthetic.made_from(learned)
        judge = Discriminator.fit(
            good_residuals[learned], made_residuals[made], synthetic.change[made],
            partial(progress, what),
        )  # fmt: skip
        halves.append(judge)
        good_scores[held] = _residual_scores(good_residuals[held], judge, blur)
        made = synthetic.made_from(held)
        made_scores[made] = _residual_scores(made_residuals[made], judge, blur)
        for gaussian in gaussians[held_folds]:
            defect_scores.append(score_images(DiscriminatingScorer(gaussian, judge), defect, blur))
    final = Discriminator.fit(
        good_residuals, made_residuals, synthetic.change,
        partial(progress, "Learning defects, 3 of 3"),
    )  # fmt: skip
    scorer = DiscriminatingScorer(GaussianScorer.fit(good), final)
    judges = Judges(len(good), int(parts[middle][0]), halves[0], halves[1], final)
    return Fitted(scorer, good_scores, np.mean(defect_scores, axis=0), made_scores, judges)


def _residual_scores(residuals: F32, judge: Discriminator, blur: F32) -> Floats:
    return peaks(np.stack([combine(image, judge.logits(image)) for image in residuals]), blur)


def _fit(method: Method, features: F32) -> Scorer:
    return TwoScales.fit(features) if method == "gaussian" else BankScorer.fit(features)


def _folds(count: int) -> list[Indices]:
    return np.array_split(np.arange(count), min(FOLDS, count))
