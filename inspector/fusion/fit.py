"""Finds the weights of `context` on labelled parts: penalised logistic regression. Pure, numpy.

The penalty is the squared distance to the fixed weights (a normal prior around them), so that few
examples change little; how strong it is, is chosen by the log loss on parts that were left out
(blocks in order of time, because neighbours on a line are alike). Newton's method; the objective is
convex. With too few examples, or no gain on parts left out, the fixed weights stay.
Hastie, Tibshirani and Friedman 2009, section 4.4.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from msgspec.structs import replace

from inspector.config import Circumstance, ContextTerm, FusionWeights, ModalityFusion
from inspector.fusion.context import MEASURE, Circumstances, Drift, circumstances, deviation, fixed, fuse
from inspector.fusion.pool import SENSORS, VISION, logit, modalities
from inspector.types import PartEvidence

Floats = npt.NDArray[np.float64]

LEAST_EXAMPLES = 200
LEAST_OF_EACH = 20
FOLDS = 5
_BLOCKS_A_FOLD = 10
_LEAST_BLOCK = 10
PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_VISION_TERMS: tuple[Circumstance, ...] = ("dim", "glare", "focus", "drift", "confidence")
_SENSOR_TERMS: tuple[Circumstance, ...] = ("health",)
# The least scatter that counts as one unit, in the units of `Circumstances`.
_LEAST_SCALE = {"dim": 0.1, "glare": 0.1, "focus": 0.3, "drift": 0.5, "confidence": 1.0, "health": 0.25}
_STEPS = 50
_SMALLEST = 1e-15  # probability whose log-odds a double can tell from certainty


@dataclass(frozen=True, slots=True)
class Example:
    """One part whose truth is known. `drift` is what was known of it when the part was judged."""

    evidence: PartEvidence
    defective: bool
    drift: float = 0.0


@dataclass(frozen=True, slots=True)
class Fit:
    """`weights` is None where the fixed ones stay, and `why` says why.

    `by_fixed` and `by_fitted` are each part's probability under the fixed weights, and under weights
    that were found without the part.
    """

    weights: FusionWeights | None
    why: str
    by_fixed: tuple[float, ...]
    by_fitted: tuple[float, ...]


def in_order(parts: Iterable[tuple[PartEvidence, bool | None]]) -> list[Example]:
    """Return the labelled parts of one session with the drift that was known at each.

    `parts` are all of the session, as they were judged; None is a part without a label.
    """
    drift, examples = Drift(), []
    for evidence, defective in parts:
        if defective is not None:
            examples.append(Example(evidence, defective, drift.log_odds))
        p_vision = modalities(evidence).get(VISION)
        if p_vision is not None:
            drift.see(p_vision)
    return examples


def fit(examples: Sequence[Example], base: Mapping[str, float]) -> Fit:
    """Fit to labelled parts, in order of time. `base` are the fixed weights, by modality."""
    labels = np.array([example.defective for example in examples], dtype=np.float64)
    plain = [fuse(each.evidence, fixed(base), each.drift).p_defect for each in examples]
    by_fixed = tuple(0.5 if p_defect is None else p_defect for p_defect in plain)
    of_each = min(int(labels.sum()), int(labels.size - labels.sum()))
    if labels.size < LEAST_EXAMPLES or of_each < LEAST_OF_EACH:
        why = (
            f"{labels.size} labelled parts, {of_each} of the rarer kind; "
            f"it takes {LEAST_EXAMPLES} and {LEAST_OF_EACH}"
        )
        return Fit(None, why, by_fixed, by_fixed)
    model = _Model(examples, base)
    columns = model.columns(examples)
    block = max(_LEAST_BLOCK, labels.size // (FOLDS * _BLOCKS_A_FOLD))
    folds = np.arange(labels.size) // block % FOLDS
    best, penalty = None, PENALTIES[-1]
    for candidate in PENALTIES:
        log_odds = _left_out(model, examples, columns, labels, folds=folds, penalty=candidate)
        if best is None or _loss(log_odds, labels) < _loss(best, labels):
            best, penalty = log_odds, candidate
    assert best is not None
    by_fitted = tuple(float(p_defect) for p_defect in _sigmoid(best))
    if _loss(best, labels) >= _loss(columns @ model.prior, labels):
        return Fit(None, "they gain nothing on parts that were left out", by_fixed, by_fitted)
    found = _solve(columns, labels, model.prior, penalty)
    return Fit(model.weights(found, len(examples)), "", by_fixed, by_fitted)


class _Model:
    """Columns: vision's log-odds, 1 where there is vision, each times every term; then the sensors'."""

    def __init__(self, examples: Sequence[Example], base: Mapping[str, float]) -> None:
        where = [circumstances(each.evidence, each.drift) for each in examples]
        self._base = base
        self._vision = tuple(_term(name, where) for name in _VISION_TERMS)
        self._sensors = tuple(_term(name, where) for name in _SENSOR_TERMS)
        strongest = max(base.values())
        self.prior = np.zeros(2 + 2 * len(self._vision) + 1 + len(self._sensors))
        self.prior[0] = base[VISION] / strongest
        self.prior[2 + 2 * len(self._vision)] = base[SENSORS] / strongest

    def columns(self, examples: Sequence[Example]) -> Floats:
        return np.array([self._row(example) for example in examples], dtype=np.float64)

    def _row(self, example: Example) -> list[float]:
        present = modalities(example.evidence)
        where = circumstances(example.evidence, example.drift)
        seen = logit(present[VISION]) if VISION in present else 0.0
        here = 1.0 if VISION in present else 0.0
        read = logit(present[SENSORS]) if SENSORS in present else 0.0
        off = [deviation(term, where) for term in self._vision]
        ill = [deviation(term, where) for term in self._sensors]
        return [
            seen,
            here,
            *(seen * each for each in off),
            *(here * each for each in off),
            read,
            *(read * each for each in ill),
        ]

    def weights(self, found: Floats, examples: int) -> FusionWeights:
        n = len(self._vision)
        of_vision = [_moved(term, found[2 + k], found[2 + n + k]) for k, term in enumerate(self._vision)]
        first = 2 + 2 * n
        of_sensors = [_moved(term, found[first + 1 + k], 0.0) for k, term in enumerate(self._sensors)]
        plain = fixed(self._base)
        return FusionWeights(
            examples=examples,
            vision=ModalityFusion(
                weight=max(0.0, float(found[0])), offset=float(found[1]), terms=tuple(of_vision)
            ),
            sensors=ModalityFusion(weight=max(0.0, float(found[first])), terms=tuple(of_sensors)),
            opinion=plain.opinion,
        )


def _term(name: Circumstance, where: Sequence[Circumstances]) -> ContextTerm:
    measure = MEASURE[name]
    values = np.array([value for each in where if (value := getattr(each, measure)) is not None])
    centre = float(np.median(values)) if values.size else 0.0
    scatter = float(np.std(values)) if values.size else 0.0
    return ContextTerm(name=name, centre=centre, scale=max(scatter, _LEAST_SCALE[name]))


def _moved(term: ContextTerm, weight: float, offset: float) -> ContextTerm:
    return replace(term, weight=float(weight), offset=float(offset))


def _left_out(
    model: _Model,
    examples: Sequence[Example],
    columns: Floats,
    labels: Floats,
    *,
    folds: npt.NDArray[np.int_],
    penalty: float,
) -> Floats:
    """Log-odds of each part under weights that were found without its fold.

    By `fuse`, as the part would be judged: it lets no weight go below 0, which `columns` do not know.
    """
    p_defect = np.full(labels.size, 0.5)
    for fold in range(FOLDS):
        out = folds == fold
        found = _solve(columns[~out], labels[~out], model.prior, penalty)
        weights = model.weights(found, int((~out).sum()))
        for n in map(int, np.flatnonzero(out)):
            fused = fuse(examples[n].evidence, weights, examples[n].drift).p_defect
            p_defect[n] = 0.5 if fused is None else fused
    sure = np.clip(p_defect, _SMALLEST, 1.0 - _SMALLEST)
    return np.asarray(np.log(sure / (1.0 - sure)), dtype=np.float64)


def _solve(columns: Floats, labels: Floats, prior: Floats, penalty: float) -> Floats:
    found = prior.copy()
    ridge = penalty * np.eye(prior.size)
    for _ in range(_STEPS):
        p_defect = _sigmoid(columns @ found)
        slope = columns.T @ (p_defect - labels) + penalty * (found - prior)
        curve = (columns * (p_defect * (1.0 - p_defect))[:, None]).T @ columns + ridge
        step = np.linalg.solve(curve, slope)
        largest = float(np.abs(step).max())
        found = found - step * min(1.0, 1.0 / largest) if largest > 0.0 else found
        if largest < 1e-9:
            break
    return found


def _loss(log_odds: Floats, labels: Floats) -> float:
    return float(np.mean(np.logaddexp(0.0, np.where(labels > 0.5, -log_odds, log_odds))))


def _sigmoid(log_odds: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(log_odds, -50.0, 50.0))), dtype=np.float64)
