"""Events of the message channel, with their ids.

Ids below 0x9000 are those of GigE Vision 2.0, table 17-3; the others are the device's own.
Names: SFNC 2.7, Event Control.
"""

from enum import Enum


class Event(Enum):
    """SFNC name, event id, value of EventSelector, and whether the frame's number comes along."""

    EXPOSURE_START = ("ExposureStart", 0x0003, 1, True)
    EXPOSURE_END = ("ExposureEnd", 0x0004, 2, True)
    FRAME_TRIGGER_MISSED = ("FrameTriggerMissed", 0x9001, 3, False)
    LINE0_RISING_EDGE = ("Line0RisingEdge", 0x9010, 4, False)
    LINE0_FALLING_EDGE = ("Line0FallingEdge", 0x9011, 5, False)
    LINE1_RISING_EDGE = ("Line1RisingEdge", 0x9012, 6, False)
    LINE1_FALLING_EDGE = ("Line1FallingEdge", 0x9013, 7, False)
    ACTION1 = ("Action1", 0x9020, 8, False)

    @property
    def sfnc_name(self) -> str:
        return self.value[0]

    @property
    def event_id(self) -> int:
        return self.value[1]

    @property
    def selector(self) -> int:
        return self.value[2]

    @property
    def with_frame(self) -> bool:
        return self.value[3]


def line_edge(line: str, *, rising: bool) -> Event:
    """Return the event of an edge on Line0 or Line1."""
    return Event[f"{line.upper()}_{'RISING' if rising else 'FALLING'}_EDGE"]
