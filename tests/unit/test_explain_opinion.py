"""A second opinion weighs what it has earned on parts that it had not seen, and nothing else."""

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from inspector.clock import SystemClock
from inspector.config import ExplainerConfig
from inspector.errors import ConfigError, DataError, ModelError
from inspector.explain.engine import Schema, Usage
from inspector.explain.explainer import Explainer
from inspector.explain.facts import LineContext
from inspector.explain.gather import gather
from inspector.explain.opinion import OpinionFit, question
from inspector.explain.opinion_file import load_fit, save_fit
from inspector.explain.opinion_fit import LabelledOpinion, calibrate
from inspector.explain.probe import PROBE
from inspector.explain.prompt import CONSTANTS, Prompt
from inspector.explain.start import start_second


def labelled(seed: int, knows: float, count: int = 200) -> list[LabelledOpinion]:
    """Vision is unsure of every part; the opinion is right as often as `knows` says."""
    rng = random.Random(seed)
    parts = []
    for n in range(count):
        defective = n % 2 == 0
        right = rng.random() < knows
        raw = rng.uniform(0.55, 0.95) if right is defective else rng.uniform(0.05, 0.45)
        parts.append(LabelledOpinion(raw=raw, fused=rng.uniform(0.35, 0.65), defective=defective))
    return parts


def test_an_opinion_that_knows_earns_a_weight() -> None:
    fit = calibrate(labelled(1, 0.9), "ab")
    assert fit.weight > 0.3
    assert fit.gain_nats > 0.0
    assert fit.p_defect(0.9) > 0.7
    assert fit.p_defect(0.1) < 0.3


@pytest.mark.parametrize("seed", range(5))
def test_one_that_guesses_earns_none_and_says_nothing(seed: int) -> None:
    fit = calibrate(labelled(seed, 0.5), "ab")
    assert fit.weight == 0.0
    assert fit.p_defect(0.99) == 0.5


def test_one_that_is_always_wrong_is_not_turned_round() -> None:
    fit = calibrate(labelled(1, 0.05), "ab")
    assert fit.p_defect(0.95) <= 0.5 or fit.weight == 0.0


def test_too_few_parts_are_said_to_be_too_few() -> None:
    with pytest.raises(DataError, match="10 good and 10 defective"):
        calibrate(labelled(1, 0.9, count=12), "ab")


def test_what_was_decided_is_not_shown_and_the_cached_prompt_is_shared() -> None:
    asked = question(gather(PROBE, LineContext()))
    assert asked[:-1] == CONSTANTS["en"]
    assert "rejected" not in asked[-1].content
    assert "vibration1" in asked[-1].content


def test_the_calibration_is_kept_in_the_site_folder(tmp_path: Path) -> None:
    assert load_fit(tmp_path) is None
    fit = OpinionFit(model_sha256="ab", slope=1.2, offset=-0.1, weight=0.4, gain_nats=0.05, parts=80)
    assert load_fit(save_fit(tmp_path, fit).parent) == fit
    (tmp_path / "opinion.json").write_text("{}")
    with pytest.raises(ConfigError, match="written again"):
        load_fit(tmp_path)


@dataclass
class ReadyEngine:
    """A model that is there; nobody asks it here."""

    model_sha256: str = "ab"
    usage: Usage = field(default_factory=Usage)

    def complete(self, prompt: Prompt, schema: Schema, deadline_ns: int) -> str:  # noqa: ARG002  the protocol's
        raise ModelError("not asked in these tests")

    def choose(self, prompt: Prompt, choices: tuple[str, ...], deadline_ns: int) -> tuple[float, ...]:  # noqa: ARG002  the protocol's
        raise ModelError("not asked in these tests")

    def interrupt(self) -> None:
        """Nothing to give up."""

    def close(self) -> None:
        """Nothing to free."""


WHOLE = '{"model_sha256":"ab","slope":1,"offset":0,"weight":%s,"gain_nats":0.1,"parts":40}'


@pytest.mark.parametrize("damaged", ["", "{}", WHOLE % "1.5", WHOLE % "-0.1", WHOLE % "NaN"])
def test_a_damaged_calibration_is_a_standing_fault_and_no_opinions(tmp_path: Path, damaged: str) -> None:
    config, clock = ExplainerConfig(opinions=True), SystemClock()
    (tmp_path / "opinion.json").write_text(damaged)
    explainer = Explainer(ReadyEngine(), LineContext(), clock, standing="before")
    assert start_second(explainer, config, LineContext(), clock, tmp_path) is None
    assert explainer.fault.startswith("before; ")
    assert "opinion.json" in explainer.fault
    assert "no second opinions" in explainer.fault
    (tmp_path / "opinion.json").write_text(WHOLE % "0.5")
    assert start_second(explainer, config, LineContext(), clock, tmp_path) is not None


def test_a_calibration_out_of_all_bounds_still_gives_a_probability() -> None:
    fit = OpinionFit(model_sha256="ab", slope=1e308, offset=0.0, weight=1.0, gain_nats=0.1, parts=40)
    assert 0.0 < fit.p_defect(0.01) < 0.01
    assert 0.99 < fit.p_defect(0.99) < 1.0
