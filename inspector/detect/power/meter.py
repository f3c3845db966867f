"""Energy counters: the GPU's through NVML, the CPU's through RAPL in sysfs."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from inspector.errors import DeviceError

_RAPL: Final = Path("/sys/class/powercap/intel-rapl:0")  # the package; AMD's has the same name


class EnergyMeter:
    """Joules since the last reading. `read` gives a counter in joules that wraps at `wraps_at` (0: never)."""

    def __init__(self, read: Callable[[], float], wraps_at: float = 0.0) -> None:
        self._read = read
        self._wraps_at = wraps_at
        self._last = read()

    def taken_j(self) -> float:
        """Energy since the last call. Raises DeviceError when the counter cannot be read."""
        now = self._read()
        taken = now - self._last
        if taken < 0:
            taken += self._wraps_at
        self._last = now
        return max(taken, 0.0)


def cpu_meter(folder: Path = _RAPL) -> EnergyMeter | None:
    """The CPU package's counter, or None where there is none or only root may read it."""
    counter, largest = folder / "energy_uj", folder / "max_energy_range_uj"

    def read() -> float:
        try:
            return int(counter.read_text()) / 1e6
        except (OSError, ValueError) as error:
            raise DeviceError(f"{counter}: cannot be read ({error})") from error

    try:
        return EnergyMeter(read, int(largest.read_text()) / 1e6)
    except (DeviceError, OSError, ValueError):
        return None


def gpu_meter(index: int = 0) -> EnergyMeter | None:
    """The GPU's counter (Volta and later), or None without NVML or where the GPU has none."""
    try:
        import pynvml  # noqa: PLC0415 - only where the extra "gpu" is installed
    except ImportError:
        return None
    nvml: Any = pynvml
    try:
        nvml.nvmlInit()
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
    except nvml.NVMLError:
        return None

    def read() -> float:
        try:
            return int(nvml.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3  # millijoules
        except nvml.NVMLError as error:
            raise DeviceError(f"NVML: {error}") from error

    try:
        return EnergyMeter(read)
    except DeviceError:
        return None
