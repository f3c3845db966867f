"""Our messages as the flat payloads of docs/mqtt.md, checked before they leave. Pure.

`utc_offset_ns` is UTC minus CLOCK_MONOTONIC at the time of sending.
"""

import json
import unicodedata

import msgspec

from inspector.clock import NS_PER_MS
from inspector.errors import InvariantError
from inspector.flat import RefusedError, Scalar, Schema
from inspector.mqtt_schema import (
    AVAILABILITY,
    EXPLANATION,
    FAULT,
    HEARTBEAT,
    STATE,
    UNDELIVERED,
    VERDICT,
    Heartbeat,
)
from inspector.types import Action, Decision, Explanation, Fault, ReasonCode, Verdict

_MORE = "..."
_PLAIN_VALID_NS = 60_000 * NS_PER_MS
_SPOKEN = ("text", "cause", "recommended_action")
# What people write (labels, names) in the characters that every PLC can show: a German umlaut as
# DIN 5007-2 sorts it, other accents dropped.
_ASCII = str.maketrans(
    {"µ": "u", "μ": "u", "°": " deg", "²": "2", "³": "3", "–": "-", "—": "-", "×": "x", "±": "+/-"}
    | {"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss", "ẞ": "SS"}
    | {"ø": "oe", "Ø": "Oe", "æ": "ae", "Æ": "Ae", "ł": "l", "Ł": "L", "đ": "d", "Đ": "D"}
    | {"„": '"', "“": '"', "”": '"', "‚": "'", "‘": "'", "’": "'", "…": "..."}
)


def verdict_payload(verdict: Verdict, latency_ms: float, utc_offset_ns: int) -> bytes:
    """Return the verdict as at most 512 bytes. `latency_ms` is -1 when there was no frame.

    When long names leave too little room, `missing` is shortened, and `cause` if need be.
    Raises InvariantError when the verdict contradicts itself.
    """
    values: dict[str, Scalar] = {
        "verdict_id": verdict.verdict_id,
        "part_id": verdict.part_id,
        "seq": verdict.seq,
        "decision": verdict.decision.value,
        "action": verdict.action.value,
        "reason": verdict.reason_code.value,
        "cause": _text(verdict.cause, 64),
        "missing": _join(verdict.missing, 64),
        "confidence": round(verdict.confidence, 4),
        "p_defect": -1 if verdict.p_defect is None else round(verdict.p_defect, 4),
        "failsafe": verdict.failsafe,
        "skew_ms": round(verdict.skew_ms, 3),
        "latency_ms": max(-1.0, round(latency_ms, 3)),
        "trigger_utc_ns": _utc_ns(verdict.trigger_ns, utc_offset_ns),
        "valid_until_utc_ns": _utc_ns(verdict.valid_until_ns, utc_offset_ns),
        "model": verdict.model_sha256[:12],
        "config": verdict.config_sha256[:12],
        "ok": verdict.action is Action.PASS,
        "ng": verdict.action is Action.REJECT,
        "ready": True,
    }
    try:
        return VERDICT.encode(values)
    except RefusedError as refused:
        if refused.reason != "size":
            raise _broken(VERDICT, refused) from refused
    values["missing"] = ""
    room = VERDICT.max_bytes - _size(values)
    values["missing"] = _join(verdict.missing, min(64, max(0, room)))
    values["cause"] = _text(verdict.cause, max(0, len(str(values["cause"])) + min(0, room)))
    return _encode(VERDICT, values)


def plain_verdict(verdict: Verdict, failsafe: Action) -> Verdict:
    """Return what can still be said of a verdict that breaks its schema: the failsafe action, or STOP.

    What is wrong of it is a defect of ours, so nothing else of it is to be trusted; but the part is on
    the belt and must have its verdict.
    """
    stop = verdict.decision is Decision.EMERGENCY_BRAKE
    latest_ns = verdict.decided_ns + _PLAIN_VALID_NS
    return msgspec.structs.replace(
        verdict,
        verdict_id=_text(verdict.verdict_id, 64) or "?",
        part_id=_text(verdict.part_id, 64),
        seq=max(1, verdict.seq),
        decision=Decision.EMERGENCY_BRAKE if stop else Decision.PENDING,
        action=Action.STOP if stop else failsafe,
        reason_code=ReasonCode.EMERGENCY if stop else ReasonCode.EVIDENCE_MISSING,
        confidence=1.0 if stop else 0.0,
        p_defect=None,
        weights={},
        skew_ms=0.0,
        clock_uncertainty_ms=None,
        modalities=(),
        missing=(),
        cause="verdict could not be written",
        trigger_ns=min(max(0, verdict.trigger_ns), verdict.decided_ns),
        valid_until_ns=min(max(verdict.decided_ns, verdict.valid_until_ns), latest_ns),
        failsafe=not stop,
        config_sha256=_text(verdict.config_sha256, 64),
        model_sha256=_text(verdict.model_sha256, 64),
    )


class _Notice(msgspec.Struct):
    """The keys of a verdict that its notice repeats."""

    verdict_id: str
    part_id: str
    decision: str
    action: str
    reason: str


def undelivered_payload(verdict: bytes, expired_utc_ns: int) -> bytes:
    """Return the notice that a verdict, given as its payload, was not delivered in time."""
    values = msgspec.structs.asdict(msgspec.json.decode(verdict, type=_Notice))
    return _encode(UNDELIVERED, {**values, "expired_utc_ns": max(0, expired_utc_ns)})


def explanation_payload(explanation: Explanation) -> bytes:
    """Return the explanation as at most 4096 bytes; a longer text is cut.

    It is for people, so that letters of any script stay: JSON escapes them, and the wire is ASCII.
    """
    values: dict[str, Scalar] = {
        "verdict_id": explanation.verdict_id,
        "part_id": explanation.part_id,
        "text": _words(explanation.text, 3000),
        "cause": _words(explanation.cause, 400),
        "recommended_action": _words(explanation.recommended_action, 400),
        "source": explanation.source.value,
        "latency_ms": max(0.0, round(explanation.latency_ms, 1)),
    }
    # An escaped sign takes six bytes, beyond the first plane twelve: what goes first is the longest.
    while (excess := _size(values) - EXPLANATION.max_bytes) > 0:
        longest = max(_SPOKEN, key=lambda name: len(str(values[name])))
        text = str(values[longest])
        values[longest] = _words(text, len(text) - max(len(_MORE), excess // 12))
    return _encode(EXPLANATION, values)


def fault_payload(fault: Fault, utc_offset_ns: int) -> bytes:
    """Return the fault; its text is cut at 240 characters."""
    return _encode(
        FAULT,
        {
            "service": _text(fault.service, 64),
            "code": _text(fault.code, 64),
            "text": _text(fault.text, 240),
            "part_id": _text(fault.part_id, 64),
            "camera_id": _text(fault.camera_id, 64),
            "utc_ns": _utc_ns(fault.at_ns, utc_offset_ns),
        },
    )


def state_payload(state: str, emergency_latched: bool, recipe: str, utc_ns: int) -> bytes:
    """Return the retained state; `state` is a name of OPC 40100-1, `recipe` the one in use or ""."""
    values: dict[str, Scalar] = {"state": state, "emergency_latched": emergency_latched, "recipe": recipe}
    return _encode(STATE, {**values, "utc_ns": utc_ns})


def availability_payload(available: bool) -> bytes:
    """Return the retained availability, which is also the Last Will."""
    return _encode(AVAILABILITY, {"available": available})


def heartbeat_payload(count: int, utc_ns: int) -> bytes:
    """Return one beat."""
    return _encode(HEARTBEAT, {"count": count, "utc_ns": utc_ns})


def heartbeat_pb_payload(count: int, utc_ns: int, emergency_latched: bool) -> bytes:
    """Return one beat as protobuf, at most 24 bytes; `count` wraps at 32 bits."""
    beat = Heartbeat(count=count & 0xFFFF_FFFF, utc_ns=utc_ns, emergency_latched=emergency_latched)
    payload: bytes = beat.SerializeToString()
    return payload


def expiry_s(valid_until_ns: int, now_ns: int) -> int:
    """Return the MQTT 5 message expiry interval: whole seconds, rounded up, at least 1.

    It is the broker's backstop. The client drops what has expired to the nanosecond, and the
    PLC compares `valid_until_utc_ns`.
    """
    return max(1, -(-(valid_until_ns - now_ns) // (1000 * NS_PER_MS)))


def _encode(schema: Schema, values: dict[str, Scalar]) -> bytes:
    try:
        return schema.encode(values)
    except (RefusedError, ValueError) as error:
        raise _broken(schema, error) from error


def _broken(schema: Schema, error: Exception) -> InvariantError:
    return InvariantError(f"our own {schema.name} message breaks its schema: {error}")


def _utc_ns(at_ns: int, utc_offset_ns: int) -> int:
    # A PLC whose clock stands at 1970 says 0; the offset of today may be a little smaller than the
    # one by which that was taken in.
    return max(0, at_ns + utc_offset_ns)


def _size(values: dict[str, Scalar]) -> int:
    return len(json.dumps(values, separators=(",", ":")))


def _text(text: str, length: int) -> str:
    """Printable ASCII on one line, cut to `length` with an ellipsis."""
    if len(text) <= length and text.isascii() and text.isprintable():
        return text
    # Composed first, so that both spellings of an umlaut are one; then accents come off their letters.
    written = unicodedata.normalize("NFC", text).translate(_ASCII)
    letters = (c for c in unicodedata.normalize("NFKD", written) if not unicodedata.combining(c))
    line = " ".join("".join(letters).split())
    return _cut("".join(c if " " <= c <= "~" else "?" for c in line), length)


def _words(text: str, length: int) -> str:
    """Printable characters of any script on one line, cut to `length` with an ellipsis."""
    line = " ".join(text.split())
    return _cut(line if line.isprintable() else "".join(c if c.isprintable() else "?" for c in line), length)


def _cut(line: str, length: int) -> str:
    if len(line) <= length:
        return line
    return line[: length - len(_MORE)] + _MORE if length >= len(_MORE) else ""


def _join(names: tuple[str, ...], length: int) -> str:
    """Join whole names by commas; those that do not fit are counted: `vision.cam1,+3`."""
    whole = _text(",".join(names), 10_000)
    if len(whole) <= length:
        return whole
    for kept in range(len(names) - 1, -1, -1):
        text = _text(",".join((*names[:kept], f"+{len(names) - kept}")), 10_000)
        if len(text) <= length:
            return text
    return ""
