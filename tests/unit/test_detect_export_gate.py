"""Every export judges as what it was made from, or nothing is written and the old folder stays."""

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from tiny_box_model import write_box_model
from tiny_model import write_tiny_model

from inspector.detect.commands import find_backbone
from inspector.detect.importing import bring as bring_module
from inspector.detect.importing import merge as merge_module
from inspector.detect.importing.bring import BringOptions, bring
from inspector.detect.importing.frame_entry import Entry, with_frame_entry
from inspector.detect.importing.merge import merge_models, merged
from inspector.detect.importing.source_run import SourceRun
from inspector.detect.model.decode import Decoded
from inspector.detect.model.manifest import SCORE, SCORE_MAP, InputLayout, load_manifest
from inspector.detect.model.placement import Fit
from inspector.detect.quantizing.gate import made_up_frames, require_parity
from inspector.detect.teaching import teach as teach_module
from inspector.detect.teaching.teach import TeachOptions, teach
from inspector.errors import ModelError
from inspector.types import Detection

FRAME = InputLayout(width_px=96, height_px=64, pixel_format="RGB8")


def brightness_network(path: Path, *, dtype: int = TensorProto.FLOAT) -> Path:
    """Classes "ok" and "bad": the redder and brighter, the worse, about a mean of 0 as ImageNet's is."""
    weights = np.array([8.0, 2.0, -3.0], dtype=np.float32)[None, :, None, None]
    nodes = [
        helper.make_node("Cast", ["images"], ["x"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["x", "weights"], ["weighted"]),
        helper.make_node("ReduceMean", ["weighted"], ["bad"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Neg", ["bad"], ["ok"]),
        helper.make_node("Concat", ["ok", "bad"], ["flat"], axis=0),
        helper.make_node("Reshape", ["flat", "shape"], ["logits"]),
    ]
    constants = [
        onnx.numpy_helper.from_array(weights, "weights"),
        onnx.numpy_helper.from_array(np.array([1, 2], dtype=np.int64), "shape"),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("images", dtype, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])], constants,
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def options() -> BringOptions:
    return BringOptions(
        name="m", kind="classification", frame=FRAME, labels=("ok", "bad"), good_labels=("ok",)
    )


def test_an_import_whose_frames_go_in_wrongly_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = brightness_network(tmp_path / "a.onnx")
    folder, manifest = bring(path, tmp_path / "models", options())
    assert manifest.metrics["export_p_difference"] < 1e-3
    before = {file.name: file.read_bytes() for file in folder.iterdir()}

    def wrong(model: onnx.ModelProto, entry: Entry, origin: Path) -> onnx.ModelProto:
        return with_frame_entry(model, replace(entry, bgr=True), origin)

    monkeypatch.setattr(bring_module, "with_frame_entry", wrong)
    with pytest.raises(
        ModelError, match=r"a\.onnx: the file and the model made of it .* nothing was written"
    ):
        bring(path, tmp_path / "models", options())
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before
    assert [each.name for each in (tmp_path / "models").iterdir()] == ["m"]


@pytest.mark.parametrize("fit", ["letterbox", "stretch"])
@pytest.mark.parametrize("size", [(96, 64), (200, 120), (50, 70)])
@pytest.mark.parametrize("dtype", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_the_reference_prepares_frames_as_the_graph_does(
    fit: Fit, size: tuple[int, int], dtype: int, tmp_path: Path
) -> None:
    path = brightness_network(tmp_path / "a.onnx", dtype=dtype)
    layout = InputLayout(width_px=size[0], height_px=size[1], pixel_format="RGB8")
    _, manifest = bring(path, tmp_path / "models", replace(options(), frame=layout, fit=fit))
    assert manifest.metrics["export_p_difference"] < 5e-3
    reference = SourceRun(onnx.load(path), Entry(layout, (32, 32), fit, "imagenet", False), path)
    shapes = {reference.prepare(frame).shape for frame in made_up_frames(layout)}
    assert shapes == {(1, 3, 32, 32)}


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    for seed in range(6):
        image = np.random.default_rng(seed).integers(90, 110, (64, 96)).astype(np.uint8)
        cv2.imwrite(str(folder / f"{seed}.png"), image)
    return folder


def test_a_taught_graph_that_scores_otherwise_is_refused(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, models = find_backbone(Path("models")), tmp_path / "models"
    taught = teach(images, None, models, backbone, options=TeachOptions(name="disc", size=(96, 64)))
    metrics = taught.manifest.metrics
    assert metrics["export_score_difference"] < 1e-2
    assert metrics["export_heatmap_difference"] < 1e-2
    assert metrics["export_flips"] == 0
    before = {file.name: file.read_bytes() for file in taught.folder.iterdir()}
    build = teach_module.build_model
    monkeypatch.setattr(
        teach_module, "build_model", lambda *given: _times(onnx.load_from_string(build(*given)), 20.0)
    )
    with pytest.raises(
        ModelError, match=r"disc: the fitted scorer and its graph judge 6 of 6 .* nothing was"
    ):
        teach(images, None, models, backbone, options=TeachOptions(name="disc", size=(96, 64)))
    assert {file.name: file.read_bytes() for file in taught.folder.iterdir()} == before
    assert [each.name for each in models.iterdir()] == ["disc"]
    monkeypatch.setattr(
        teach_module,
        "build_model",
        lambda *given: _times(onnx.load_from_string(build(*given)), 2.0, SCORE_MAP),
    )
    with pytest.raises(
        ModelError, match=r"disc: the fitted scorer and its graph give maps that differ by .* nothing was"
    ):
        teach(images, None, models, backbone, options=TeachOptions(name="disc", size=(96, 64)))


def _times(model: onnx.ModelProto, factor: float, what: str = SCORE) -> bytes:
    """The model with its score, or map, multiplied."""
    for node in model.graph.node:
        node.output[:] = ["before" if name == what else name for name in node.output]
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.float32(factor), "factor"))
    model.graph.node.append(helper.make_node("Mul", ["before", "factor"], [what]))
    return bytes(model.SerializeToString())


def test_a_constant_that_is_there_twice_hides_nothing_from_a_merge(tmp_path: Path) -> None:
    """A coarse bank has numbers that the way of the frame has too."""
    write_tiny_model(tmp_path / "m")
    first, second = (onnx.load(tmp_path / "m" / "model.onnx") for _ in range(2))
    nodes = len(second.graph.node)
    for tensor in list(first.graph.initializer):
        again = first.graph.initializer.add()
        again.CopyFrom(tensor)
        again.name = f"{tensor.name}/again"
    second.graph.node.append(helper.make_node("Neg", [SCORE], ["other"]))
    del second.graph.output[:]
    second.graph.output.append(helper.make_tensor_value_info("other", TensorProto.FLOAT, []))
    _, shared = merged(first, second)
    assert shared == nodes


def test_a_merge_that_answers_otherwise_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tiny_model(tmp_path / "first")
    second = write_box_model(tmp_path / "second")
    folder, _ = merge_models(tmp_path / "first", second, tmp_path, "whole", "")
    metrics = load_manifest(folder).metrics
    assert (
        metrics["export_heatmap_difference"] == metrics["export_box_shift_px"] == metrics["export_flips"] == 0
    )
    whole, _ = merged(onnx.load(tmp_path / "first" / "model.onnx"), onnx.load(second / "model.onnx"))
    broken = onnx.load_from_string(_times(whole, 5.0))
    monkeypatch.setattr(merge_module, "merged", lambda _a, _b: (broken, 1))
    with pytest.raises(ModelError, match="apart and in one graph"):
        merge_models(tmp_path / "first", second, tmp_path, "both", "")
    assert not (tmp_path / "both").exists()


def said(*scores: float) -> list[Decoded]:
    return [Decoded(score, score, (), None) for score in scores]


def test_the_gate_itself(tmp_path: Path) -> None:
    manifest = write_tiny_model(tmp_path / "m")
    parity = require_parity(said(0.2, 0.9), said(0.2001, 0.9), manifest, "a and b")
    assert parity.images == 2
    assert require_parity(said(0.2, 0.4999), said(0.2, 0.5001), manifest, "a and b").images == 2
    with pytest.raises(ModelError, match="a and b judge 1 of 2 images otherwise"):
        require_parity(said(0.4999, 0.49), said(0.5001, 0.51), manifest, "a and b")
    with pytest.raises(ModelError, match="a and b judge 1 of 2 images otherwise"):
        require_parity(said(0.2, 0.49), said(0.2, 0.51), manifest, "a and b")
    with pytest.raises(ModelError, match="differ by 22"):
        require_parity(said(0.2, 0.45), said(0.2, 0.35), manifest, "a and b")
    with pytest.raises(ModelError, match="nothing was written"):
        require_parity(said(0.2), said(float("nan")), manifest, "a and b")


def found(*boxes: tuple[float, int]) -> list[Decoded]:
    """An image on which a network finds dents of these scores, each at that column."""
    dents = [Detection(label="dent", score=score, box_px=(x, 10, x + 12, 30)) for score, x in boxes]
    return [Decoded(0.9, 0.9, tuple(dents), None)]


def test_boxes_are_compared_too(tmp_path: Path) -> None:
    manifest = load_manifest(write_box_model(tmp_path / "m"))
    parity = require_parity(found((0.9, 4), (0.8, 40)), found((0.9, 5), (0.8, 40)), manifest, "a and b")
    assert (parity.box_shift_px, parity.box_flips, parity.heatmap_difference) == (1, 0, None)
    parity = require_parity(found((0.9, 4), (0.55, 40)), found((0.9, 4)), manifest, "a and b")
    assert parity.box_flips == 1  # at the threshold rounding lets a box come or go
    for one, other in [(found((0.9, 4), (0.8, 40)), found((0.9, 4))), (found((0.9, 4)), found((0.9, 30)))]:
        for pair in ((one, other), (other, one)):
            with pytest.raises(ModelError, match=r"a and b find other boxes on image 1 \(dent at"):
                require_parity(*pair, manifest, "a and b")
    with pytest.raises(ModelError, match="boxes that lie 5 pixels apart; nothing was written"):
        require_parity(found((0.9, 4)), found((0.9, 9)), manifest, "a and b")
