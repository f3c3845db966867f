"""What reaches libcuda: each call with the prototype of cuda.h, compiled by cc, tells what it was given."""

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from inspector.detect.cuda.driver_api import DriverApi
from inspector.detect.cuda.gpu_slot import GpuError

SOURCE = Path(__file__).parents[1] / "host_libcuda.c"
EVENT, STREAM, HOST, DEVICE, LARGE = 0x7F0000000A01, 0x7F0000000B01, 0x7F0000000C01, 0x7F0000000D01, 5 << 30
Api = tuple[DriverApi, ctypes.CDLL]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    library = tmp_path_factory.mktemp("libcuda") / "libcuda.so"
    subprocess.run(
        ["cc", "-Wall", "-Werror", "-shared", "-fPIC", "-o", str(library), str(SOURCE)], check=True
    )
    return library


@pytest.fixture
def api(library: Path) -> Api:
    cuda = ctypes.CDLL(str(library))
    ctypes.c_int.in_dll(cuda, "status").value = 0
    return DriverApi(str(library)), cuda


def said(cuda: ctypes.CDLL) -> str:
    return (ctypes.c_char * 200).in_dll(cuda, "said").value.decode()


@pytest.mark.parametrize(
    ("call", "told", "gives"),
    [
        (lambda a: a.current_context(), "get context", 0x7F0000000001),
        (lambda a: a.use_context(HOST), "context 0x7f0000000c01", None),
        (lambda a: a.event(), "event 3", 0x7F0000000002),  # BLOCKING_SYNC, DISABLE_TIMING
        (lambda a: a.event(timed=True), "event 1", 0x7F0000000002),
        (lambda a: a.record(EVENT, STREAM), "record 0x7f0000000a01 0x7f0000000b01", None),
        (
            lambda a: a.record_within_graph(EVENT, STREAM),
            "record 0x7f0000000a01 0x7f0000000b01 1",  # EXTERNAL
            None,
        ),
        (lambda a: a.elapsed_ms(EVENT, HOST), "elapsed 0x7f0000000a01 0x7f0000000c01", 1.5),
        (lambda a: a.wait(EVENT), "wait 0x7f0000000a01", None),
        (lambda a: a.destroy_event(EVENT), "destroy event 0x7f0000000a01", None),
        # PORTABLE, DEVICEMAP, READ_ONLY
        (lambda a: a.lock_memory(HOST, LARGE), "register 0x7f0000000c01 5368709120 11", None),
        (lambda a: a.unlock_memory(HOST), "unregister 0x7f0000000c01", None),
        (lambda a: a.device_address(HOST), "address 0x7f0000000c01 0", 0x7F0000000003),
        (
            lambda a: a.copy_in(DEVICE, HOST, LARGE, STREAM),
            "in 7f0000000d01 0x7f0000000c01 5368709120 0x7f0000000b01",
            None,
        ),
        (
            lambda a: a.copy_out(HOST, DEVICE, LARGE, STREAM),
            "out 0x7f0000000c01 7f0000000d01 5368709120 0x7f0000000b01",
            None,
        ),
        (lambda a: a.begin_capture(STREAM), "capture 0x7f0000000b01 1", None),  # THREAD_LOCAL
        (lambda a: a.end_capture(STREAM), "end 0x7f0000000b01", 0x7F0000000005),
        (lambda a: a.launch(HOST, STREAM), "launch 0x7f0000000c01 0x7f0000000b01", None),
        (lambda a: a.destroy_graph(HOST), "destroy graph 0x7f0000000c01", None),
    ],
)
def test_each_call_is_made_as_cuda_h_has_it(
    api: Api, call: Callable[[DriverApi], object], told: str, gives: object
) -> None:
    assert call(api[0]) == gives
    assert said(api[1]) == told


@pytest.mark.parametrize(("status", "code"), [(719, "CUDA_ERROR_LAUNCH_FAILED"), (12345, "CUresult 12345")])
def test_an_error_carries_cudas_name(api: Api, status: int, code: str) -> None:
    ctypes.c_int.in_dll(api[1], "status").value = status
    with pytest.raises(GpuError, match="cuEventSynchronize failed") as caught:
        api[0].wait(EVENT)
    assert caught.value.code == code
