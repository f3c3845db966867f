"""A model of another make becomes a model folder, or one clear line says why not."""

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_model import write_tiny_model

from inspector.detect.cuda.half_graph import with_half_precision
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.importing.bring import BringOptions, Kind, bring
from inspector.detect.importing.merge import merge_models, merged
from inspector.detect.model.decode import Decoded, decode
from inspector.detect.model.manifest import InputLayout, Manifest, load_manifest
from inspector.detect.model.model_folder import write_manifest
from inspector.detect.quantizing.q_dq import quantized
from inspector.errors import ConfigError, InspectorError, ModelError

F32 = npt.NDArray[np.float32]
FRAME = InputLayout(width_px=80, height_px=40, pixel_format="Mono8")
NETWORK = (64, 64)  # a letterbox puts the frame at rows 16 to 48, scaled by 0.8
LABELS = ("chip", "crack")


def network(
    path: Path,
    outputs: dict[str, F32],
    *,
    shape: tuple[int | str, ...] = (1, 3, 64, 64),
    opset: int = 17,
    dtype: int = TensorProto.FLOAT,
    names: str = "",
    op: str = "Identity",
) -> Path:
    """An ONNX file whose outputs are these constants, plus 0 times its input's mean."""
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Cast", ["mean"], ["mean32"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["mean32", "zero"], ["nothing"]),
        helper.make_node(op, ["nothing"], ["still_nothing"], domain="" if op == "Identity" else "acme"),
    ]
    constants = [numpy_helper.from_array(np.float32(0), "zero")]
    results = []
    for name, value in outputs.items():
        constants.append(numpy_helper.from_array(value, f"{name}_value"))
        nodes.append(helper.make_node("Add", [f"{name}_value", "still_nothing"], [name]))
        results.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, list(value.shape)))
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("images", dtype, list(shape))], results, constants
    )
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("acme", 1)]
    model = helper.make_model(graph, opset_imports=imports, ir_version=8)
    if names:
        helper.set_model_props(model, {"names": names})
    onnx.save(model, path)
    return path


def options(kind: Kind, **more: object) -> BringOptions:
    return BringOptions(**{"name": "m", "kind": kind, "frame": FRAME, "labels": LABELS, **more})  # type: ignore[arg-type]


def run(folder: Path, manifest: Manifest) -> Decoded:
    """What the engine would make of a black frame."""
    whole = CpuRun((folder / manifest.onnx.file).read_bytes(), "test")
    assert load_manifest(folder) == manifest
    return decode(whole(np.zeros((1, 40, 80, 1), dtype=np.uint8)), manifest)


# The same box in every dialect: frame pixels (20, 10, 40, 30), network pixels (16, 24, 32, 40), label 1.
def yolo_v5() -> dict[str, F32]:
    rows = np.zeros((1, 400, 7), dtype=np.float32)
    rows[0, 7] = [24, 32, 16, 16, 0.9, 0.0, 1.0]
    rows[0, 8] = [24.5, 32, 16, 16, 0.8, 0.0, 1.0]  # goes: overlaps a stronger one
    return {"output0": rows}


def yolo_v8() -> dict[str, F32]:
    rows = np.delete(yolo_v5()["output0"], 4, axis=2)
    rows[..., 4:] *= 0.9
    return {"output0": np.ascontiguousarray(rows.transpose(0, 2, 1))}


def end_to_end() -> dict[str, F32]:
    return {"output0": np.array([[[16, 24, 32, 40, 0.9, 1], [0, 0, 0, 0, 0, 0]]], dtype=np.float32)}


def detr(*, softmax: bool) -> dict[str, F32]:
    logits = np.full((1, 5, 3 if softmax else 2), -9.0, dtype=np.float32)
    logits[0, :, -1] = 9.0 if softmax else -9.0
    logits[0, 3, 1] = 2.1972246 if not softmax else 9.0 + 2.1972246  # 0.9
    boxes = np.full((1, 5, 4), 0.5, dtype=np.float32)
    boxes[0, 3] = [24 / 64, 32 / 64, 16 / 64, 16 / 64]
    return {"pred_logits": logits, "pred_boxes": boxes}


def fcos() -> dict[str, F32]:
    outputs: dict[str, F32] = {}
    for level, cells in enumerate((8, 4)):
        scores = np.full((1, 2, cells, cells), -9.0, dtype=np.float32)
        distances = np.ones((1, 4, cells, cells), dtype=np.float32)
        centerness = np.full((1, 1, cells, cells), 9.0, dtype=np.float32)
        if level == 1:  # stride 16: the centre of cell (2, 1) is at x 24, y 40
            scores[0, 1, 2, 1] = 1.45
            distances[0, :, 2, 1] = np.array([8, 16, 8, 0]) / 16
        outputs |= {f"cls_{level}": scores, f"bbox_{level}": distances, f"ctr_{level}": centerness}
    return outputs


@pytest.mark.parametrize(
    ("kind", "outputs", "more"),
    [
        ("yolo", yolo_v5(), {}),
        ("yolo", yolo_v8(), {}),
        ("yolo", end_to_end(), {}),
        ("detr", detr(softmax=True), {"fit": "letterbox"}),
        ("detr", detr(softmax=False), {"fit": "letterbox"}),
        ("boxes", end_to_end(), {"fit": "letterbox"}),
    ],
)
def test_the_same_box_in_every_dialect(
    tmp_path: Path, kind: Kind, outputs: dict[str, F32], more: dict[str, object]
) -> None:
    path = network(tmp_path / "theirs.onnx", outputs)
    folder, manifest = bring(path, tmp_path / "models", options(kind, **more))
    decoded = run(folder, manifest)
    (found,) = decoded.detections
    assert (found.label, found.box_px) == ("crack", (20, 10, 40, 30))
    assert found.score == pytest.approx(0.9, abs=0.02)
    assert decoded.p_defect == found.score


def test_fcos_finds_levels_by_name_and_finest_first(tmp_path: Path) -> None:
    path = network(tmp_path / "theirs.onnx", fcos())
    folder, manifest = bring(path, tmp_path / "models", options("fcos", fit="letterbox"))
    assert manifest.head is not None
    assert manifest.head.outputs["scores"] == ("cls_0", "cls_1")
    assert manifest.head.outputs["centerness"] == ("ctr_0", "ctr_1")
    # Distances of this network count in strides, which nothing in the file tells.
    path = folder / "manifest.yaml"
    path.write_text(path.read_text().replace("distances_in_strides: false", "distances_in_strides: true"))
    (found,) = run(folder, load_manifest(folder)).detections
    assert (found.label, found.box_px) == ("crack", (20, 10, 40, 30))


def test_an_opset_and_a_half_precision_input_of_older_exporters_are_taken(tmp_path: Path) -> None:
    for opset, dtype in ((12, TensorProto.FLOAT), (17, TensorProto.FLOAT16)):
        path = network(tmp_path / "theirs.onnx", yolo_v5(), opset=opset, dtype=dtype)
        folder, manifest = bring(path, tmp_path / "models", options("yolo"))
        assert run(folder, manifest).detections[0].box_px == (20, 10, 40, 30)


def test_what_was_brought_in_can_be_halved_quantized_and_merged(tmp_path: Path) -> None:
    """Each of them has ONNX check the graph."""
    theirs = onnx.load(network(tmp_path / "theirs.onnx", yolo_v8()))
    theirs.graph.output[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    theirs.ir_version = 3  # of that time: constants are inputs too
    for tensor in theirs.graph.initializer:
        theirs.graph.input.append(
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
        )
    onnx.save(theirs, tmp_path / "theirs.onnx")
    folder, manifest = bring(tmp_path / "theirs.onnx", tmp_path / "models", options("yolo"))
    assert run(folder, manifest).detections[0].box_px == (20, 10, 40, 30)
    model = onnx.load(folder / manifest.onnx.file)
    dims = [dim.dim_value for dim in model.graph.output[0].type.tensor_type.shape.dim]
    assert dims == [1, 6, 400]
    with_half_precision(model)
    quantized(model, [], {}, "asymmetric")
    write_tiny_model(tmp_path / "tiny")
    merged(onnx.load(tmp_path / "tiny" / "model.onnx"), model)


def test_merging_keeps_the_calibration_of_the_boxes(tmp_path: Path) -> None:
    tiny = write_tiny_model(tmp_path / "tiny")
    path = network(tmp_path / "theirs.onnx", yolo_v8())
    boxes, manifest = bring(path, tmp_path, options("yolo", frame=tiny.input))
    frame = np.zeros((1, tiny.input.height_px, tiny.input.width_px, 1), dtype=np.uint8)
    stricter = msgspec.structs.replace(manifest.calibration, offset=-3.0)
    write_manifest(boxes, msgspec.structs.replace(manifest, calibration=stricter))
    alone = decode(CpuRun((boxes / "model.onnx").read_bytes(), "test")(frame), load_manifest(boxes))
    both, _ = merge_models(tmp_path / "tiny", boxes, tmp_path, "both", "")
    together = decode(CpuRun((both / "model.onnx").read_bytes(), "test")(frame), load_manifest(both))
    assert together.p_defect == pytest.approx(alone.p_defect, abs=1e-6)
    assert alone.p_defect < 0.5
    write_manifest(boxes, msgspec.structs.replace(manifest, thresholds={"defect": 0.3, "box": 0.5}))
    with pytest.raises(ConfigError, match=r"thresholds\.defect differ"):
        merge_models(tmp_path / "tiny", boxes, tmp_path, "both", "")


def test_how_many_boxes_are_left_stays_open(tmp_path: Path) -> None:
    path = network(tmp_path / "theirs.onnx", {"all": end_to_end()["output0"]})
    theirs = onnx.load(path)
    graph = theirs.graph
    graph.initializer.append(numpy_helper.from_array(np.float32(0.5), "limit"))
    graph.initializer.append(numpy_helper.from_array(np.array([4], dtype=np.int64), "four"))
    graph.node.extend([
        helper.make_node("Gather", ["all", "four"], ["scores"], axis=2),
        helper.make_node("Greater", ["scores", "limit"], ["over"]),
        helper.make_node("Squeeze", ["over"], ["kept"]),
        helper.make_node("Compress", ["all", "kept"], ["output0"], axis=1),
    ])  # fmt: skip
    del graph.output[:]
    graph.output.append(helper.make_tensor_value_info("output0", TensorProto.FLOAT, [1, "left", 6]))
    onnx.save(theirs, path)
    folder, manifest = bring(path, tmp_path / "models", options("yolo"))
    dims = onnx.load(folder / manifest.onnx.file).graph.output[0].type.tensor_type.shape.dim
    assert dims[1].dim_param
    assert run(folder, manifest).detections[0].box_px == (20, 10, 40, 30)


def test_labels_come_from_the_file_where_it_names_them(tmp_path: Path) -> None:
    path = network(tmp_path / "theirs.onnx", yolo_v8(), names="{0: 'dent', 1: 'rust'}")
    folder, manifest = bring(path, tmp_path / "models", options("yolo", labels=()))
    assert manifest.labels == ("dent", "rust")
    assert run(folder, manifest).detections[0].label == "rust"


def test_a_label_that_means_good_finds_no_defect(tmp_path: Path) -> None:
    path = network(tmp_path / "theirs.onnx", yolo_v8())
    decoded = run(*bring(path, tmp_path / "models", options("yolo", good_labels=("crack",))))
    assert decoded.detections == ()
    assert decoded.p_defect < 0.01


def test_classification_scores_what_is_not_good(tmp_path: Path) -> None:
    path = network(tmp_path / "theirs.onnx", {"logits": np.log(np.array([[0.3, 0.7]], dtype=np.float32))})
    chosen = options("classification", labels=("good", "bad"), good_labels=("good",))
    folder, manifest = bring(path, tmp_path / "models", chosen)
    decoded = run(folder, manifest)
    assert decoded.p_defect == pytest.approx(0.7, abs=1e-4)
    assert decoded.detections[0].label == "bad"


def test_anomalib_gives_map_and_score(tmp_path: Path) -> None:
    heat = np.zeros((1, 1, 32, 32), dtype=np.float32)
    heat[0, 0, 16, 8] = 0.9
    outputs = {"pred_score": np.array([[0.9]], dtype=np.float32), "anomaly_map": heat}
    folder, manifest = bring(
        network(tmp_path / "a.onnx", outputs), tmp_path / "models", options("anomalib", labels=())
    )
    decoded = run(folder, manifest)
    assert decoded.p_defect == pytest.approx(0.9, abs=1e-4)
    assert decoded.detections[0].box_px == (20, 20, 23, 22)
    assert decoded.heatmap is not None


def test_the_frame_arrives_where_the_network_expects_it(tmp_path: Path) -> None:
    """A network that gives back its input: the letterbox's border, grey to three channels, 0 to 1."""
    nodes = [helper.make_node("Identity", ["images"], ["seen"])]
    shape = [1, 3, 64, 64]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in ("images", "seen")]
    model = helper.make_model(
        helper.make_graph(nodes, "g", [ends[0]], [ends[1]]),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    onnx.save(model, tmp_path / "theirs.onnx")
    from inspector.detect.importing.frame_entry import Entry, with_frame_entry  # noqa: PLC0415  # only here

    entry = Entry(FRAME, NETWORK, "letterbox", "unit", bgr=False)
    whole = with_frame_entry(model, entry, tmp_path / "theirs.onnx")
    frame = np.full((1, 40, 80, 1), 255, dtype=np.uint8)
    seen = CpuRun(whole.SerializeToString(), "test")(frame)["seen"][0]
    assert seen.shape == (3, 64, 64)
    assert (seen[:, 16:48] == 1.0).all()
    assert seen[:, :16] == pytest.approx(114 / 255)
    assert seen[:, 48:] == pytest.approx(114 / 255)


@pytest.mark.parametrize(
    ("make", "more", "error", "words"),
    [
        ({"shape": (2, 3, 64, 64)}, {}, ModelError, "input images is float 2x3x64x64"),
        ({"shape": (1, 12)}, {}, ModelError, "input images is float 1x12"),
        ({"shape": (1, 3, "h", "w")}, {}, ConfigError, "--size"),
        ({}, {"size": (32, 32)}, ConfigError, "takes 64x64 pixels, --size says 32x32"),
        ({"op": "Frobnicate"}, {}, ModelError, "Frobnicate"),
        ({}, {"labels": ()}, ConfigError, "--labels"),
        ({}, {"labels": ("a", "b", "c")}, ModelError, "with 3 labels YOLO gives"),
        ({}, {"good_labels": ("fine",)}, ConfigError, "fine is not one of the labels"),
        ({}, {"good_labels": LABELS}, ConfigError, "must speak for a defect"),
        ({}, {"outputs": (("output", "gone"),)}, ModelError, "no output gone"),
    ],
)
def test_what_does_not_fit_is_one_line_and_writes_nothing(
    tmp_path: Path, make: dict[str, object], more: dict[str, object], error: type[InspectorError], words: str
) -> None:
    path = network(tmp_path / "theirs.onnx", yolo_v8(), **make)  # type: ignore[arg-type]
    with pytest.raises(error) as caught:
        bring(path, tmp_path / "models", options("yolo", **more))
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()


def test_a_file_that_the_model_would_replace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "models" / "m").mkdir(parents=True)
    path = network(tmp_path / "models" / "m" / "model.onnx", yolo_v8())
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="would be lost"):
        bring(path, tmp_path / "models", options("yolo"))
    assert path.read_bytes() == before


@pytest.mark.parametrize("keep", [0, 1, 40, -1, -200])
def test_a_truncated_file_is_one_line_and_writes_nothing(tmp_path: Path, keep: int) -> None:
    path = network(tmp_path / "theirs.onnx", yolo_v8())
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError) as caught:
        bring(path, tmp_path / "models", options("yolo"))
    assert "theirs.onnx" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "models").exists()
