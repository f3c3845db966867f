"""Tells a Sparkplug B host what the cell tells the PLC: for plants whose SCADA speaks nothing else.

A connection of its own, because a connection has one Will and Sparkplug wants it for its death. Data is
QoS 0 and without a memory by that standard: it is for people and historians. The PLC acts on the verdict
on `BASE/verdict`, which this neither delays nor replaces.
"""

from collections import Counter, deque
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from inspector.clock import Clock
from inspector.config import BrokerConfig, SparkplugDevice
from inspector.errors import InvariantError
from inspector.flat import RefusedError
from inspector.plc.client import read_access
from inspector.plc.connection import Connection
from inspector.plc.events import Connected, Lost, SubscriptionRefused, Will
from inspector.plc.fault_log import FaultLog
from inspector.plc.inbox import Token
from inspector.plc.sparkplug_node import Message, SparkplugNode
from inspector.sparkplug_b import Value
from inspector.types import Action, Fault, Verdict

SERVICE = "sparkplug"
CLOSE_S = 1.0
MAX_COMMAND_BYTES = 4096
_COMMANDS = 16  # that may wait; a host that sends more is asking for the same


class SparkplugBridge:
    """One thread calls all of it, and nothing of it blocks. `on_wake` is called from another one.

    `folder` remembers the number of births over restarts, `recipe` is the one in use. Raises ConfigError
    as `PlcLink` does.
    """

    def __init__(
        self,
        broker: BrokerConfig,
        place: SparkplugDevice,
        folder: Path,
        clock: Clock,
        on_wake: Callable[[], None],
        *,
        recipe: str = "",
    ) -> None:
        self._clock = clock
        self._faults = FaultLog(SERVICE)
        self._births_file = folder / "sparkplug_bd_seq"
        self._node = SparkplugNode(place, _read_number(self._births_file))
        self._commands: deque[tuple[bytes, bool, Token | None]] = deque()
        self._actions: Counter[str] = Counter()
        self._generation = 0  # of the connection on which we are born
        own = replace(broker, client_id=f"{broker.client_id}-{SERVICE}")
        self._connection = Connection(
            own,
            read_access(broker),
            subscriptions=(self._node.command_topic,),
            will=self._will,
            clock=clock,
            on_message=self._take,
            on_wake=on_wake,
            persistent=False,  # Sparkplug B 3.0, section 6.4.1: Clean Start, no session that outlives it
        )
        self._node.note({f"Counters/{action.value}": 0 for action in Action} | {"Recipe": recipe})

    def start(self) -> None:
        """Start connecting; returns at once."""
        self._connection.start()

    def poll(self) -> list[Fault]:
        """Do what is due; return faults to be told. Call it when woken.

        Raises InvariantError when the network thread has died.
        """
        if not self._connection.alive:
            raise InvariantError("the MQTT network thread of Sparkplug has died")
        for event in self._connection.drain():
            match event:
                case Connected():
                    self._generation = event.generation
                    self._say(*self._node.births(self._clock.utc_ns()))
                case Lost():
                    self._generation = 0
                    self._faults.add("SPARKPLUG_LOST", event.reason)
                case SubscriptionRefused():
                    self._faults.add("SPARKPLUG_SUBSCRIBE_REFUSED", event.reason)
        self._obey()
        return self._faults.take(self._clock.now_ns())

    def verdict(self, verdict: Verdict) -> None:
        """Tell of a verdict that was sent to the PLC."""
        self._actions[verdict.action.value] += 1
        self._tell(
            {
                "Verdict/Id": verdict.verdict_id,
                "Verdict/Part Id": verdict.part_id,
                "Verdict/Sequence": verdict.seq,
                "Verdict/Decision": verdict.decision.value,
                "Verdict/Action": verdict.action.value,
                "Verdict/Reason": verdict.reason_code.value,
                "Verdict/Cause": verdict.cause,
                "Verdict/Confidence": verdict.confidence,
                "Verdict/Defect Probability": verdict.p_defect,
                "Verdict/Failsafe": verdict.failsafe,
                f"Counters/{verdict.action.value}": self._actions[verdict.action.value],
            }
        )

    def state(self, state: str, *, emergency_latched: bool) -> None:
        """Tell the state of OPC 40100-1, if it has changed."""
        self._tell({"State": state, "Emergency Latched": emergency_latched})

    def fault(self, fault: Fault) -> None:
        """Tell of a fault."""
        self._tell({"Fault/Service": fault.service, "Fault/Code": fault.code, "Fault/Text": fault.text})

    def close(self) -> None:
        """Say goodbye: a Will is for those who cannot."""
        self._say(self._node.farewell(), qos=1)
        self._generation = 0
        self._connection.close(CLOSE_S)

    # -- inside ----------------------------------------------------------------------------------

    def _tell(self, values: dict[str, Value | None]) -> None:
        changed = self._node.note(values)
        if changed and self._generation:
            self._say(self._node.data(changed, self._clock.utc_ns()))

    def _say(self, *messages: Message, qos: int = 0) -> None:
        for topic, payload in messages:
            if (
                self._generation
                and self._connection.publish(self._generation, topic, payload, qos=qos) is None
            ):
                self._generation = 0  # the next connection begins with a birth

    def _obey(self) -> None:
        asked = False
        while self._commands:
            try:
                payload, retained, token = self._commands.popleft()
            except IndexError:
                break  # the network thread has just dropped it
            if token is not None:
                self._connection.acknowledge([token])
            try:
                if retained:
                    raise RefusedError("retained", "Sparkplug messages are not retained")
                asked |= self._node.asks_for_rebirth(payload)
            except RefusedError as refused:
                self._faults.add("SPARKPLUG_COMMAND_REFUSED", f"{refused} ({refused.reason})")
        if asked and self._generation:
            self._say(*self._node.births(self._clock.utc_ns()))

    # In the network thread.

    def _will(self) -> Will:
        topic, payload = self._node.death()
        _write_number(self._births_file, self._node.bd_seq)
        return Will(topic, payload, retain=False)

    def _take(
        self, _topic: str, payload: bytes, retained: bool, _received_ns: int, token: Token | None
    ) -> None:
        if len(self._commands) >= _COMMANDS:
            self._let_go()
        self._commands.append((payload[: MAX_COMMAND_BYTES + 1], retained, token))

    def _let_go(self) -> None:
        """Drop the oldest command. Unacknowledged it would take up the broker's window for ever."""
        try:
            _, _, token = self._commands.popleft()
        except IndexError:
            return  # the caller was quicker
        if token is not None:
            self._connection.acknowledge([token])


def _read_number(path: Path) -> int:
    try:
        return int(path.read_text(encoding="ascii")) % 256
    except (OSError, ValueError):
        return -1  # the first time; or it is lost, and the count begins anew


def _write_number(path: Path, number: int) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(str(number), encoding="ascii")
    except OSError:
        return  # a full disk costs the count its memory over a restart, no more
