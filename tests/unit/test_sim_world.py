"""The mechanics of the line and its sensors, stepped without a clock."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest

from line_sim.events import (
    Event,
    Lane,
    LineEmpty,
    PartAtEye,
    PartLeft,
    Reading,
    ResetPressed,
    SetLane,
    StartBelt,
    StopBelt,
)
from line_sim.parts import PlannedPart, plan_part
from line_sim.scenario import Scenario, load_scenario, parse_scenario, scenario_names
from line_sim.simtime import Happening, Scheduler
from line_sim.world import BELT, REJECTOR, RUN_UP_S, build_world

S = 1_000_000_000
MS = 1_000_000
World = Scheduler[Event]
React = Callable[[World, Happening[Event]], None]

SENSORS = """
sensors:
  - {id: vib, kind: vibration, unit: mm/s, mean: 2, sigma: 0.1, lead_ms: 8}
  - {id: stop, kind: emergency_button, unit: bool, mean: 0, lead_ms: 4, holds: true}
"""


def _scenario(extra: str = "", parts: int = 10) -> Scenario:
    return parse_scenario(f"parts: {parts}\nparts_per_s: 4\n{SENSORS}\n{extra}", "test")


def _parts(scenario: Scenario, seed: int) -> list[PlannedPart]:
    count = scenario.parts or 0
    return [plan_part(seed, n, scenario.defect_rate, scenario.defects) for n in range(1, count + 1)]


def _drive(scenario: Scenario, seed: int, react: React | None = None) -> list[Happening[Event]]:
    """Run to the end. `react` may inject in answer to what happened."""
    world = build_world(scenario, seed, _parts(scenario, seed))
    seen = world.inject(0, {BELT: [StartBelt()]})
    for _ in range(100_000):
        happened = world.step()
        seen += happened
        for happening in happened:
            if react is not None:
                react(world, happening)
        if any(isinstance(h.event, LineEmpty) for h in happened):
            return seen
    raise AssertionError("the line never got empty")


def _of(seen: Sequence[Happening[Event]], kind: type[Any]) -> list[Happening[Any]]:
    return [h for h in seen if isinstance(h.event, kind)]


def test_parts_pass_the_eye_at_the_rate_and_reach_the_rejector_later() -> None:
    seen = _drive(_scenario(), seed=1)
    eyes = [h.at_ns for h in _of(seen, PartAtEye)]
    assert eyes == [round(RUN_UP_S * S) + i * S // 4 for i in range(10)]
    ticks = [h.event.encoder_ticks for h in _of(seen, PartAtEye)]
    assert [b - a for a, b in pairwise(ticks)] == [500] * 9  # 50 mm x 10
    left = [h.at_ns for h in _of(seen, PartLeft)]
    assert [b - a for a, b in zip(eyes, left, strict=True)] == [600 * MS] * 10


def test_the_same_seed_gives_the_same_run() -> None:
    scenario = _scenario("anomalies: [{sensor: vib, share_of_defects: 0.5, value: 9}]", 40)
    assert _drive(scenario, seed=3) == _drive(scenario, seed=3)
    assert _drive(scenario, seed=3) != _drive(scenario, seed=4)


def test_each_part_has_a_reading_of_each_sensor_before_the_eye() -> None:
    seen = _drive(_scenario(), seed=1)
    eyes = {h.event.part.number: h.at_ns for h in _of(seen, PartAtEye)}
    for sensor, lead_ms in (("vib", 8), ("stop", 4)):
        own = [h for h in _of(seen, Reading) if h.event.sensor_id == sensor]
        of_parts = {h.event.part_number: h.at_ns for h in own if h.event.part_number}
        assert of_parts == {n: at - lead_ms * MS for n, at in eyes.items()}
        assert [h.event.seq for h in own] == list(range(1, len(own) + 1))
        periodic = [h.at_ns for h in own if h.event.part_number is None]
        assert periodic == [k * 200 * MS for k in range(1, len(periodic) + 1)]


def test_a_stopped_belt_brings_no_part_and_resumes_where_it_stood() -> None:
    def stop_at_three(world: World, happening: Happening[Event]) -> None:
        if isinstance(happening.event, PartAtEye) and happening.event.part.number == 3:
            world.inject(happening.at_ns + 40 * MS, {BELT: [StopBelt()]})
        if isinstance(happening.event, ResetPressed):
            world.inject(happening.at_ns, {BELT: [StartBelt()]})

    free, seen = _drive(_scenario(), seed=1), _drive(_scenario(), seed=1, react=stop_at_three)
    eyes, free_eyes = _of(seen, PartAtEye), _of(free, PartAtEye)
    assert [h.event for h in eyes] == [h.event for h in free_eyes]  # the same places on the belt
    delays = [a.at_ns - b.at_ns for a, b in zip(eyes, free_eyes, strict=True)]
    assert delays == [0] * 3 + [1500 * MS] * 7
    readings = [h for h in _of(seen, Reading) if h.event.sensor_id == "vib"]
    of_parts = {h.event.part_number: h.event.value for h in readings if h.event.part_number}
    free_values = {
        h.event.part_number: h.event.value for h in _of(free, Reading) if h.event.sensor_id == "vib"
    }
    assert all(free_values[n] == value for n, value in of_parts.items())


def test_a_pressed_button_is_silent_until_the_reset() -> None:
    def brake(world: World, happening: Happening[Event]) -> None:
        event = happening.event
        if isinstance(event, Reading) and event.urgency:
            world.inject(happening.at_ns, {BELT: [StopBelt()]})
        if isinstance(event, ResetPressed):
            world.inject(happening.at_ns, {BELT: [StartBelt()]})

    extra = "anomalies: [{sensor: stop, part: 4, value: 1, urgency: 1.0, after_ms: 100}]"
    seen = _drive(_scenario(extra), seed=1, react=brake)
    reset_ns = _of(seen, ResetPressed)[0].at_ns
    button = [h for h in _of(seen, Reading) if h.event.sensor_id == "stop"]
    pressed = next(h for h in button if h.event.value == 1)
    meanwhile = [h for h in button if pressed.at_ns < h.at_ns < reset_ns]
    assert meanwhile == []
    assert next(h for h in button if h.at_ns >= reset_ns).event.value == 0


def test_a_stop_before_the_part_does_not_raise_the_alarm_again() -> None:
    def brake(world: World, happening: Happening[Event]) -> None:
        event = happening.event
        if isinstance(event, Reading) and event.urgency:
            world.inject(happening.at_ns + MS, {BELT: [StopBelt()]})
        if isinstance(event, ResetPressed):
            world.inject(happening.at_ns, {BELT: [StartBelt()]})

    extra = "anomalies: [{sensor: vib, part: 4, value: 24, urgency: 0.95}]"
    seen = _drive(_scenario(extra), seed=1, react=brake)
    assert len([h for h in _of(seen, Reading) if h.event.urgency]) == 1
    assert len(_of(seen, PartAtEye)) == 10
    assert len(_of(seen, ResetPressed)) == 1


def test_anomalies_strike_defective_parts_of_their_kinds_only() -> None:
    extra = "defect_rate: 0.5\nanomalies: [{sensor: vib, share_of_defects: 1.0, kinds: [dent], value: 9}]"
    scenario = _scenario(extra, 60)
    seen = _drive(scenario, seed=2)
    dents = {p.number for p in _parts(scenario, 2) if p.defect == "dent"}
    assert dents
    assert {h.event.part_number for h in _of(seen, Reading) if h.event.abnormal} == dents


def test_the_rejector_does_as_it_was_told() -> None:
    orders = {1: Lane.PASS, 2: Lane.REJECT, 3: Lane.HOLD}

    def order(world: World, happening: Happening[Event]) -> None:
        event = happening.event
        if isinstance(event, PartAtEye) and event.part.number in orders:
            lane = orders[event.part.number]
            world.inject(happening.at_ns + MS, {REJECTOR: [SetLane(event.part.number, lane)]})

    left = [h.event for h in _of(_drive(_scenario(parts=4), seed=1, react=order), PartLeft)]
    assert [(e.lane, e.told) for e in left] == [
        (Lane.PASS, True),
        (Lane.REJECT, True),
        (Lane.HOLD, True),
        (Lane.PASS, False),
    ]


@pytest.mark.parametrize("name", [n for n in scenario_names() if n != "folder"])
def test_the_scenarios_that_come_along_run_to_their_end(name: str) -> None:
    scenario = load_scenario(name)

    def brake(world: World, happening: Happening[Event]) -> None:
        event = happening.event
        if isinstance(event, Reading) and (event.urgency or 0) > 0.8:
            world.inject(happening.at_ns, {BELT: [StopBelt()]})
        if isinstance(event, ResetPressed):
            world.inject(happening.at_ns, {BELT: [StartBelt()]})

    seen = _drive(scenario, seed=1, react=brake)
    assert len(_of(seen, PartLeft)) == scenario.parts


def test_the_default_scenario_is_what_its_description_says() -> None:
    scenario = load_scenario("default")
    defective = sum(part.defective for part in _parts(scenario, 1))
    assert (scenario.parts, scenario.parts_per_s) == (60, 2.0)
    assert 5 <= defective <= 13
