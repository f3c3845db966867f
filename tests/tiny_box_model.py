"""A model of a few nodes that finds one box: where it is told, as surely as the image is bright."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

from inspector.detect.model.manifest import UNCALIBRATED, Head, HowMade, InputLayout, Manifest, OnnxFile
from inspector.detect.model.model_folder import write_model
from inspector.detect.teaching.graph import IMAGE, GraphBuilder

WIDTH, HEIGHT = 64, 48
BOX = (10.0, 20.0, 40.0, 28.0)  # what the model finds in every image that is not black


def write_box_model(folder: Path) -> Path:
    """Finds a dent at BOX with the image's mean brightness as its score."""
    graph = GraphBuilder()
    value = graph.add("Cast", IMAGE, to=TensorProto.FLOAT)
    mean = graph.add("ReduceMean", value, axes=[0, 1, 2, 3], keepdims=0)
    scores = graph.add("Div", mean, graph.number(255.0))
    graph.add("Reshape", scores, graph.integers(1), name="scores")
    graph.add("Identity", graph.constant(np.array([BOX], dtype=np.float32)), name="boxes")
    graph.add("Identity", graph.constant(np.array([0], dtype=np.int64)), name="labels")
    model = helper.make_model(
        helper.make_graph(
            graph.nodes, "boxes",
            [helper.make_tensor_value_info(IMAGE, TensorProto.UINT8, [1, HEIGHT, WIDTH, 1])],
            [
                helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1]),
                helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 4]),
                helper.make_tensor_value_info("labels", TensorProto.INT64, [1]),
            ],
            graph.constants,
        ),
        opset_imports=[helper.make_opsetid("", 17)], ir_version=9,
    )  # fmt: skip
    onnx.checker.check_model(model)
    manifest = Manifest(
        format=1, name="boxes", task="boxes", onnx=OnnxFile(file="model.onnx", sha256=""),
        input=InputLayout(width_px=WIDTH, height_px=HEIGHT, pixel_format="Mono8"), labels=("dent",),
        decode="boxes", thresholds={"defect": 0.5, "box": 0.5}, calibration=UNCALIBRATED, metrics={},
        how_made=HowMade(
            command="", made_utc="", method="hand", backbone="", good_images=0, defect_images=0,
            network_width_px=WIDTH, network_height_px=HEIGHT,
        ),
        head=Head(
            decode="boxes", outputs={"boxes": ("boxes",), "scores": ("scores",), "labels": ("labels",)},
            labels=("dent",), network_width_px=WIDTH, network_height_px=HEIGHT,
        ),
    )  # fmt: skip
    write_model(folder, model.SerializeToString(), manifest)
    return folder
