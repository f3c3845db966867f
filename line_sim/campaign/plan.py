"""Which faults a run has: drawn from the campaign's seed and the run's number. Pure."""

from collections.abc import Callable, Collection
from typing import Final, get_args

import numpy as np
from msgspec.structs import replace

from inspector.strict_data import check
from line_sim.campaign.cell import STORM_SENSOR
from line_sim.parts import Stream, stream_rng
from line_sim.scenario import (
    Anomaly,
    Belt,
    Disturbance,
    DisturbanceKind,
    Fault,
    FaultKind,
    Scenario,
    SensorModel,
)

PARTS: Final = 20
_RATES: Final = (4.0, 6.0, 8.0)
_MOST_FAULTS: Final = 4
_EMERGENCIES: Final = 0.25  # share of the runs
_SERVICES: Final = ("arbiter", "detector", "camera", "explainer", "recorder")

_SENSORS: Final = (
    SensorModel(id="vibration1", kind="vibration", unit="mm/s", mean=1.8, sigma=0.15, lead_ms=8.0),
    SensorModel(id="temperature1", kind="temperature", unit="degC", mean=41.0, sigma=0.4, lead_ms=6.0),
    SensorModel(id="gripper1", kind="gripper_force", unit="N", mean=42.0, sigma=0.8, lead_ms=10.0),
    SensorModel(id="estop1", kind="emergency_button", unit="bool", mean=0.0, lead_ms=4.0, holds=True),
    SensorModel(id=STORM_SENSOR, kind="vibration", unit="mm/s", mean=1.8, period_s=3600.0),
)

Rng = np.random.Generator
Drawn = Fault | Disturbance


def _seconds(rng: Rng, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 2)


def _one_of(rng: Rng, names: Collection[str]) -> str:
    return sorted(names)[int(rng.integers(len(names)))]


def _fault(kind: str) -> Callable[[Rng, int], Drawn]:
    def draw(rng: Rng, part: int) -> Drawn:
        sensor = _one_of(rng, ("vibration1", "gripper1")) if kind.endswith("_reading") else None
        delay_ms = _seconds(rng, 20, 600) if kind.startswith("late_") else None
        count = int(rng.integers(1, 5)) if kind != "no_ack" else PARTS
        data = {"kind": kind, "part": part, "count": count, "sensor": sensor, "delay_ms": delay_ms}
        return check(data, Fault)

    return draw


def _disturbance(kind: str) -> Callable[[Rng, int], Drawn]:
    def draw(rng: Rng, part: int) -> Drawn:
        data: dict[str, object] = {"kind": kind, "part": part, "for_s": _seconds(rng, 0.2, 3.0)}
        if kind == "broker_slow":
            data["delay_ms"] = _seconds(rng, 5, 150)
        elif kind in {"clock_jump", "plc_clock"}:
            data["jump_ms"] = round(float(rng.choice([-1, 1]) * rng.uniform(20, 3000)), 1)
        elif kind == "clock_drift":
            data["drift_ppm"] = _seconds(rng, -200, 200)
        elif kind == "packet_loss":
            data["share"] = _seconds(rng, 0.01, 0.3)
        elif kind == "sensor_storm":
            data["sensor"] = STORM_SENSOR
        elif kind in {"kill", "stall"}:
            data["service"] = _one_of(rng, _SERVICES)
        elif kind == "memory_short":
            data |= {"service": _one_of(rng, ("detector", "explainer", "recorder")), "mib": 0}
        return check(data, Disturbance)

    return draw


_DRAW: Final[dict[str, Callable[[Rng, int], Drawn]]] = {
    **{kind: _fault(kind) for kind in get_args(FaultKind)},
    **{kind: _disturbance(kind) for kind in get_args(DisturbanceKind)},
}
KINDS: Final = frozenset(_DRAW)


def plan_run(seed: int, number: int, kinds: Collection[str] = KINDS) -> Scenario:
    """Return the scenario of run `number` (from 1); `kinds` are the faults that can be had here.

    The same arguments give the same scenario. Each run has parts of its own.
    """
    rng = stream_rng(seed, Stream.CAMPAIGN, number)
    first = (number - 1) * PARTS + 1
    drawn: list[Drawn] = []
    chosen = rng.choice(sorted(KINDS), size=int(rng.integers(1, _MOST_FAULTS + 1)), replace=False)
    for kind in sorted(map(str, chosen)):
        fault = _DRAW[kind](rng, first + int(rng.integers(2, PARTS * 3 // 4)))
        if kind in kinds:
            drawn.append(fault)
    return with_faults(
        Scenario(
            description=f"Run {number} of the campaign with seed {seed}.",
            parts=PARTS,
            first_part=first,
            parts_per_s=float(rng.choice(_RATES)),
            defect_rate=0.2,
            belt=Belt(speed_mm_s=800.0, rejector_mm=480.0),
            sensors=_SENSORS,
            anomalies=_emergency(rng, first),
            reset_after_s=0.3,
        ),
        drawn,
    )


def _emergency(rng: Rng, first: int) -> tuple[Anomaly, ...]:
    """In some runs, someone presses the button."""
    part, after_ms, chance = int(rng.integers(3, PARTS - 3)), float(rng.uniform(1, 100)), rng.random()
    if chance >= _EMERGENCIES:
        return ()
    pressed = Anomaly(sensor="estop1", part=first + part, value=1.0, urgency=1.0, after_ms=round(after_ms, 1))
    return (pressed,)


def faults_of(scenario: Scenario) -> list[Drawn]:
    """Everything that goes wrong in a scenario, as one list."""
    return [*scenario.faults, *scenario.disturbances]


def with_faults(scenario: Scenario, faults: Collection[Drawn]) -> Scenario:
    """The same scenario with these faults and no others."""
    return replace(
        scenario,
        faults=tuple(each for each in faults if isinstance(each, Fault)),
        disturbances=tuple(each for each in faults if isinstance(each, Disturbance)),
    )
