"""The table of what flows between our processes, and the names of the MQTT topics outside.

Inside, a topic is typed and has a bound: when a reader falls `depth` messages behind, the oldest
is dropped, and the reader counts it. Outside, names follow ISA-95:
`<enterprise>/<site>/<area>/<line>/<cell>/<leaf>`, at most 8 levels.
"""

from dataclasses import dataclass
from typing import Generic, TypeVar

from inspector.types import (
    Delivery,
    Explanation,
    Fault,
    FrameResult,
    Health,
    JournalEntry,
    JournalTaken,
    Message,
    Opinion,
    OpinionRequest,
    RecipeRefused,
    SelectRecipe,
    Statement,
    VerdictRecord,
)

M = TypeVar("M", bound=Message)

MAX_DEPTH = 128


@dataclass(frozen=True, slots=True)
class Topic(Generic[M]):
    """One internal channel: its name, message type, and longest queue."""

    name: str
    type: type[M]
    depth: int = MAX_DEPTH


RESULTS = Topic("results", FrameResult)
VERDICTS = Topic("verdicts", VerdictRecord)
DELIVERIES = Topic("deliveries", Delivery)
OPINION_REQUESTS = Topic("opinion_requests", OpinionRequest)
OPINIONS = Topic("opinions", Opinion)
EXPLANATIONS = Topic("explanations", Explanation)
STATEMENTS = Topic("statements", Statement)
JOURNAL = Topic("journal", JournalEntry)
JOURNAL_TAKEN = Topic("journal_taken", JournalTaken)
HEALTH = Topic("health", Health)
FAULTS = Topic("faults", Fault)
MISSED_FAULTS = Topic("missed_faults", Fault)  # from the supervisor to an arbiter that has come up
SELECT_RECIPE = Topic("select_recipe", SelectRecipe)
RECIPE_REFUSED = Topic("recipe_refused", RecipeRefused)


def frames_topic(camera_id: str) -> str:
    """Name of the shared-memory channel that carries one camera's frames."""
    return f"frames/{camera_id}"


@dataclass(frozen=True, slots=True)
class MqttTopics:
    """MQTT names of one inspection cell. `base` is the ISA-95 path without a trailing slash."""

    base: str

    @property
    def trigger(self) -> str:
        """PLC to us: a part passed the photo-eye."""
        return f"{self.base}/trigger"

    @property
    def sensors(self) -> str:
        """Subscription filter for all sensors of the cell."""
        return f"{self.base}/sensor/+"

    def sensor(self, sensor_id: str) -> str:
        """Sensor to us: one reading."""
        return f"{self.base}/sensor/{sensor_id}"

    def curve(self, sensor_id: str) -> str:
        """Sensor to us: one curve, such as torque over angle."""
        return f"{self.base}/curve/{sensor_id}"

    @property
    def command(self) -> str:
        """Operator or PLC to us: reset, start, stop, recipe. Protect it by the broker's ACL."""
        return f"{self.base}/command"

    @property
    def verdict(self) -> str:
        """Us to PLC: QoS 1, not retained."""
        return f"{self.base}/verdict"

    @property
    def undelivered(self) -> str:
        """Us to PLC: a verdict whose validity ended before the broker could take it. For the record."""
        return f"{self.base}/undelivered"

    @property
    def ack(self) -> str:
        """PLC to us: it has acted on a verdict."""
        return f"{self.base}/ack"

    @property
    def explanation(self) -> str:
        """Us to people: follows the verdict of the same id."""
        return f"{self.base}/explanation"

    @property
    def fault(self) -> str:
        """Us to people: something is wrong with the cell itself."""
        return f"{self.base}/fault"

    @property
    def state(self) -> str:
        """Retained: operational state and whether an emergency is latched."""
        return f"{self.base}/state"

    @property
    def availability(self) -> str:
        """Retained, and our Last Will: online or offline."""
        return f"{self.base}/availability"

    @property
    def heartbeat(self) -> str:
        """A counter that the PLC can alarm on."""
        return f"{self.base}/heartbeat"

    @property
    def heartbeat_pb(self) -> str:
        """The same counter as a protobuf message of at most 24 bytes."""
        return f"{self.base}/heartbeat/pb"
