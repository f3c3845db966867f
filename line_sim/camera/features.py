"""A table of GenICam features, from which the XML and the registers are made.

Names, categories and units follow the SFNC (GenICam Standard Features Naming Convention 2.7).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from line_sim.camera.registers import Access, Kind, Register

FEATURE_BASE = 0x0001_0000
_SLOT_BYTES = 8


class FeatureKind(StrEnum):
    """The GenApi node types in use; the value is the element's name."""

    INTEGER = "Integer"
    FLOAT = "Float"
    BOOLEAN = "Boolean"
    ENUMERATION = "Enumeration"
    COMMAND = "Command"
    STRING = "StringReg"


class Visibility(StrEnum):
    BEGINNER = "Beginner"
    EXPERT = "Expert"
    INVISIBLE = "Invisible"


@dataclass(frozen=True, slots=True)
class Port:
    """A GenApi port other than the device: the data of a chunk or of an event, by its id."""

    name: str
    tag: str  # ChunkID or EventID
    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature over one register, or over some bits of it.

    `bits` are (LSB, MSB) of a 32 bit word, counted from the most significant bit as GenApi does
    for big-endian registers. `limited_by` names the feature with which it shares the
    value of the feature `limit`: its maximum is that less the other one. `scale` makes the feature's
    value of the register's: feature = register * scale. A `volatile` one is changed by the device, so that an
    application must not cache it.
    """

    name: str
    category: str
    kind: FeatureKind
    register: Register
    tooltip: str
    visibility: Visibility = Visibility.BEGINNER
    unit: str = ""
    representation: str = ""
    entries: tuple[tuple[str, int], ...] = ()
    bits: tuple[int, int] | None = None
    command_value: int = 1
    limited_by: str = ""
    limit: str = ""
    scale: float = 1.0
    volatile: bool = False
    selects: tuple[str, ...] = ()
    signed: bool = False
    port: Port | None = None
    indexed_by: tuple[str, int] | None = None  # feature, and the bytes that each of it shifts the address


@dataclass(slots=True)
class FeatureTable:
    """Features in the order of the XML; each gets a register, of its own or one that exists."""

    features: list[Feature] = field(default_factory=list)
    registers: list[Register] = field(default_factory=list)
    """Those in the manufacturer's space."""

    @property
    def size_bytes(self) -> int:
        return _SLOT_BYTES * len(self.registers)

    def add(
        self,
        name: str,
        category: str,
        kind: FeatureKind,
        tooltip: str,
        *,
        access: Access | None = None,
        minimum: float | None = None,
        maximum: float | None = None,
        increment: int = 1,
        allowed: frozenset[int] | None = None,
        locked: bool = False,
        unit: str = "",
        visibility: Visibility = Visibility.BEGINNER,
        entries: tuple[tuple[str, int], ...] = (),
        selects: tuple[str, ...] = (),
        limited_by: str = "",
        limit: str = "",
        volatile: bool = False,
        wide: bool = False,
    ) -> None:
        """Add a feature with a register of its own; integers are read-only unless said.

        `wide` integers have 64 bits and a sign.
        """
        allowed = allowed or {
            FeatureKind.BOOLEAN: frozenset((0, 1)),
            FeatureKind.COMMAND: frozenset((1,)),
            FeatureKind.ENUMERATION: frozenset(value for _, value in entries),
        }.get(kind)
        usual = {FeatureKind.INTEGER: Access.RO, FeatureKind.COMMAND: Access.WO}
        register = Register(
            name=name,
            address=FEATURE_BASE + self.size_bytes,
            length=8 if wide or kind is FeatureKind.FLOAT else 4,
            access=access or usual.get(kind, Access.RW),
            kind=Kind.FLOAT if kind is FeatureKind.FLOAT else Kind.INTEGER,
            minimum=minimum,
            maximum=maximum,
            increment=increment,
            allowed=allowed,
            locked=locked,
        )
        self.registers.append(register)
        self.features.append(
            Feature(
                name=name,
                category=category,
                kind=kind,
                register=register,
                tooltip=tooltip,
                visibility=visibility,
                unit=unit,
                entries=entries,
                limited_by=limited_by,
                limit=limit,
                volatile=volatile,
                selects=selects,
                signed=wide,
            )
        )

    def show(
        self,
        register: Register,
        name: str,
        category: str,
        kind: FeatureKind,
        tooltip: str,
        *,
        unit: str = "",
        representation: str = "",
        bits: tuple[int, int] | None = None,
        entries: tuple[tuple[str, int], ...] = (),
        command_value: int = 1,
        scale: float = 1.0,
        volatile: bool = False,
    ) -> None:
        """Add a feature that shows a bootstrap register."""
        self.features.append(
            Feature(
                name=name,
                category=category,
                kind=kind,
                register=register,
                tooltip=tooltip,
                visibility=Visibility.EXPERT,
                unit=unit,
                representation=representation,
                bits=bits,
                entries=entries,
                command_value=command_value,
                scale=scale,
                volatile=volatile,
            )
        )

    def deliver(
        self,
        port: Port,
        name: str,
        category: str,
        kind: FeatureKind,
        tooltip: str,
        *,
        address: int,
        length: int,
        signed: bool = False,
        entries: tuple[tuple[str, int], ...] = (),
        indexed_by: tuple[str, int] | None = None,
    ) -> None:
        """Add a feature whose value comes with a frame or with an event."""
        register = Register(
            name=name,
            address=address,
            length=length,
            kind=Kind.FLOAT if kind is FeatureKind.FLOAT else Kind.INTEGER,
        )
        self.features.append(
            Feature(
                name=name,
                category=category,
                kind=kind,
                register=register,
                tooltip=tooltip,
                visibility=Visibility.EXPERT,
                entries=entries,
                volatile=True,
                signed=signed,
                port=port,
                indexed_by=indexed_by,
            )
        )
