"""A sensor's message, decoded and not yet judged. Data only."""

import msgspec

from inspector.types import Quality


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """`utc_ns` is None when the message does not say when it was measured."""

    sensor_id: str
    value: float
    quality: Quality
    seq: int
    utc_ns: int | None
    urgency: float = 0.0
