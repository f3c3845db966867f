"""What plug-in modalities say, as events of the sensors that they speak as."""

from collections.abc import Iterator

from inspector.bus import Subscriber
from inspector.errors import DataError
from inspector.sensors.intake import SensorIntake
from inspector.services.loop import Context
from inspector.services.part_at_hand import PartAtHand
from inspector.types import PartTrigger, SensorEvent, Statement


class Statements:
    """Belongs to the arbiter's thread, as the intake does."""

    def __init__(self, context: Context, spoken: Subscriber[Statement], intake: SensorIntake) -> None:
        self._context, self._spoken, self._intake = context, spoken, intake
        self._at_hand = PartAtHand(context.site.site.modalities)

    def see(self, trigger: PartTrigger) -> None:
        """Take a part that may be spoken of."""
        self._at_hand.see(trigger)

    def events(self) -> Iterator[SensorEvent]:
        """Yield what was said since the last call. What is about no part is dropped, and counted."""
        clock, counters = self._context.clock, self._context.counters
        for statement in self._spoken.drain():
            about_ns = self._at_hand.about_ns(statement)
            if about_ns is None:
                counters["statements_about_no_part"] += 1
                continue
            now_ns = clock.now_ns()
            try:
                yield self._intake.hear(statement, about_ns, now_ns, clock.utc_ns() - now_ns)
            except DataError as error:
                self._context.fault("STATEMENT_REFUSED", str(error))
