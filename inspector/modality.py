"""What a plug-in is that brings a further modality: something to ask for what it has to say.

A package offers one under the entry point group `inspector.modalities`; the site file names it. It runs
in a process of its own. What it says is one more piece of evidence: weighed when it is there, and neither
a veto nor a confirmation when it is not.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from inspector.clock import Clock
from inspector.config import SfncValue

GROUP = "inspector.modalities"

Options = Mapping[str, SfncValue | tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Said:
    """A value in the unit of its sensor, and when it began to be said (CLOCK_MONOTONIC)."""

    value: float
    begun_ns: int


class Modality(Protocol):
    """Called from one thread, the service's."""

    def poll(self) -> Sequence[Said]:
        """Return what was said since the last call. Does not block.

        Raises DeviceError when its device is gone; the next call tries to have it back.
        """
        ...

    def close(self) -> None:
        """Let go of everything."""
        ...


class Factory(Protocol):
    """What the entry point names. Raises ConfigError for options that are wrong."""

    def __call__(self, options: Options, clock: Clock, wake: Callable[[], None], /) -> Modality:
        """`wake` may be called from any thread when there is something to poll."""
        ...
