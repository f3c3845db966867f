"""The register memory of a GigE Vision device: regions of bytes and the registers in them.

Reading is free within a region, as in real cameras, so that an application can fetch several
registers at once. Writing is checked register by register.
"""

import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from line_sim.camera.gvcp import CommandRefusedError, Status


class Access(StrEnum):
    RO = "RO"
    RW = "RW"
    WO = "WO"


class Kind(StrEnum):
    INTEGER = "INTEGER"
    FLOAT = "FLOAT"  # IEEE 754 double
    STRING = "STRING"  # UTF-8, NUL-padded


@dataclass(frozen=True, slots=True, kw_only=True)
class Register:
    """One register, big-endian. `locked` registers cannot be written during acquisition.

    `minimum`, `maximum`, `increment` and `allowed` say which values a write may bring;
    `mask` picks the bits of an integer that they speak of.
    """

    name: str
    address: int
    length: int = 4
    access: Access = Access.RO
    kind: Kind = Kind.INTEGER
    minimum: float | None = None
    maximum: float | None = None
    increment: int = 1
    allowed: frozenset[int] | None = None
    mask: int = 0xFFFF_FFFF_FFFF_FFFF
    locked: bool = False

    @property
    def end(self) -> int:
        return self.address + self.length

    def refusal(self, data: bytes) -> str | None:
        """Return why this register does not take `data`, None if it does."""
        if self.kind is Kind.STRING:
            return self._text_refusal(data)
        value: float
        if self.kind is Kind.FLOAT:
            value = struct.unpack(">d", data)[0]
        else:
            value = int.from_bytes(data, "big") & self.mask
            if self.allowed is not None and value not in self.allowed:
                return f"{self.name} has no value {value:#x}"
        # Written so that a NaN is refused as well.
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        if not low <= value <= high:
            return f"{self.name} {value} is not from {low} to {high}"
        if self.increment > 1 and int(value - (self.minimum or 0)) % self.increment:
            return f"{self.name} {value} is no step of {self.increment}"
        return None

    def _text_refusal(self, data: bytes) -> str | None:
        try:
            data.split(b"\0", 1)[0].decode()
        except UnicodeDecodeError:
            return f"{self.name} is not UTF-8"
        return None


class RegisterMap:
    """Regions and registers. Not thread-safe: the device's lock guards it."""

    def __init__(self, registers: Iterable[Register]) -> None:
        self._regions: list[tuple[int, bytearray]] = []
        self._by_name = {register.name: register for register in registers}
        self._by_word: dict[int, Register] = {}
        for register in self._by_name.values():
            for word in range(register.address, register.end, 4):
                self._by_word[word] = register

    def add_region(self, base: int, content: bytes) -> None:
        self._regions.append((base, bytearray(content)))

    def register(self, name: str) -> Register:
        return self._by_name[name]

    def read(self, address: int, count: int) -> bytes:
        """Return `count` bytes; raises CommandRefusedError with INVALID_ADDRESS outside the regions."""
        region, offset = self._locate(address, count)
        return bytes(region[offset : offset + count])

    def write(self, address: int, data: bytes, *, acquiring: bool) -> tuple[str, ...]:
        """Write what an application sent and return the names of the registers touched.

        All or nothing. Raises CommandRefusedError where a register is read-only, locked by the
        acquisition, only half covered, or does not take the value.
        """
        region, offset = self._locate(address, len(data))
        touched: list[Register] = []
        for word in range(address, address + len(data), 4):
            register = self._by_word.get(word)
            if register is None or register.access is Access.RO:
                raise CommandRefusedError(Status.WRITE_PROTECT, f"0x{word:x} is read-only")
            if register.locked and acquiring:
                raise CommandRefusedError(Status.BUSY, f"{register.name} is locked during acquisition")
            if register not in touched:
                touched.append(register)
        after = bytearray(region)
        after[offset : offset + len(data)] = data
        start = address - offset
        for register in touched:
            whole = register.address >= address and register.end <= address + len(data)
            if not whole and register.kind is not Kind.STRING:
                raise CommandRefusedError(Status.INVALID_PARAMETER, f"only a part of {register.name}")
            at = register.address - start
            refusal = register.refusal(bytes(after[at : at + register.length]))
            if refusal is not None:
                raise CommandRefusedError(Status.INVALID_PARAMETER, refusal)
        region[offset : offset + len(data)] = data
        return tuple(register.name for register in touched)

    def touches(self, name: str, address: int, count: int) -> bool:
        """Whether a range of addresses holds some of this register."""
        register = self._by_name[name]
        return register.address < address + count and address < register.end

    # -- the device's own access, unchecked --------------------------------------------------------

    def integer(self, name: str) -> int:
        return int.from_bytes(self._raw(name), "big")

    def floating(self, name: str) -> float:
        return float(struct.unpack(">d", self._raw(name))[0])

    def text(self, name: str) -> str:
        return self._raw(name).split(b"\0", 1)[0].decode()

    def store(self, name: str, value: int | float | str) -> None:
        """Set a register from inside the device, read-only ones too."""
        register = self._by_name[name]
        if register.kind is Kind.STRING:
            data = str(value).encode()[: register.length].ljust(register.length, b"\0")
        elif register.kind is Kind.FLOAT:
            data = struct.pack(">d", value)
        else:
            bits = 8 * register.length
            data = (int(value) & (1 << bits) - 1).to_bytes(register.length, "big")
        region, offset = self._locate(register.address, register.length)
        region[offset : offset + register.length] = data

    def _raw(self, name: str) -> bytes:
        register = self._by_name[name]
        return self.read(register.address, register.length)

    def _locate(self, address: int, count: int) -> tuple[bytearray, int]:
        for base, content in self._regions:
            if base <= address and address + count <= base + len(content):
                return content, address - base
        raise CommandRefusedError(Status.INVALID_ADDRESS, f"no register at 0x{address:x}")
