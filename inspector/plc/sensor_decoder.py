"""What the link needs of the sensors' side. `inspector.sensors.intake.SensorIntake` is one."""

from collections import Counter
from collections.abc import Mapping
from typing import Protocol

from inspector.mqtt_schema import Arrival
from inspector.types import SensorEvent


class SensorDecoder(Protocol):
    """Turns what sensors send into events. One thread."""

    refused: Counter[str]  # by reason; it only grows

    @property
    def topics(self) -> Mapping[str, int]:
        """Each topic that is listened to, and the largest payload on it in bytes."""
        ...

    @property
    def subscriptions(self) -> tuple[str, ...]:
        """The filters to subscribe to."""
        ...

    def accept(self, arrival: Arrival) -> list[SensorEvent]:
        """Raises RefusedError for what is not a valid, new reading."""
        ...

    def overdue(self, now_ns: int, since_ns: int) -> list[SensorEvent]:
        """Return events of sensors that were not heard for too long; we listen since `since_ns`."""
        ...

    def requests(self, utc_ns: int) -> list[tuple[str, bytes]]:
        """Return what is to be published now, topic and payload, to ask sensors for something."""
        ...
