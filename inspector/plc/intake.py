"""What the PLC and the operator send: payload to message, or a reason why not. Pure."""

from collections import Counter, OrderedDict

from inspector.clock import NS_PER_S
from inspector.flat import RefusedError, Scalar, Schema
from inspector.mqtt_schema import ACK, COMMAND, TRIGGER
from inspector.types import Action, Command, CommandKind, Message, PartTrigger

MAX_AHEAD_NS = 1 * NS_PER_S  # two clocks that are synchronised (NTP) differ by less
REMEMBERED_TRIGGERS = 512


class Acknowledgement(Message, frozen=True, kw_only=True):
    """The PLC has acted on a verdict. `utc_ns` is the PLC's own clock."""

    verdict_id: str
    part_id: str
    action: Action
    utc_ns: int
    received_ns: int


class PlcIntake:
    """Decodes triggers, commands and acknowledgements. One thread.

    `clock_ahead` counts triggers from a PLC whose clock is more than a second before ours.
    """

    def __init__(self) -> None:
        self.refused: Counter[str] = Counter()
        self.clock_ahead = 0
        self._triggers: OrderedDict[bytes, None] = OrderedDict()

    def trigger(self, payload: bytes, *, retained: bool, received_ns: int, utc_offset_ns: int) -> PartTrigger:
        """Raises RefusedError. A trigger from the future is taken as of now: no part goes unseen.

        QoS 1 may repeat a message; the repeated one is the same to the byte, and is refused.
        """
        values = self._decode("trigger", TRIGGER, payload, retained)
        part_id = str(values["part_id"])
        # A quotation mark or a backslash takes two bytes in JSON: the verdict could pass its 512.
        if not all("!" <= c <= "~" and c not in '"\\' for c in part_id):
            text = 'trigger: part_id must be printable ASCII without spaces, " and \\'
            raise self._refuse("range", text)
        if payload in self._triggers:
            raise self._refuse("duplicate", f"trigger: {part_id} was here before")
        self._triggers[payload] = None
        if len(self._triggers) > REMEMBERED_TRIGGERS:
            self._triggers.popitem(last=False)
        trigger_ns = int(values["utc_ns"]) - utc_offset_ns
        if trigger_ns > received_ns + MAX_AHEAD_NS:
            self.clock_ahead += 1
        return PartTrigger(
            part_id=part_id,
            seq=int(values["seq"]),
            trigger_ns=min(trigger_ns, received_ns),
            received_ns=received_ns,
        )

    def command(self, payload: bytes, *, retained: bool, received_ns: int) -> Command:
        """Raises RefusedError, for a retained command too: it would repeat at every reconnect."""
        values = self._decode("command", COMMAND, payload, retained)
        return Command(
            kind=CommandKind(str(values["command"])),
            source=str(values["source"]),
            received_ns=received_ns,
            recipe=str(values.get("recipe", "")),
        )

    def acknowledgement(self, payload: bytes, *, retained: bool, received_ns: int) -> Acknowledgement:
        """Raises RefusedError."""
        values = self._decode("ack", ACK, payload, retained)
        return Acknowledgement(
            verdict_id=str(values["verdict_id"]),
            part_id=str(values["part_id"]),
            action=Action(str(values["action"])),
            utc_ns=int(values["utc_ns"]),
            received_ns=received_ns,
        )

    def _decode(self, name: str, schema: Schema, payload: bytes, retained: bool) -> dict[str, Scalar]:
        if retained:
            raise self._refuse("retained", f"{name}: publish it without retain")
        try:
            return schema.decode(payload)
        except RefusedError as refused:
            raise self._refuse(refused.reason, f"{name}: {refused}") from refused

    def _refuse(self, reason: str, text: str) -> RefusedError:
        self.refused[reason] += 1
        return RefusedError(reason, text)
