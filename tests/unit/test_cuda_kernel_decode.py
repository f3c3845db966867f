"""The decoding kernel, compiled for the host, gives what the CPU decodes from the whole score map."""

import ctypes
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from host_kernels import compile_for_host
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.detect.cuda.arch import KERNEL_ARCHES
from inspector.detect.cuda.decode_plan import WORK_INTS_PER_CELL, Answer, decode_parameters, decoded_answer
from inspector.detect.cuda.nvrtc import KERNELS, compile_kernel
from inspector.detect.model.decode import Decoded, decode_anomaly_map
from inspector.detect.model.manifest import Manifest, load_manifest
from inspector.errors import ModelError

MODELS = Path(__file__).parents[2] / "models"
ScoreMap = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return compile_for_host("decode", tmp_path_factory.mktemp("kernel"))


@pytest.fixture(scope="module")
def manifest() -> Manifest:
    return load_manifest(MODELS / "demo_part")


def on_device(kernel: ctypes.CDLL, score_map: ScoreMap, manifest: Manifest) -> Decoded:
    parameters = decode_parameters(score_map.shape[0], score_map.shape[1], manifest)
    work = np.zeros(WORK_INTS_PER_CELL * score_map.size, dtype=np.int32)
    answer = Answer()
    score = ctypes.c_float(float(score_map.max()))
    kernel.decode(
        ctypes.byref(score), ctypes.c_void_p(score_map.ctypes.data), ctypes.byref(parameters),
        ctypes.c_void_p(work.ctypes.data), ctypes.byref(answer),
    )  # fmt: skip
    return decoded_answer(answer, parameters, manifest)


def assert_same(kernel: ctypes.CDLL, score_map: ScoreMap, manifest: Manifest) -> None:
    wanted = decode_anomaly_map(float(score_map.max()), score_map, manifest)
    assert on_device(kernel, score_map, manifest) == wanted


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    shape=st.tuples(st.integers(1, 90), st.integers(1, 90)),
    seed=st.integers(0, 999),
    share=st.floats(0, 0.7),
)
def test_random_maps(
    kernel: ctypes.CDLL, manifest: Manifest, shape: tuple[int, int], seed: int, share: float
) -> None:
    rng = np.random.default_rng(seed)
    limit = decode_parameters(1, 1, manifest).limit
    score_map = rng.uniform(0.1, limit, shape).astype(np.float32)
    hot = rng.uniform(0, 1, score_map.shape) < share
    score_map[hot] += np.float32(limit) * rng.uniform(0.5, 2, int(hot.sum())).astype(np.float32)
    assert_same(kernel, score_map, manifest)


def test_a_spiral_is_one_region_and_an_empty_map_has_none(kernel: ctypes.CDLL, manifest: Manifest) -> None:
    score_map = np.full((60, 60), 0.5, dtype=np.float32)
    assert on_device(kernel, score_map, manifest).detections == ()
    for ring in range(0, 30, 4):  # rings joined by a bridge: the label has far to travel
        score_map[ring : 60 - ring, [ring, 59 - ring]] = 9
        score_map[[ring, 59 - ring], ring : 60 - ring] = 9
    score_map[30, :30] = 9
    assert_same(kernel, score_map, manifest)
    assert len(on_device(kernel, score_map, manifest).detections) == 1


def test_more_regions_than_leave_the_device_keep_the_strongest(
    kernel: ctypes.CDLL, manifest: Manifest
) -> None:
    score_map = np.full((48, 64), 0.5, dtype=np.float32)
    score_map[::3, ::3] = 5 + np.arange(16 * 22, dtype=np.float32).reshape(16, 22) % 37
    assert_same(kernel, score_map, manifest)


def test_the_box_limit_is_the_manifests(manifest: Manifest) -> None:
    higher = msgspec.structs.replace(manifest, thresholds={"defect": 0.5, "box": 0.9})
    assert decode_parameters(4, 4, higher).limit > decode_parameters(4, 4, manifest).limit


def test_every_kernel_compiles_for_every_gpu() -> None:
    try:
        cubins = {(name, arch): compile_kernel(name, arch) for name in KERNELS for arch in KERNEL_ARCHES}
    except ModelError as error:
        if "not installed" in str(error):
            pytest.skip(str(error))
        raise
    assert all(cubin.startswith(b"\x7fELF") for cubin in cubins.values())
    assert all(name.encode() in cubin for (name, _), cubin in cubins.items())
