"""Engines are built ahead of time, without a GPU, from every shipped model."""

from collections.abc import Callable
from pathlib import Path

import cv2
import msgspec
import numpy as np
import onnx
import pytest

from inspector.detect.commands import find_backbone
from inspector.detect.cuda.arch import RTX_ARCHES, parse_arches
from inspector.detect.cuda.build import BuildOptions, build_engine
from inspector.detect.cuda.build_model import BuiltFile, build_for_model
from inspector.detect.cuda.engine_file import (
    EngineFileError,
    EngineHeader,
    Precision,
    engine_name,
    read_engine,
    write_engine,
)
from inspector.detect.cuda.int8_graph import quantized_values
from inspector.detect.cuda.load_network import load_engine, wanted_here
from inspector.detect.cuda.renew import renew_engine
from inspector.detect.cuda.tensorrt_library import TensorRt, find_tensorrt
from inspector.detect.model.manifest import Manifest, load_manifest
from inspector.detect.quantizing.q_dq import Range
from inspector.detect.teaching import fine_map
from inspector.detect.teaching.balance import Balance
from inspector.detect.teaching.teach import TeachOptions, teach
from inspector.errors import ConfigError, ModelError

MODELS = Path(__file__).parents[2] / "models"


@pytest.fixture(scope="module")
def rtx() -> TensorRt:
    try:
        return find_tensorrt("tensorrt_rtx")
    except ModelError as error:
        pytest.skip(str(error))


def no_gpu() -> tuple[int, int]:
    raise ConfigError("no NVIDIA GPU was found")


def build(
    rtx: TensorRt, output: Path, *arches: str, precision: Precision = "fp32", images: Path | None = None
) -> tuple[list[BuiltFile], set[str]]:
    phases = set()
    files = build_for_model(
        MODELS / "demo_part", rtx, arches=arches, precision=precision, max_batch=4, images=images,
        output=output, find_device=no_gpu, progress=lambda phase, *_: phases.add(phase),
    )  # fmt: skip
    return files, phases


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_demo_model_builds_for_every_card_and_the_report_is_clean(
    rtx: TensorRt, tmp_path: Path, precision: Precision
) -> None:
    files, phases = build(rtx, tmp_path, *RTX_ARCHES, precision=precision)
    assert [file.header.arch for file in files] == list(RTX_ARCHES)
    for file in files:
        assert file.report == ()
        header, plan = read_engine(file.path)
        assert header == file.header
        assert len(plan) > 1 << 20
    assert phases, "no progress was reported"


def test_the_cards_that_are_promised_are_among_them() -> None:
    assert set(parse_arches("sm_75,sm_80,sm_86,sm_89,sm_120")) <= set(RTX_ARCHES)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
@pytest.mark.parametrize("graph", sorted(MODELS.glob("*/*.onnx")), ids=lambda path: path.parent.name)
def test_every_shipped_graph_builds_for_every_card(rtx: TensorRt, graph: Path, precision: Precision) -> None:
    model = onnx.load(graph)
    ranges = dict.fromkeys(quantized_values(model), Range(-6.0, 6.0)) if precision == "int8" else {}
    for arch in RTX_ARCHES:
        options = BuildOptions(
            arch=arch, precision=precision, max_batch=4, ranges=ranges, sizes={"height": 256, "width": 256}
        )
        assert build_engine(model, "0" * 64, options, rtx).report == (), arch


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_a_model_of_parts_that_lie_anywhere_builds_for_every_card(
    rtx: TensorRt, tmp_path: Path, precision: Precision, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its map compares patches, which no shipped model does; here both halves of it count."""
    monkeypatch.setattr(fine_map, "find_balance", lambda *_: Balance(0.4, 0.9, 1.2))
    (tmp_path / "good").mkdir()
    for seed in range(6):
        picture = np.random.default_rng(seed).integers(0, 255, (12, 16), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "good" / f"{seed}.png"), cv2.resize(picture, (160, 120)))
    options = TeachOptions(name="anywhere", size=(128, 96))
    taught = teach(tmp_path / "good", None, tmp_path, find_backbone(MODELS), options=options)
    model = onnx.load(taught.folder / taught.manifest.onnx.file)
    assert any(node.op_type == "ReduceMin" for node in model.graph.node)
    for arch in RTX_ARCHES:
        built = build_engine(model, "0" * 64, BuildOptions(arch=arch, precision=precision, max_batch=4), rtx)
        assert built.report == (), arch


def test_int8_builds_from_images_and_passes_the_parity_gate(rtx: TensorRt, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(2):
        picture = np.random.default_rng(seed).integers(0, 255, (30, 40), dtype=np.uint8)
        cv2.imwrite(str(images / f"{seed}.png"), cv2.resize(picture, (640, 480)))
    (file,), _ = build(rtx, tmp_path, "sm_89", precision="int8", images=images)
    assert file.report == ()
    assert file.parity is not None
    assert file.parity.images == 2
    assert file.parity.flips == ()


def test_what_cannot_be_built_is_one_clear_line(rtx: TensorRt, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"sm_90: TensorRT for RTX builds for sm_75, .* need TensorRT"):
        build(rtx, tmp_path, "sm_90")
    with pytest.raises(ConfigError, match="no NVIDIA GPU"):
        build(rtx, tmp_path, "current")
    with pytest.raises(ConfigError, match="--images"):
        build(rtx, tmp_path, "sm_89", precision="int8")
    with pytest.raises(ConfigError, match="8_9"):
        parse_arches("sm_8_9")


def test_a_graph_that_tensorrt_does_not_know_is_refused_with_the_node(rtx: TensorRt) -> None:
    node = onnx.helper.make_node("NoSuchOperator", ["image"], ["score"], domain="example.org")
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [node], "odd", [value("image", 1, [1, 3, 8, 8])], [value("score", 1, [1, 3, 8, 8])]
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid("", 17), onnx.helper.make_opsetid("example.org", 1)]
    )
    with pytest.raises(ModelError, match=r"TensorRT refuses the graph: .*NoSuchOperator"):
        build_engine(model, "0" * 64, BuildOptions(arch="sm_89"), rtx)


def stale_file(rtx: TensorRt, folder: Path, precision: Precision) -> tuple[Path, Manifest, EngineFileError]:
    """An engine file of an older TensorRT, and what is said of it."""
    manifest = load_manifest(MODELS / "demo_part")
    wanted = wanted_here(manifest, precision, "sm_89", rtx)
    path = folder / engine_name(wanted)
    old = msgspec.structs.asdict(wanted) | {"library_version": "1.0.0", "max_batch": 2, "plan_bytes": 4}
    write_engine(path, EngineHeader(**old), b"plan")
    with pytest.raises(EngineFileError, match="version 1\\.0\\.0") as caught:
        load_engine(path, manifest, precision, "sm_89", rtx, b"")
    return path, manifest, caught.value


def test_a_stale_file_is_built_again_with_a_log_line(
    rtx: TensorRt, tmp_path: Path, logged: Callable[[], list[dict[str, str]]]
) -> None:
    path, manifest, stale = stale_file(rtx, tmp_path, "fp16")
    onnx_path = MODELS / "demo_part" / manifest.onnx.file
    renew_engine(path, onnx_path, manifest, "fp16", "sm_89", rtx, stale)
    assert [entry["level"] for entry in logged()] == ["warning", "info"]
    header, plan = read_engine(path)
    assert (header.library_version, header.max_batch) == (rtx.version, 2)
    assert len(plan) > 1 << 20


def test_a_stale_file_that_cannot_be_built_here_is_refused_as_it_was(rtx: TensorRt, tmp_path: Path) -> None:
    path, manifest, stale = stale_file(rtx, tmp_path, "int8")
    onnx_path = MODELS / "demo_part" / manifest.onnx.file
    with pytest.raises(EngineFileError, match="inspector engine build"):
        renew_engine(path, onnx_path, manifest, "int8", "sm_89", rtx, stale)
    other = path.rename(tmp_path / "0123456789ab-fp16-sm_89-rtx.engine")
    with pytest.raises(EngineFileError, match="inspector engine build"):
        renew_engine(other, onnx_path, manifest, "fp16", "sm_89", rtx, stale)
