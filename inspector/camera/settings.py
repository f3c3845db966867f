"""Writes the user's settings into a camera's feature map, by SFNC name and in the order given.

Each mistake is one ConfigError that names camera, feature, value and what is allowed. Every value
is read back, because cameras round and some accept a write without taking it.
"""

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from genicam import genapi, gentl

from inspector.camera.gentl_errors import GENTL_ERRORS, reason
from inspector.config import SfncValue
from inspector.errors import ConfigError, DeviceError

_READABLE = (genapi.EAccessMode.RO, genapi.EAccessMode.RW)
_WRITABLE = (genapi.EAccessMode.WO, genapi.EAccessMode.RW)
# Commands that would pull the rug from under what follows.
_NOT_FROM_A_FILE = {
    "AcquisitionStart": "frames are started when the camera is ready, leave it out",
    "AcquisitionStop": "frames are started and stopped for you, leave it out",
    "DeviceReset": "it would restart the camera and forget the settings, leave it out",
    "TriggerSoftware": "a trigger belongs into the running program, leave it out",
}
_INDEXED = re.compile(r"(\w+)\[(\w+)\]")
_ROUNDING = 0.01  # a camera's steps of exposure or gain; anything coarser is a different value


def apply_settings(node_map: Any, settings: Mapping[str, SfncValue], camera_id: str) -> dict[str, SfncValue]:
    """Write all settings; return what the camera has then. Raises ConfigError or DeviceError.

    A name may say which one of a selected feature it means: `TriggerMode[FrameStart]` sets
    TriggerSelector first.
    """
    _check_selectors(node_map, settings, camera_id)
    applied: dict[str, SfncValue] = {}
    for name, value in settings.items():
        try:
            if (indexed := _INDEXED.fullmatch(name)) is not None:
                feature, entry = indexed.groups()
                selector = _selector_of(node_map, feature, name, camera_id)
                _apply(node_map, selector, entry, camera_id)
                applied[name] = _apply(node_map, feature, value, camera_id)
                continue
            applied[name] = _apply(node_map, name, value, camera_id)
        except gentl.IoException as error:
            raise DeviceError(f"camera {camera_id}: lost while setting {name}") from error
        except GENTL_ERRORS as error:
            raise ConfigError(
                f"camera {camera_id}: {name} cannot be set to {value!r}: {reason(error)}"
            ) from error
    return applied


def _selector_of(node_map: Any, feature: str, name: str, camera_id: str) -> str:
    """Return what selects a feature: TriggerSelector of TriggerMode."""
    node = getattr(node_map, feature, None) if feature[:1].isupper() else None
    selectors = [] if node is None or not hasattr(node, "node") else list(node.node.selecting_features)
    if len(selectors) != 1:
        names = ", ".join(each.node.name for each in selectors) or "no feature"
        raise ConfigError(f"camera {camera_id}: {name} is wrong: {names} selects {feature}, one is needed")
    return str(selectors[0].node.name)


def _check_selectors(node_map: Any, settings: Mapping[str, SfncValue], camera_id: str) -> None:
    """A selector chooses which feature the lines after it set, so it must stand before them."""
    names = list(settings)
    for place, name in enumerate(names):
        node = getattr(node_map, name, None) if name[:1].isupper() else None
        if node is None or not hasattr(node, "node"):
            continue
        for feature in node.node.selected_features:
            selected = feature.node.name
            if selected in names[:place]:
                raise ConfigError(
                    f"camera {camera_id}: {name} stands after {selected}, which it chooses: "
                    f"put {name} before {selected}"
                )


def find_node(node_map: Any, name: str) -> Any | None:
    """Return a feature that the camera has and that can be used now, else None."""
    node = getattr(node_map, name, None)
    if node is None or not hasattr(node, "get_access_mode"):
        return None
    access = node.get_access_mode()
    return None if access in (genapi.EAccessMode.NI, genapi.EAccessMode.NA) else node


def read_value(node_map: Any, name: str) -> SfncValue | None:
    """Return a feature's value, or None where the camera has no such readable feature."""
    node = find_node(node_map, name)
    if node is None or node.get_access_mode() not in _READABLE or not hasattr(node, "value"):
        return None
    value: SfncValue = node.value
    return value


def lock_parameters(node_map: Any, *, locked: bool) -> None:
    """Tell an SFNC 2 camera that what must not change while it acquires may (not) change now."""
    node = find_node(node_map, "TLParamsLocked")
    if node is not None:
        node.value = int(locked)


def _apply(node_map: Any, name: str, value: SfncValue, camera_id: str) -> SfncValue:
    def wrong(what: str) -> ConfigError:
        return ConfigError(f"camera {camera_id}: {name} = {value!r} is wrong: {what}")

    node = getattr(node_map, name, None) if name[:1].isupper() else None
    if node is None or not hasattr(node, "get_access_mode"):
        names = [each for each in dir(node_map) if each[:1].isupper()]
        close = difflib.get_close_matches(name, names, n=3, cutoff=0.6)
        hint = f", did you mean {' or '.join(close)}?" if close else ""
        raise wrong(f"the camera has no such feature{hint}")
    if node.get_access_mode() not in _WRITABLE:
        now = read_value(node_map, name)
        known = "" if now is None else f" (it is {now!r})"
        raise wrong(f"the camera does not let this feature be written now{known}")
    if isinstance(node, genapi.ICommand):
        if value is not True:
            raise wrong("this is a command, the only value is true")
        if name in _NOT_FROM_A_FILE:
            raise wrong(_NOT_FROM_A_FILE[name])
        node.execute()
        return True
    checked = _check(node, value, wrong)
    node.value = checked
    return _read_back(node, checked, wrong)


def _check(node: Any, value: SfncValue, wrong: Callable[[str], ConfigError]) -> SfncValue:
    if isinstance(node, genapi.IEnumeration):
        return _check_choice(node, value, wrong)
    if isinstance(node, genapi.IBoolean):
        if not isinstance(value, bool):
            raise wrong("give true or false")
        return value
    if isinstance(node, genapi.IInteger):
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong(f"give a whole number from {node.min} to {node.max}")
        if not node.min <= value <= node.max or (value - node.min) % max(node.inc, 1):
            step = f" in steps of {node.inc}" if node.inc > 1 else ""
            raise wrong(f"allowed is {node.min} to {node.max}{step}")
        return value
    if isinstance(node, genapi.IFloat):
        return _check_float(node, value, wrong)
    if isinstance(node, genapi.IString):
        if not isinstance(value, str):
            raise wrong("give a text")
        return value
    raise wrong("features of this kind cannot be set from a file")


def _check_float(node: Any, value: SfncValue, wrong: Callable[[str], ConfigError]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise wrong(f"give a number from {node.min:g} to {node.max:g}")
    if not node.min <= value <= node.max:
        unit = f" {node.unit}" if node.unit else ""
        raise wrong(f"allowed is {node.min:g} to {node.max:g}{unit}")
    if node.has_inc() and node.inc > 0:
        steps = (value - node.min) / node.inc
        if not math.isclose(steps, round(steps), rel_tol=1e-9, abs_tol=1e-6):
            near = node.min + math.floor(steps) * node.inc, node.min + math.ceil(steps) * node.inc
            raise wrong(
                f"allowed are steps of {node.inc:g} from {node.min:g}; "
                f"near it are {near[0]:g} and {near[1]:g}"
            )
    return float(value)


def _check_choice(node: Any, value: SfncValue, wrong: Callable[[str], ConfigError]) -> str:
    # YAML reads a bare On or Off as true or false.
    if isinstance(value, bool):
        value = "On" if value else "Off"
    allowed = [
        entry.symbolic
        for entry in node.entries
        if entry.get_access_mode() not in (genapi.EAccessMode.NI, genapi.EAccessMode.NA)
    ]
    if value not in allowed:
        raise wrong(f"allowed is {', '.join(allowed)}")
    return str(value)


def _read_back(node: Any, written: SfncValue, wrong: Callable[[str], ConfigError]) -> SfncValue:
    if node.get_access_mode() not in _READABLE:
        return written
    now: SfncValue = node.value
    if isinstance(now, float) and isinstance(written, float):
        same = math.isclose(now, written, rel_tol=_ROUNDING, abs_tol=1e-9)
    else:
        same = now == written
    if not same:
        raise wrong(f"the camera took {now!r} instead")
    return now
