"""What may be made to go wrong on the way to the receiver, from one seeded generator."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from inspector.errors import ConfigError


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultKnobs:
    """Probabilities in [0, 1]; the same seed and the same frames give the same losses."""

    loss: float = 0.0  # of each GVSP packet, resent ones too
    drop_frames: float = 0.0  # of each frame, as a camera with a full buffer drops it
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in (("loss", self.loss), ("drop_frames", self.drop_frames)):
            if not 0.0 <= value <= 1.0:
                raise ConfigError(f"fault knob {name} is {value}, give a probability from 0 to 1")


class FaultInjector:
    """Draws the faults. Not thread-safe: the stream's lock guards it."""

    def __init__(self, knobs: FaultKnobs) -> None:
        self.knobs = knobs
        self._random = np.random.default_rng(knobs.seed)

    def drops_frame(self) -> bool:
        return self.knobs.drop_frames > 0 and bool(self._random.random() < self.knobs.drop_frames)

    def surviving(self, packet_ids: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return those of `packet_ids` that are not lost."""
        if self.knobs.loss <= 0:
            return packet_ids
        return packet_ids[self._random.random(len(packet_ids)) >= self.knobs.loss]
