"""What a PLC checks before it takes a message: the letter of docs/mqtt.md. Pure.

A controller has a byte array of fixed size and a simple parser, so it minds what a server does
not: size, flatness, ASCII, string lengths, the order of keys.
"""

import json
import math
from dataclasses import dataclass
from typing import Final, NoReturn

VERDICT_MAX_BYTES: Final = 512
VERDICT_HARD_MAX_BYTES: Final = 1024  # the controller's receive buffer
EXPLANATION_MAX_BYTES: Final = 4096
STRING_MAX_CHARS: Final = 64

Value = str | int | float | bool | None
Flat = dict[str, Value]

_DECISION_ACTIONS: Final = {
    "EMERGENCY_BRAKE": {"STOP"},
    "CONFIRMED_ACTION": {"REJECT", "PASS"},
    "PENDING": {"HOLD", "REJECT"},
}
_REASONS: Final = {
    "DEFECT",
    "GOOD",
    "LOW_CONFIDENCE",
    "EVIDENCE_MISSING",
    "TRIGGER_LATE",
    "EMERGENCY",
    "LATCHED",
}
_VERDICT_KEYS: Final[dict[str, tuple[type, ...]]] = {
    "verdict_id": (str,),
    "part_id": (str,),
    "seq": (int,),
    "decision": (str,),
    "action": (str,),
    "reason": (str,),
    "cause": (str,),
    "missing": (str,),
    "confidence": (int, float),
    "p_defect": (int, float),
    "failsafe": (bool,),
    "skew_ms": (int, float),
    "latency_ms": (int, float),
    "trigger_utc_ns": (int,),
    "valid_until_utc_ns": (int,),
    "model": (str,),
    "config": (str,),
    "ok": (bool, int),
    "ng": (bool, int),
    "ready": (bool,),
}
# Without these the controller cannot act on the message.
_NEEDED: Final = ("verdict_id", "part_id", "seq", "decision", "action", "valid_until_utc_ns")


@dataclass(frozen=True, slots=True)
class VerdictMessage:
    """A verdict that the controller could read. `p_defect` is None when nothing is known."""

    verdict_id: str
    part_id: str
    seq: int
    decision: str
    action: str
    reason: str
    cause: str
    missing: str
    confidence: float
    p_defect: float | None
    failsafe: bool
    latency_ms: float
    trigger_utc_ns: int
    valid_until_utc_ns: int


@dataclass(frozen=True, slots=True)
class Checked:
    """`verdict` is None when the message is unusable. `violations` are sentences."""

    verdict: VerdictMessage | None
    violations: tuple[str, ...]


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        raise ValueError("a key stands twice")
    return dict(pairs)


def read_flat(payload: bytes, max_bytes: int, max_chars: int) -> tuple[Flat | None, list[str]]:
    """Read a flat ASCII JSON object. Return (None, why) when it is unusable.

    Too long strings and a payload over `max_bytes` are violations, but still read.
    """
    violations: list[str] = []
    if len(payload) > max_bytes:
        violations.append(f"{len(payload)} bytes, at most {max_bytes} are allowed")
    if not payload.isascii():
        return None, [*violations, "not ASCII"]
    try:
        data = json.loads(payload, parse_constant=_refuse_constant, object_pairs_hook=_pairs)
    except (ValueError, RecursionError) as error:
        return None, [*violations, f"not a JSON object: {error}"]
    if not isinstance(data, dict):
        return None, [*violations, "not a JSON object"]
    for key, value in data.items():
        if isinstance(value, dict | list):
            return None, [*violations, f"{key} is not flat"]
        if isinstance(value, str) and len(value) > max_chars:
            violations.append(f"{key} has {len(value)} characters, at most {max_chars} are allowed")
    return data, violations


def _wrong_type(value: Value, types: tuple[type, ...]) -> bool:
    # bool is an int to Python, not to a controller; and its numbers have 64 bits.
    if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
        return True
    if isinstance(value, float):
        return not math.isfinite(value)
    return isinstance(value, int) and not -(2**63) <= value < 2**63


def check_verdict(payload: bytes) -> Checked:
    """Check one payload of BASE/verdict."""
    if len(payload) > VERDICT_HARD_MAX_BYTES:
        return Checked(None, (f"{len(payload)} bytes do not fit into the receive buffer",))
    data, violations = read_flat(payload, VERDICT_MAX_BYTES, STRING_MAX_CHARS)
    if data is None:
        return Checked(None, tuple(violations))
    wrong = {k for k, types in _VERDICT_KEYS.items() if k in data and _wrong_type(data[k], types)}
    violations += [f"{key} is missing" for key in _VERDICT_KEYS if key not in data]
    violations += [f"{key} is unknown" for key in data if key not in _VERDICT_KEYS]
    violations += [f"{key} has the wrong type" for key in _VERDICT_KEYS if key in wrong]
    if data.get("ready") is not True or list(data)[-1] != "ready":
        return Checked(None, (*violations, "ready is not true and last: the message is not whole"))
    if any(key not in data or key in wrong for key in _NEEDED) or wrong & {"ok", "ng"}:
        return Checked(None, tuple(violations))
    good = {key: value for key, value in data.items() if key in _VERDICT_KEYS and key not in wrong}
    violations += _check_meaning(good)
    action, ok, ng = good["action"], bool(good.get("ok")), bool(good.get("ng"))
    if (ok and ng) or ok != (action == "PASS"):
        # Never act on contradicting bits: the controller's failsafe takes over.
        return Checked(None, (*violations, f"ok={ok:d} ng={ng:d} contradict action {action}"))
    p_defect = _number(good.get("p_defect", -1))
    verdict = VerdictMessage(
        verdict_id=str(good["verdict_id"]),
        part_id=str(good["part_id"]),
        seq=_whole(good["seq"]),
        decision=str(good["decision"]),
        action=str(action),
        reason=str(good.get("reason", "")),
        cause=str(good.get("cause", "")),
        missing=str(good.get("missing", "")),
        confidence=_number(good.get("confidence", 0)),
        p_defect=p_defect if 0 <= p_defect <= 1 else None,
        failsafe=good.get("failsafe") is True,
        latency_ms=_number(good.get("latency_ms", -1)),
        trigger_utc_ns=_whole(good.get("trigger_utc_ns", 0)),
        valid_until_utc_ns=_whole(good["valid_until_utc_ns"]),
    )
    known = verdict.action in _DECISION_ACTIONS.get(verdict.decision, set())
    return Checked(verdict if known and verdict.verdict_id else None, tuple(violations))


def _number(value: Value) -> float:
    return float(value) if isinstance(value, int | float) else -1.0


def _whole(value: Value) -> int:
    return value if isinstance(value, int) else 0


def _check_meaning(data: Flat) -> list[str]:
    violations: list[str] = []
    decision, action = str(data["decision"]), str(data["action"])
    if decision not in _DECISION_ACTIONS:
        violations.append(f"decision {decision} is unknown")
    elif action not in _DECISION_ACTIONS[decision]:
        violations.append(f"action {action} does not go with decision {decision}")
    if "reason" in data and data["reason"] not in _REASONS:
        violations.append(f"reason {data['reason']} is unknown")
    if not data["verdict_id"]:
        violations.append("verdict_id is empty")
    if data["part_id"] == "" and decision != "EMERGENCY_BRAKE":
        violations.append("part_id is empty, which is for an emergency only")
    if "confidence" in data and not 0 <= _number(data["confidence"]) <= 1:
        violations.append("confidence is not from 0 to 1")
    p_defect = _number(data.get("p_defect", -1))
    if p_defect != -1 and not 0 <= p_defect <= 1:
        violations.append("p_defect is neither from 0 to 1 nor -1")
    if any(data.get(bit) not in {0, 1} for bit in ("ok", "ng") if bit in data):
        violations.append("ok and ng are bits: 0 or 1")
    if action != "STOP" and bool(data.get("ng")) != (action == "REJECT"):
        violations.append(f"ng does not go with action {action}")
    return violations


class SequenceCheck:
    """Follows a counter that starts at 1 and has no gaps. A fall back to 1 is a restart."""

    def __init__(self) -> None:
        self._last: int | None = None
        self.skipped = 0
        self.restarts = 0

    def take(self, seq: int) -> str | None:
        """Return what is wrong with the next number, or None."""
        last, self._last = self._last, seq
        if last is None or seq == last + 1:
            return None if seq >= 1 else f"seq {seq}, it counts from 1"
        if seq == 1:
            self.restarts += 1
            return None
        if seq > last + 1:
            self.skipped += seq - last - 1
            return f"seq jumped from {last} to {seq}"
        self._last = last
        return f"seq went back from {last} to {seq}"
