"""A sensor's message, decoded and not yet judged. Data only."""

from dataclasses import dataclass

from inspector.types import Quality


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`utc_ns` is None when the message does not say when it was measured."""

    sensor_id: str
    value: float
    quality: Quality
    seq: int
    utc_ns: int | None
    urgency: float = 0.0
