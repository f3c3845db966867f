"""Scenario files: what is wrong is said in one line that names the file and the key."""

from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import ConfigError
from line_sim.scenario import Scenario, load_scenario, parse_scenario, scenario_names

SENSOR = "sensors: [{id: vib, kind: vibration, unit: mm/s, mean: 2}]\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must be a mapping"),
        ("- 1", "must be a mapping"),
        ("parts: [1", "line.yaml:1: "),
        ("parts: 0", "parts: Expected a whole number >= 1"),
        ("parts: ten", "parts: Expected a whole number or nothing, got text"),
        ("parts: 5\nspeed: 3", "speed: there is no such key"),
        ("parts_per_s: 2", "parts: needed"),
        ("parts: 5\ndefect_rate: 1.5", "defect_rate: "),
        ("parts: 5\ndefect_rate: .nan", "defect_rate: must be a finite number"),
        ("parts: 5\ndefects: [hole]", "defects.0: must be one of: scratch, "),
        (
            "parts: 5\ncamera: {width_px: 641}",
            "camera.width_px: Expected a whole number that's a multiple of 2",
        ),
        ("parts: 5\nbelt: {speed_mm_s: 0}", "belt.speed_mm_s: "),
        ("parts: 5\n" + SENSOR + "anomalies: [{sensor: x, part: 1, value: 1}]", "anomalies.0.sensor: "),
        ("parts: 5\n" + SENSOR + "anomalies: [{sensor: vib, value: 1}]", "anomalies.0: give either"),
        ("parts: 5\n" + SENSOR + "faults: [{kind: drop_reading, part: 1}]", "faults.0: drop_reading: sensor"),
        ("parts: 5\nfaults: [{kind: late_trigger, part: 1}]", "faults.0: late_trigger: delay_ms"),
        ("parts: 5\nfaults: [{kind: no_frame, part: 1, sensor: vib}]", "faults.0: no_frame: sensor"),
        ("parts: 5\nsensors: [{id: a, kind: k, unit: u}]", "sensors.0.mean: this key is needed"),
        ("parts: 5\n" + SENSOR.replace("}]", "}, {id: vib, kind: k, unit: u, mean: 1}]"), "two have the id"),
        ("parts: 2020-01-01", "parts: "),
    ],
)
def test_one_line_names_file_and_key(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_scenario(text, "line.yaml")
    message = str(caught.value)
    assert message.startswith("line.yaml")
    assert words in message
    assert "\n" not in message


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(text: str) -> None:
    with suppress(ConfigError):
        assert isinstance(parse_scenario(text, "line.yaml"), Scenario)


def test_those_that_come_along_are_found_by_name() -> None:
    assert {"default", "accuracy", "emergency", "folder"} <= set(scenario_names())
    for name in scenario_names():
        scenario = load_scenario(name, Path("photos") if name == "folder" else None)
        assert scenario.description
    assert (load_scenario("accuracy").parts, load_scenario("accuracy").parts_per_s) == (500, 10.0)


def test_photographs_are_looked_for_beside_the_file_or_where_the_user_says(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("source: {folder: {good: ok, defect: /abs/bad}}")
    folder = load_scenario(str(path)).source.folder
    assert folder is not None
    assert (folder.good, folder.defect) == (tmp_path / "ok", Path("/abs/bad"))
    folder = load_scenario(str(path), Path("photos")).source.folder
    assert folder is not None
    assert folder.good == Path("photos/ok")


def test_an_unknown_scenario_lists_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"accuracy, .*default, .*emergency"):
        load_scenario("no-such")
    with pytest.raises(ConfigError, match="--images has no use"):
        load_scenario("default", Path("photos"))
