"""The power modes of a machine, lowest first, and how each is set.

Jetson: nvpmodel's. A GPU: NVML's power limit. Else the CPU: cpufreq's highest frequency.
"""

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inspector.errors import ConfigError, DeviceError

_CPUFREQ: Final = Path("/sys/devices/system/cpu/cpufreq")
_NVPMODEL: Final = Path("/etc/nvpmodel.conf")
_SHARES: Final = (0.5, 0.65, 0.8, 1.0)
_MODEL: Final = re.compile(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.MULTILINE)
_WATTS: Final = re.compile(r"(\d+)W", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class PowerModes:
    """`names` from the lowest power to the highest; `set_mode` takes an index, raises DeviceError.

    The highest is the machine's own, whatever a detector that was killed left it in.
    """

    names: tuple[str, ...]
    set_mode: Callable[[int], None]


def find_modes(engine: str) -> PowerModes:
    """What this machine offers for `engine` ("tensorrt" or "openvino"). Raises ConfigError for nothing."""
    if _NVPMODEL.is_file():
        return nvpmodel_modes(_NVPMODEL.read_text(encoding="utf-8", errors="replace"), _run)
    modes = gpu_modes() if engine == "tensorrt" else cpu_modes(_CPUFREQ)
    if modes is None:
        raise ConfigError("detector.power: this machine offers no power modes; set it to fixed")
    return modes


def nvpmodel_modes(text: str, run: Callable[[list[str]], None]) -> PowerModes:
    """Jetson's modes from the text of nvpmodel.conf, by the watts in their names; MAXN is the highest."""
    found = [(int(number), name) for number, name in _MODEL.findall(text)]
    if not found:
        raise ConfigError(f"{_NVPMODEL}: no POWER_MODEL in it; set detector.power to fixed")
    found.sort(key=lambda item: _watts(item[1]))

    def set_mode(index: int) -> None:
        run(["nvpmodel", "-m", str(found[index][0])])

    return PowerModes(tuple(name for _, name in found), set_mode)


def cpu_modes(folder: Path) -> PowerModes | None:
    """Shares of the highest frequency, for all policies of cpufreq. None where there is no cpufreq."""
    policies = sorted(folder.glob("policy*"))
    try:
        ranges = {
            policy: [int((policy / name).read_text()) for name in ("cpuinfo_min_freq", "cpuinfo_max_freq")]
            for policy in policies
        }
    except (OSError, ValueError):
        return None
    if not ranges:
        return None

    def set_mode(index: int) -> None:
        for policy, (lowest, highest) in ranges.items():
            try:
                (policy / "scaling_max_freq").write_text(str(max(lowest, int(highest * _SHARES[index]))))
            except OSError as error:
                raise DeviceError(f"{policy}: the frequency cannot be set ({error.strerror})") from error

    return PowerModes(tuple(f"{share:.0%}" for share in _SHARES), set_mode)


def gpu_modes(index: int = 0) -> PowerModes | None:
    """Four power limits between the GPU's lowest and its default. None without NVML."""
    try:
        import pynvml  # noqa: PLC0415 - only where the extra "gpu" is installed
    except ImportError:
        return None
    nvml: Any = pynvml
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        lowest, _ = nvml.nvmlDeviceGetPowerManagementLimitConstraints(handle)
        highest = nvml.nvmlDeviceGetPowerManagementDefaultLimit(handle)
    except nvml.NVMLError:
        return None
    limits = sorted({max(lowest, int(highest * share)) for share in _SHARES})

    def set_mode(number: int) -> None:
        try:
            nvml.nvmlDeviceSetPowerManagementLimit(handle, limits[number])
        except nvml.NVMLError as error:
            raise DeviceError(f"NVML: the power limit cannot be set ({error}); it needs root") from error

    return PowerModes(tuple(f"{limit // 1000} W" for limit in limits), set_mode)


def _watts(name: str) -> float:
    match = _WATTS.search(name)
    return float(match[1]) if match else float("inf")


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=10)
    except (OSError, subprocess.SubprocessError) as error:
        raise DeviceError(f"{' '.join(command)}: {error}") from error
