"""The GPU of this machine, through pycuda. Imported late: pycuda needs the driver even to be imported."""

from dataclasses import dataclass
from typing import Any

from inspector.detect.cuda.arch import arch_of
from inspector.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Gpu:
    """`driver` is pycuda.driver, untyped; `context` is the device's primary context."""

    driver: Any
    context: Any
    name: str
    arch: str
    integrated: bool  # shares its memory with the CPU, as Jetson's does


def compute_capability() -> tuple[int, int]:
    """Of GPU 0. Raises ConfigError with one line that says what is missing."""
    _, device = _first()
    major, minor = device.compute_capability()
    return int(major), int(minor)


def open_gpu() -> Gpu:
    """Take the primary context of GPU 0, which TensorRT uses too. Raises ConfigError."""
    driver, device = _first()
    context = device.retain_primary_context()
    context.push()
    return Gpu(
        driver=driver,
        context=context,
        name=str(device.name()),
        arch=arch_of(device.compute_capability()),
        integrated=bool(device.get_attribute(driver.device_attribute.INTEGRATED)),
    )


def close_gpu(gpu: Gpu) -> None:
    """Let the context go, on the thread that opened it. Raises nothing: it may be after an error that stays.

    `detach` also takes it from pycuda's stack; with one left there pycuda aborts when the process ends.
    """
    gpu.context.detach()


def _first() -> tuple[Any, Any]:
    instead = "or set detector.engine to openvino"
    try:
        from pycuda import driver  # noqa: PLC0415 - see above
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the GPU engine needs pycuda: pip install 'inspector-cell[gpu]', {instead}"
        ) from error
    except ImportError as error:
        raise ConfigError(f"no NVIDIA driver was found ({error}); install it, {instead}") from error
    try:
        driver.init()
        if driver.Device.count() == 0:
            raise ConfigError(f"no NVIDIA GPU was found, {instead}")
        return driver, driver.Device(0)
    except driver.Error as error:
        raise ConfigError(f"no NVIDIA GPU can be used ({error}), {instead}") from error
