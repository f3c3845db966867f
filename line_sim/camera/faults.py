"""What may be made to go wrong, from one seeded generator."""

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from inspector.errors import ConfigError

PacketIds = npt.NDArray[np.int64]
_MAX_MS = 60_000.0
_FARTHEST_REORDER = 8  # packets


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKnobs:
    """Probabilities in [0, 1]; the same seed and the same frames give the same faults.

    Packets are GVSP packets, those that are sent again too.
    """

    loss: float = 0.0  # of each packet
    reorder: float = 0.0  # of each packet: it comes up to 8 places later
    duplicate: float = 0.0  # of each packet
    delay: float = 0.0  # of each packet: it is held back for `delay_ms`
    truncate: float = 0.0  # of each packet: its end is missing
    malformed: float = 0.0  # of each packet: wrong ids, wrong size, wrong format, or garbage
    drop_frames: float = 0.0  # of each frame, as a camera with a full buffer drops it
    delay_ms: float = 20.0
    no_resend: bool = False  # resend requests are not answered
    ack_delay_ms: float = 0.0  # control answers come so late; PENDING_ACK first, if switched on
    mute_control: bool = False  # commands are executed, their answers never come
    ptp_lie: bool = False  # PTP says Slave and a small offset, and the clock runs free
    seed: int = 0

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            value = getattr(self, name)
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"fault knob {name} is {value}, give a probability from 0 to 1")
        for name in ("delay_ms", "ack_delay_ms"):
            value = getattr(self, name)
            if not 0.0 <= value <= _MAX_MS:
                raise ConfigError(f"fault knob {name} is {value}, give milliseconds from 0 to {_MAX_MS:g}")


_PROBABILITIES = ("loss", "reorder", "duplicate", "delay", "truncate", "malformed", "drop_frames")
assert set(_PROBABILITIES) <= {each.name for each in fields(FaultKnobs)}


class Fate(IntEnum):
    """What happens to a packet that is not lost; later ones win."""

    AS_IS = 0
    DELAYED = 1
    TRUNCATED = 2
    MALFORMED = 3


class FaultInjector:
    """Draws the faults. Not thread-safe: the stream's lock guards it."""

    def __init__(self, knobs: FaultKnobs) -> None:
        self.knobs = knobs
        self._random = np.random.default_rng(knobs.seed)

    def drops_frame(self) -> bool:
        return self.knobs.drop_frames > 0 and bool(self._random.random() < self.knobs.drop_frames)

    def surviving(self, packet_ids: PacketIds) -> PacketIds:
        """Return those of `packet_ids` that are not lost."""
        return packet_ids[~self._drawn(self.knobs.loss, len(packet_ids))]

    def duplicated(self, packet_ids: PacketIds) -> PacketIds:
        """Return the packets, some of them twice."""
        return np.repeat(packet_ids, 1 + self._drawn(self.knobs.duplicate, len(packet_ids)))

    def reordered(self, packet_ids: PacketIds) -> tuple[PacketIds, int]:
        """Return the packets in the order of their sending, and how many come too late."""
        late = self._drawn(self.knobs.reorder, len(packet_ids))
        if not late.any():
            return packet_ids, 0
        places = self._random.integers(1, _FARTHEST_REORDER + 1, len(packet_ids)) + 0.5
        order = np.argsort(np.arange(len(packet_ids)) + late * places, kind="stable")
        return packet_ids[order], int(late.sum())

    def fates(self, count: int) -> npt.NDArray[np.int8] | None:
        """Return the `Fate` of each packet; None where all go as they are."""
        knobs = self.knobs
        if not (knobs.delay or knobs.truncate or knobs.malformed):
            return None
        fates = np.zeros(count, dtype=np.int8)
        for probability, fate in (
            (knobs.delay, Fate.DELAYED),
            (knobs.truncate, Fate.TRUNCATED),
            (knobs.malformed, Fate.MALFORMED),
        ):
            fates[self._drawn(probability, count)] = fate
        return fates

    def truncated(self, datagram: bytes) -> bytes:
        return datagram[: int(self._random.integers(0, len(datagram)))]

    def mangled(self, datagram: bytes) -> bytes:
        """Return the datagram with one thing wrong: an id, the format, the size, or all of it."""
        kind = int(self._random.integers(0, 5))
        damaged = bytearray(datagram)
        if kind == 0:  # another block's id
            damaged[2:4] = self._random.bytes(2)
        elif kind == 1:  # a packet id beyond the block, or with extended ids garbage in the reserve
            damaged[5:8] = self._random.bytes(3)
        elif kind == 2:  # a packet format that does not exist
            damaged[4] = int(self._random.integers(9, 128))
        elif kind == 3:  # longer than announced
            damaged += self._random.bytes(int(self._random.integers(1, 200)))
        else:
            damaged[:] = self._random.bytes(len(datagram))
        return bytes(damaged)

    def _drawn(self, probability: float, count: int) -> npt.NDArray[np.bool_]:
        if probability <= 0:
            return np.zeros(count, dtype=np.bool_)
        return self._random.random(count) < probability
