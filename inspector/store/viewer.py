"""What people look at, as Foxglove's well-known messages in JSON: picture, boxes, log of verdicts.

Viewers know these by the name of their schema (docs.foxglove.dev/docs/sdk/schemas). `utc_ns` is when
the picture was taken: boxes are drawn on the picture with the same time stamp.
"""

import base64
from typing import Any

import cv2
import numpy as np
from mcap.well_known import MessageEncoding, SchemaEncoding
from msgspec.json import encode

from inspector.clock import NS_PER_S
from inspector.errors import DataError
from inspector.store.raw_image import Pixels
from inspector.store.segment import ChannelSpec
from inspector.types import Action, Fault, Frame, FrameMeta, FrameResult, SensorEvent, Verdict

_LINE_LOOP = 2  # foxglove.PointsAnnotation, type
_INFO, _WARNING, _ERROR = 2, 3, 4  # foxglove.Log, level
_RED = {"r": 1.0, "g": 0.1, "b": 0.1, "a": 1.0}
_DARK = {"r": 0.0, "g": 0.0, "b": 0.0, "a": 0.6}
_LEVEL = {Action.PASS: _INFO, Action.REJECT: _WARNING, Action.HOLD: _WARNING, Action.STOP: _ERROR}
_OPENCV_ORDER = {"RGB8"}

Schema = dict[str, Any]


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties}


def _list(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_NUMBER, _INTEGER, _STRING = ({"type": name} for name in ("number", "integer", "string"))
_TIME = _object(sec=_INTEGER, nsec=_INTEGER)
_POINT = _object(x=_NUMBER, y=_NUMBER)
_COLOUR = _object(r=_NUMBER, g=_NUMBER, b=_NUMBER, a=_NUMBER)
_POINTS = _object(
    timestamp=_TIME,
    type=_INTEGER,
    points=_list(_POINT),
    outline_color=_COLOUR,
    outline_colors=_list(_COLOUR),
    fill_color=_COLOUR,
    thickness=_NUMBER,
)
_TEXT = _object(
    timestamp=_TIME,
    position=_POINT,
    text=_STRING,
    font_size=_NUMBER,
    text_color=_COLOUR,
    background_color=_COLOUR,
)
_CIRCLE = _object(timestamp=_TIME, position=_POINT, diameter=_NUMBER)
_SCHEMAS: dict[str, Schema] = {
    "foxglove.CompressedImage": _object(
        timestamp=_TIME,
        frame_id=_STRING,
        data={"type": "string", "contentEncoding": "base64"},
        format=_STRING,
    ),
    "foxglove.ImageAnnotations": _object(circles=_list(_CIRCLE), points=_list(_POINTS), texts=_list(_TEXT)),
    "foxglove.Log": _object(
        timestamp=_TIME, level=_INTEGER, message=_STRING, name=_STRING, file=_STRING, line=_INTEGER
    ),
    "inspector.Reading": _object(
        value=_NUMBER, unit=_STRING, urgency=_NUMBER, p_defect=_NUMBER, quality=_STRING
    ),
}


def channel(topic: str, schema_name: str) -> ChannelSpec:
    """Declare a channel of one of the schemas here."""
    return ChannelSpec(
        topic=topic,
        message_encoding=MessageEncoding.JSON,
        schema_name=schema_name,
        schema_encoding=SchemaEncoding.JSONSchema,
        schema=encode({"title": schema_name, **_SCHEMAS[schema_name]}),
    )


def image_message(frame: Frame, utc_ns: int) -> bytes:
    """A frame as foxglove.CompressedImage, PNG: nothing of it is lost. Raises DataError."""
    colour = frame.meta.pixel_format in _OPENCV_ORDER
    pixels = np.ascontiguousarray(frame.image[:, :, ::-1]) if colour else frame.image
    done, data = cv2.imencode(".png", pixels)
    if not done:
        raise DataError(f"{frame.meta.camera_id} frame {frame.meta.frame_id}: cannot be written as PNG")
    return encode(
        {
            "timestamp": _time(utc_ns),
            "frame_id": frame.meta.camera_id,
            "data": base64.b64encode(data.tobytes()).decode(),
            "format": "png",
        }
    )


def pixels_of(message: dict[str, Any], meta: FrameMeta) -> Pixels:
    """The pixels of such a message again. Raises DataError when it is none, or of another size."""
    try:
        data = np.frombuffer(base64.b64decode(message["data"], validate=True), np.uint8)
        pixels = cv2.imdecode(data, cv2.IMREAD_UNCHANGED)
    except (KeyError, TypeError, ValueError, cv2.error) as error:
        raise DataError(f"a picture of {meta.camera_id} cannot be read: {error}") from error
    if pixels is None or pixels.shape[:2] != (meta.height_px, meta.width_px):
        raise DataError(f"{meta.camera_id} frame {meta.frame_id}: the picture does not fit its meta data")
    if meta.pixel_format in _OPENCV_ORDER:
        pixels = pixels[:, :, ::-1]
    if pixels.dtype == np.uint16:
        return np.ascontiguousarray(pixels, np.uint16)
    return np.ascontiguousarray(pixels, np.uint8)


def boxes_message(result: FrameResult, utc_ns: int) -> bytes:
    """What was found on a frame, as foxglove.ImageAnnotations; the first text is the probability."""
    stamp = _time(utc_ns)
    p_defect = "-" if result.p_defect is None else f"{result.p_defect:.3f}"
    texts = [_text(stamp, 4, 16, f"p_defect {p_defect} {result.status}")]
    points = []
    for found in result.detections:
        x0, y0, x1, y1 = found.box_px
        corners = [{"x": float(x), "y": float(y)} for x, y in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))]
        points.append(
            {
                "timestamp": stamp,
                "type": _LINE_LOOP,
                "points": corners,
                "outline_color": _RED,
                "outline_colors": [],
                "fill_color": {"r": 0.0, "g": 0.0, "b": 0.0, "a": 0.0},
                "thickness": 2.0,
            }
        )
        texts.append(_text(stamp, x0, y0 - 4, f"{found.label} {found.score:.2f}"))
    return encode({"circles": [], "points": points, "texts": texts})


def verdict_message(verdict: Verdict, utc_ns: int) -> bytes:
    """A verdict as a line of foxglove.Log."""
    why = " ".join(text for text in (verdict.cause, ",".join(verdict.missing)) if text)
    text = (
        f"{verdict.part_id or 'LINE'} {verdict.action} {verdict.reason_code} {verdict.confidence:.3f} {why}"
    )
    return _log(utc_ns, _LEVEL[verdict.action], verdict.decision, text.rstrip())


def fault_message(fault: Fault, utc_ns: int) -> bytes:
    """A fault as a line of foxglove.Log."""
    return _log(utc_ns, _ERROR, fault.service, f"{fault.code}: {fault.text}")


def reading_message(event: SensorEvent) -> bytes:
    """A sensor's reading, for plots."""
    return encode(
        {
            "value": event.value,
            "unit": event.unit,
            "urgency": event.urgency,
            "p_defect": event.p_defect,
            "quality": event.quality,
        }
    )


def _log(utc_ns: int, level: int, name: str, text: str) -> bytes:
    line = {"timestamp": _time(utc_ns), "level": level, "message": text, "name": name, "file": "", "line": 0}
    return encode(line)


def _text(stamp: dict[str, int], x: int, y: int, text: str) -> dict[str, Any]:
    where = {"x": float(x), "y": float(max(y, 12))}
    colours = {"text_color": _RED, "background_color": _DARK}
    return {"timestamp": stamp, "position": where, "text": text, "font_size": 12.0, **colours}


def _time(utc_ns: int) -> dict[str, int]:
    return {"sec": utc_ns // NS_PER_S, "nsec": utc_ns % NS_PER_S}
