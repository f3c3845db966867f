"""A curve on MQTT, decoded. Pure. The one payload with arrays: no PLC reads it."""

from typing import Annotated

import msgspec

from inspector.flat import MAX_INT, RefusedError
from inspector.types import Quality

MAX_BYTES = 65_000  # below the largest packet that we let the broker send
MAX_POINTS = 4000
_Array = Annotated[list[float], msgspec.Meta(min_length=8, max_length=MAX_POINTS)]
_Whole = Annotated[int, msgspec.Meta(ge=0, le=MAX_INT)]


class CurveMessage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`x` grows (an angle, a way), `y` is measured at each."""

    seq: _Whole
    x: _Array
    y: _Array
    quality: Quality = Quality.GOOD
    utc_ns: _Whole | None = None


_DECODER = msgspec.json.Decoder(CurveMessage)


def decode_curve(payload: bytes) -> CurveMessage:
    """Parse and check one payload. Raises `RefusedError`, and nothing else."""
    if len(payload) > MAX_BYTES:
        raise RefusedError("size", f"{len(payload)} bytes, at most {MAX_BYTES} are taken")
    try:
        return _DECODER.decode(payload)
    except msgspec.ValidationError as error:
        raise RefusedError("type", f"not a curve: {error}"[:120]) from error
    except (msgspec.DecodeError, RecursionError) as error:
        raise RefusedError("json", f"not JSON: {error}"[:120]) from error
