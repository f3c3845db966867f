"""What a camera can be set to: its feature tree as data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genicam import genapi

from inspector.camera.gentl_errors import GENTL_ERRORS

_KINDS = (
    (genapi.IEnumeration, "Enumeration"),
    (genapi.IBoolean, "Boolean"),
    (genapi.IInteger, "Integer"),
    (genapi.IFloat, "Float"),
    (genapi.IString, "String"),
    (genapi.ICommand, "Command"),
    (genapi.IRegister, "Register"),
)
_ACCESS = {
    genapi.EAccessMode.NI: "not implemented",
    genapi.EAccessMode.NA: "not available now",
    genapi.EAccessMode.WO: "write",
    genapi.EAccessMode.RO: "read",
    genapi.EAccessMode.RW: "read, write",
}
_READABLE = (genapi.EAccessMode.RO, genapi.EAccessMode.RW)
_VISIBILITY = {
    genapi.EVisibility.Beginner: "Beginner",
    genapi.EVisibility.Expert: "Expert",
    genapi.EVisibility.Guru: "Guru",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature; what it has not, or what cannot be read now, is None."""

    category: str
    name: str
    kind: str
    access: str
    visibility: str
    value: bool | int | float | str | None = None
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    unit: str = ""
    choices: tuple[str, ...] = ()
    selected_by: tuple[str, ...] = ()
    description: str = ""

    @property
    def allowed(self) -> str:
        """What may be written, in words."""
        if self.choices:
            return " | ".join(self.choices)
        if self.minimum is None:
            return ""
        step = f" step {self.step:g}" if self.step and self.step != 1 else ""
        return f"{self.minimum:.10g} to {self.maximum:.10g}{step}"


def feature_tree(node_map: Any) -> list[Feature]:
    """Read all features below Root, in the camera's order. Invisible ones are left out.

    Slow on a real camera: a register access for each value. Raises what the producer raises only
    where the camera is gone; a feature that cannot be read is listed without value.
    """
    return list(_below(node_map.Root, ""))


def _below(category: Any, path: str) -> Iterator[Feature]:
    for node in category.features:
        inode = node.node
        visibility = _VISIBILITY.get(inode.visibility)
        if visibility is None:
            continue
        name = inode.name
        if isinstance(node, genapi.ICategory):
            yield from _below(node, f"{path}/{name}".lstrip("/"))
            continue
        yield _feature(node, inode, path, visibility)


def _feature(node: Any, inode: Any, path: str, visibility: str) -> Feature:
    kind = next((word for each, word in _KINDS if isinstance(node, each)), "other")
    access = inode.get_access_mode()
    facts: dict[str, Any] = {}
    if access in _READABLE:
        try:
            facts = _facts(node, kind)
        except GENTL_ERRORS:
            facts = {}  # some features answer only in some states of the camera
    return Feature(
        category=path,
        name=inode.name,
        kind=kind,
        access=_ACCESS.get(access, "unknown"),
        visibility=visibility,
        selected_by=tuple(each.node.name for each in inode.selecting_features),
        description=inode.tooltip or inode.description or "",
        **facts,
    )


def _facts(node: Any, kind: str) -> dict[str, Any]:
    if kind in {"Command", "Register", "other"}:
        return {}
    facts: dict[str, Any] = {"value": node.value}
    if kind == "Enumeration":
        unusable = (genapi.EAccessMode.NI, genapi.EAccessMode.NA)
        facts["choices"] = tuple(
            each.symbolic for each in node.entries if each.get_access_mode() not in unusable
        )
    if kind in {"Integer", "Float"}:
        facts |= {"minimum": node.min, "maximum": node.max, "unit": node.unit or ""}
        if kind == "Integer" or node.has_inc():
            facts["step"] = node.inc
    return facts
