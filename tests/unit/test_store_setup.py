"""The arbiter's setup as sessions and files of weights have it in JSON: read as it was meant, or refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from inspector.config import DecisionConfig, Failsafe
from inspector.errors import ConfigError, DataError
from inspector.services.weights_file import read_weights, write_weights
from inspector.store.commands import recorded_setup
from inspector.strict_data import to_plain

RECORDED = """\
{"decision": {"trigger": "photo_eye", "frames_by": "count", "max_skew_ms": 40, "deadline_ms": 300,
 "delivery_margin_ms": 25, "verdict_validity_ms": 250, "confirm_confidence": 0.75, "emergency_urgency": 0.8,
 "failsafe": "REJECT", "weight_vision": 0.6, "weight_second": 0.4, "fusion": "site/fusion.json",
 "opinion_budget_ms": 800},
 "fusion": {"examples": 240,
  "vision": {"weight": 1.25, "offset": -0.5,
   "terms": [{"name": "dim", "centre": -2.0, "scale": 0.5, "weight": -0.125, "offset": 0.0}]},
  "sensors": {"weight": 0.5, "offset": 0.0, "terms": []},
  "opinion": {"weight": 0.5, "offset": 0.0, "terms": []}},
 "cameras": ["cam1", "cam2"], "expected_sensors": ["vib"], "awaited_sensors": [], "config_sha256": "c",
 "model_sha256": "m"}
"""
FIRST = """\
{"decision": {"trigger": "photo_eye", "failsafe": "HOLD", "fusion": null}, "fusion": null,
 "cameras": ["cam1"], "expected_sensors": [], "config_sha256": "c", "model_sha256": "m"}
"""


def changed(path: str, value: Any) -> dict[str, Any]:
    setup: dict[str, Any] = json.loads(RECORDED)
    *way, last = path.split(".")
    place: Any = setup
    for key in way:
        place = place[int(key) if key.isdigit() else key]
    place[last] = value
    return setup


def test_a_recorded_setup_is_read_and_written_in_the_same_shape() -> None:
    setup = recorded_setup(json.loads(RECORDED))
    assert (setup.cameras, setup.decision.failsafe) == (("cam1", "cam2"), Failsafe.REJECT)
    assert setup.decision.fusion == Path("site/fusion.json")
    assert setup.fusion is not None
    assert setup.fusion.vision.terms[0].scale == 0.5
    again = to_plain(setup)
    assert again == json.loads(RECORDED)
    assert json.dumps(again) == json.dumps(json.loads(RECORDED))  # and in the same order


def test_what_an_earlier_version_did_not_record_is_as_by_default() -> None:
    setup = recorded_setup(json.loads(FIRST))
    assert (setup.decision, setup.fusion, setup.awaited_sensors) == (DecisionConfig(), None, ())


@pytest.mark.parametrize(
    ("setup", "said"),
    [
        ({}, r"\(decision: this key is needed\)"),
        (
            changed("decision.deadline_ms", "300"),
            r"\(decision.deadline_ms: Expected a whole number, got text\)",
        ),
        (changed("decision.deadline_ms", 20), r"\(decision: delivery_margin_ms must be shorter"),
        (changed("decision.colour", "red"), r"\(decision.colour: there is no such key\)"),
        (
            changed("fusion.vision.terms.0.name", "rain"),
            r"\(fusion.vision.terms.0.name: must be one of: dim, ",
        ),
        (changed("cameras", "cam1"), r"\(cameras: Expected a list, got text\)"),
    ],
)
def test_a_setup_that_does_not_fit_is_refused_with_the_key(setup: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError, match=said):
        recorded_setup(setup)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file: is not JSON: "),
        ("[1]", "the file: Expected a mapping of keys, got a list"),
        ('{"examples": -1}', "examples: Expected a whole number >= 0"),
        (
            '{"examples": 1, "vision": {"weight": true}}',
            "vision.weight: Expected a number, got true or false",
        ),
        ('{"examples": 1}', "vision: this key is needed"),
    ],
)
def test_a_wrong_file_of_weights_is_one_line_with_the_key(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "fusion.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_weights(path)
    assert str(caught.value).startswith(f"{path}: {said}")
    assert len(str(caught.value).splitlines()) == 1


def test_weights_are_written_as_they_lie_in_a_session(tmp_path: Path) -> None:
    setup = recorded_setup(json.loads(RECORDED))
    assert setup.fusion is not None
    path = tmp_path / "new" / "fusion.json"
    write_weights(path, setup.fusion)
    assert json.loads(path.read_text()) == json.loads(RECORDED)["fusion"]
    assert read_weights(path) == setup.fusion
