"""Which results and events belong to which part: those within `max_skew` of its trigger.

A result belongs to one part, the one with the nearest trigger; an event can speak for two parts
that pass close together. Sorting makes the evidence independent of the order of arrival.
"""

from collections.abc import Iterable

from inspector.types import FrameResult, PartTrigger, SensorEvent


def nearest_trigger(
    result: FrameResult, triggers: Iterable[PartTrigger], max_skew_ns: int
) -> PartTrigger | None:
    """Return the trigger that the result's exposure lies nearest to, if within `max_skew_ns`.

    Of two at the same distance the earlier part is taken.
    """
    near = [
        (abs(result.exposure_start_ns - trigger.trigger_ns), trigger.trigger_ns, trigger.part_id, trigger)
        for trigger in triggers
        if abs(result.exposure_start_ns - trigger.trigger_ns) <= max_skew_ns
    ]
    return min(near, key=lambda candidate: candidate[:3])[3] if near else None


def events_near(events: Iterable[SensorEvent], trigger_ns: int, max_skew_ns: int) -> tuple[SensorEvent, ...]:
    """Return the events within `max_skew_ns` of the trigger, ordered by sensor, time and sequence."""
    near = (event for event in events if abs(event.observed_ns - trigger_ns) <= max_skew_ns)
    return tuple(sorted(near, key=lambda event: (event.sensor_id, event.observed_ns, event.seq)))


def skew_ms(results: Iterable[FrameResult], events: Iterable[SensorEvent], trigger_ns: int) -> float:
    """Largest distance in ms between the trigger and any piece of evidence; 0 without evidence."""
    times = [result.exposure_start_ns for result in results] + [event.observed_ns for event in events]
    return max((abs(time_ns - trigger_ns) / 1e6 for time_ns in times), default=0.0)
