"""A fact before it has its number."""

from dataclasses import dataclass

from inspector.explain.facts import FactKind, Quantity


@dataclass(frozen=True, slots=True)
class Draft:
    """See `facts.Fact`."""

    kind: FactKind
    text: str
    quantities: tuple[Quantity, ...] = ()
    names: tuple[str, ...] = ()
    aside: str = ""
