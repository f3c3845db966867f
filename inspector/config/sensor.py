"""Sensors, and plug-ins that speak as one."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta, field

from inspector.config.values import Name, Probability, SfncValue
from inspector.strict_data import Strict

SparkplugName = Annotated[str, Meta(pattern=r"^[^+#/]{1,64}\Z")]


class LimitRule(Strict, frozen=True, kw_only=True):
    """Limits of one sensor kind or one sensor, in its unit.

    Between `warn` and `alarm` the probability that the part is defective rises from `p_defect_normal`
    (0.5 says nothing) to `p_defect_at_alarm`; `urgency_at_alarm` is the urgency of a reading at or past it.
    A limit may lie above (high) or below (low) the normal range, or upon how fast the reading
    changes, up or down, between two readings (rate, in the unit per second). Where a reading within its
    limits speaks for the part (a passed electrical test, an operator's word), `p_defect_normal` is below 0.5.
    """

    warn_high: float | None = None
    alarm_high: float | None = None
    warn_low: float | None = None
    alarm_low: float | None = None
    warn_rate: Annotated[float, Meta(gt=0)] | None = None
    alarm_rate: Annotated[float, Meta(gt=0)] | None = None
    p_defect_normal: Probability = 0.5
    p_defect_at_alarm: Probability = 0.9
    urgency_at_alarm: Probability = 0.5

    def __post_init__(self) -> None:
        for warn, alarm, sign in (
            (self.warn_high, self.alarm_high, 1),
            (self.warn_low, self.alarm_low, -1),
            (self.warn_rate, self.alarm_rate, 1),
        ):
            if (warn is None) != (alarm is None):
                raise ValueError("a warn limit and its alarm limit come together")
            if warn is not None and alarm is not None and sign * (alarm - warn) <= 0:
                raise ValueError("the alarm limit must lie beyond the warn limit")


class SparkplugDevice(Strict, frozen=True, kw_only=True):
    """An edge node of Sparkplug B, or a device behind it."""

    group_id: SparkplugName
    edge_node_id: SparkplugName
    device_id: SparkplugName | None = None


class SparkplugSource(SparkplugDevice, frozen=True, kw_only=True):
    """A metric that a sensor is read from."""

    metric: Annotated[str, Meta(min_length=1, max_length=128)]


class SensorConfig(Strict, frozen=True, kw_only=True):
    """A sensor that we listen to. One that is not listed is refused, and counted.

    `expected` sensors are evidence: a part without a reading of theirs says so.
    `trust_urgency` takes the urgency that the message itself states.
    A sensor that is not heard for `heartbeat_s` becomes an event of `urgency_when_silent`, once in each such
    time. `sparkplug` reads it from there and not from our own topic. With `curve_model` (`inspector
    teach-curve`) it sends curves; its readings are their deviations from good ones, in the unit "" (1.0 is
    the highest that good curves reach). Sensors of one `modality` weigh as one, the most suspicious of them.
    A part in doubt waits until its deadline for what an `awaited` sensor may still say, but is not held for
    want of it.
    """

    id: Name
    kind: Name
    unit: str
    min_value: float
    max_value: float
    rule: LimitRule | None = None
    expected: bool = False
    modality: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}\Z")] = "sensors"
    awaited: bool = False
    trust_urgency: bool = True
    heartbeat_s: Annotated[float, Meta(gt=0)] | None = None
    urgency_when_silent: Probability = 0.5
    sparkplug: SparkplugSource | None = None
    curve_model: Path | None = None

    def __post_init__(self) -> None:
        if self.sparkplug is not None and self.curve_model is not None:
            raise ValueError("give sparkplug or curve_model, not both")
        if self.modality in {"vision", "opinion"}:
            raise ValueError(f"modality {self.modality} is not of a sensor; give another name")


class ModalityConfig(Strict, frozen=True, kw_only=True):
    """A plug-in that is a modality: the entry point `name` of the group `inspector.modalities`.

    It speaks as `sensor`, one of the site's. What it begins to say up to `reach_ms` after a part's trigger is
    about that part, the last one; with 0 it is about the moment. `options` are the plug-in's own.
    """

    name: Name
    sensor: Name
    reach_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    options: dict[str, SfncValue | tuple[str, ...]] = field(default_factory=dict)
