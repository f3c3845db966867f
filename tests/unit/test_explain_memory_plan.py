"""Before a model is loaded: does it fit, how many layers go to the GPU; and headers that lie."""

import struct
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.config import ExplainerConfig
from inspector.errors import ConfigError
from inspector.explain.gguf_header import read_header
from inspector.explain.memory_plan import MIB, Shape, plan
from inspector.explain.plan_commands import add
from inspector.explain.plan_load import planned
from inspector.strict_data import check

GIB = 1024 * MIB
SHIPPED = sorted((Path(__file__).parents[2] / "models" / "language").glob("*.yaml"))
SHAPE = Shape(
    weights_bytes=6 * GIB,
    layers=40,
    layer_bytes=128 * MIB,
    head_bytes=500 * MIB,
    kv_heads=2,
    head_dim=128,
    vocabulary=151552,
    widest=13696,
    projector_bytes=GIB,
    image_tokens=1200,
)


def test_the_cache_of_a_9b_with_8192_tokens_is_320_mib() -> None:
    assert plan(SHAPE, 8192, 16 * GIB).cache_bytes == 320 * MIB


def test_all_layers_and_the_output_go_to_a_gpu_that_has_the_room() -> None:
    made = plan(SHAPE, 8192, 16 * GIB, gpu_bytes=12 * GIB)
    assert made.gpu_layers == 41
    assert made.fits


@pytest.mark.parametrize("gpu_gib", [0, 1, 2, 4, 6])
def test_a_small_gpu_gets_what_fits_and_no_more(gpu_gib: int) -> None:
    made = plan(SHAPE, 8192, 16 * GIB, gpu_bytes=gpu_gib * GIB, images=1)
    assert made.gpu_layers <= 40
    assert made.gpu_bytes <= gpu_gib * GIB
    assert made.gpu_bytes + made.ram_bytes >= made.total_bytes


def test_images_cost_their_tokens_and_the_projector() -> None:
    without, seeing = plan(SHAPE, 8192, 16 * GIB), plan(SHAPE, 8192, 16 * GIB, images=2)
    assert seeing.total_bytes - without.total_bytes == GIB + 2400 * 40 * 1024
    assert without.projector_bytes == 0


def test_too_little_memory_is_said() -> None:
    assert not plan(SHAPE, 8192, 6 * GIB).fits


@given(st.integers(512, 200_000), st.integers(0, 100 * GIB), st.integers(0, 100 * GIB), st.integers(0, 9))
def test_more_of_anything_never_fits_better(context: int, ram: int, gpu: int, images: int) -> None:
    made = plan(SHAPE, context, ram, gpu, images)
    assert 0 <= made.gpu_layers <= 41
    assert made.gpu_bytes <= gpu
    assert plan(SHAPE, context + 512, ram, gpu, images).total_bytes > made.total_bytes
    if made.fits:
        assert plan(SHAPE, context, ram + GIB, gpu, images).fits


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_the_configurations_that_ship_are_valid_and_plan_into_16_gib(path: Path) -> None:
    config = check(yaml.safe_load(path.read_text())["explainer"], ExplainerConfig)
    assert config.context_tokens == 8192
    found = planned(str(path))
    made = plan(found.shape, config.context_tokens, 16 * GIB, images=1 if config.mmproj else 0)
    assert made.fits
    assert 6.0 * GIB < made.total_bytes < 9.0 * GIB


def test_there_is_one_for_each_family() -> None:
    assert [path.stem for path in SHIPPED] == ["autoglm-phone-9b", "glm-4-9b", "glm-4.1v-9b"]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300))
def test_a_damaged_header_is_one_clear_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "damaged.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + raw)
    try:
        header = read_header(path)
    except ConfigError:
        return
    assert header.tensors == ()  # an empty model is no damage


@pytest.mark.parametrize("name", ["", "../up", "Upper", "a b", "x.gguf", "smollm2-135m", "-a"])
def test_names_that_cannot_be(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="name"):
        add(Path(__file__), name, tmp_path)


def test_a_file_that_is_no_model_is_not_added(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="GGUF"):
        add(Path(__file__), "mine", tmp_path)
    assert not list(tmp_path.rglob("*.gguf*"))
