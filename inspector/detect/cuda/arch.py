"""GPU architectures by the names that users and compilers know."""

import re
from typing import Final

from inspector.errors import ConfigError

CURRENT: Final = "current"
RTX_ARCHES: Final = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_120", "sm_121")
"""What TensorRT for RTX builds for ahead of time: its ComputeCapability members (version 1.7)."""
KERNEL_ARCHES: Final = ("sm_75", "sm_80", "sm_86", "sm_87", "sm_89", "sm_90", "sm_100", "sm_120", "sm_121")
"""What our kernels are compiled for in the tests: the above, Jetson Orin, and data centres."""


def parse_arches(text: str) -> tuple[str, ...]:
    """ "sm_86,sm_89" to its parts. Raises ConfigError."""
    parts = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for part in parts:
        if part != CURRENT and not re.fullmatch(r"sm_\d{2,3}", part):
            raise ConfigError(f"--arch {part}: use names such as sm_86 or sm_89, or 'current'")
    if not parts:
        raise ConfigError("--arch: name at least one, such as sm_86, or 'current'")
    return parts


def arch_of(capability: tuple[int, int]) -> str:
    """A device's compute capability, (8, 9), as "sm_89"."""
    return f"sm_{capability[0]}{capability[1]}"
