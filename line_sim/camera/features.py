"""The camera's GenICam features: one table from which the XML and the registers are made.

Names, categories and units follow the SFNC (GenICam Standard Features Naming Convention 2.7).
"""

from dataclasses import dataclass, field
from enum import StrEnum

from line_sim.camera.registers import Access, Kind, Register


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
    GURU = "Guru"
    INVISIBLE = "Invisible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Feature:
    """One feature over one register, or over the bits `bits` (LSB first, of a 32 bit word) of it.

    `formula` makes a limit or a value from other features: pairs of variable and feature name,
    and a GenApi expression.
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
    maximum_formula: str = ""
    maximum_variables: tuple[str, ...] = ()
    scale: float = 1.0  # a Float over an integer register: feature = register * scale
    volatile: bool = False  # the device changes it, so that an application must not cache it
    selects: tuple[str, ...] = ()
    access: Access | None = None  # None: that of the register

    @property
    def effective_access(self) -> Access:
        return self.access or self.register.access


FEATURE_BASE = 0x0001_0000
_SLOT_BYTES = 8


@dataclass(slots=True)
class FeatureTable:
    """Builds features in order and gives each that needs one a register of its own."""

    features: list[Feature] = field(default_factory=list)
    _next_address: int = FEATURE_BASE

    @property
    def registers(self) -> tuple[Register, ...]:
        """The registers in the manufacturer's space, in the order of their addresses."""
        return tuple(
            feature.register
            for feature in self.features
            if feature.register.address >= FEATURE_BASE and feature.register.name == feature.name
        )

    @property
    def size_bytes(self) -> int:
        return self._next_address - FEATURE_BASE

    def _address(self) -> int:
        address = self._next_address
        self._next_address += _SLOT_BYTES
        return address

    def integer(
        self,
        name: str,
        category: str,
        tooltip: str,
        *,
        access: Access = Access.RO,
        minimum: int | None = None,
        maximum: int | None = None,
        increment: int = 1,
        locked: bool = False,
        length: int = 4,
        unit: str = "",
        visibility: Visibility = Visibility.BEGINNER,
        maximum_formula: str = "",
        maximum_variables: tuple[str, ...] = (),
        volatile: bool = False,
    ) -> None:
        register = Register(
            name=name,
            address=self._address(),
            length=length,
            access=access,
            minimum=minimum,
            maximum=maximum,
            increment=increment,
            locked=locked,
        )
        self.features.append(
            Feature(
                name=name,
                category=category,
                kind=FeatureKind.INTEGER,
                register=register,
                tooltip=tooltip,
                unit=unit,
                visibility=visibility,
                maximum_formula=maximum_formula,
                maximum_variables=maximum_variables,
                volatile=volatile,
            )
        )

    def floating(
        self,
        name: str,
        category: str,
        tooltip: str,
        *,
        minimum: float | None = None,
        maximum: float | None = None,
        access: Access = Access.RW,
        unit: str = "",
        volatile: bool = False,
    ) -> None:
        register = Register(
            name=name,
            address=self._address(),
            length=8,
            access=access,
            kind=Kind.FLOAT,
            minimum=minimum,
            maximum=maximum,
        )
        self.features.append(
            Feature(
                name=name,
                category=category,
                kind=FeatureKind.FLOAT,
                register=register,
                tooltip=tooltip,
                unit=unit,
                volatile=volatile,
            )
        )

    def enumeration(
        self,
        name: str,
        category: str,
        tooltip: str,
        entries: tuple[tuple[str, int], ...],
        *,
        access: Access = Access.RW,
        locked: bool = False,
        selects: tuple[str, ...] = (),
        visibility: Visibility = Visibility.BEGINNER,
    ) -> None:
        register = Register(
            name=name,
            address=self._address(),
            access=access,
            allowed=frozenset(value for _, value in entries),
            locked=locked,
        )
        self.features.append(
            Feature(
                name=name,
                category=category,
                kind=FeatureKind.ENUMERATION,
                register=register,
                tooltip=tooltip,
                entries=entries,
                selects=selects,
                visibility=visibility,
            )
        )

    def boolean(self, name: str, category: str, tooltip: str) -> None:
        register = Register(
            name=name,
            address=self._address(),
            access=Access.RW,
            allowed=frozenset((0, 1)),
        )
        self.features.append(
            Feature(
                name=name,
                category=category,
                kind=FeatureKind.BOOLEAN,
                register=register,
                tooltip=tooltip,
            )
        )

    def command(self, name: str, category: str, tooltip: str) -> None:
        register = Register(name=name, address=self._address(), access=Access.WO, allowed=frozenset((1,)))
        self.features.append(
            Feature(
                name=name,
                category=category,
                kind=FeatureKind.COMMAND,
                register=register,
                tooltip=tooltip,
            )
        )

    def over(
        self,
        register: Register,
        name: str,
        category: str,
        kind: FeatureKind,
        tooltip: str,
        *,
        unit: str = "",
        visibility: Visibility = Visibility.EXPERT,
        representation: str = "",
        bits: tuple[int, int] | None = None,
        entries: tuple[tuple[str, int], ...] = (),
        command_value: int = 1,
        scale: float = 1.0,
        volatile: bool = False,
        access: Access | None = None,
    ) -> None:
        """Add a feature that shows a register which exists already."""
        self.features.append(
            Feature(
                name=name,
                category=category,
                kind=kind,
                register=register,
                tooltip=tooltip,
                unit=unit,
                visibility=visibility,
                representation=representation,
                bits=bits,
                entries=entries,
                command_value=command_value,
                scale=scale,
                volatile=volatile,
                access=access,
            )
        )
