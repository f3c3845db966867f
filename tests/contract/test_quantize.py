"""An int8 model judges as its source does, or is not written; parity sees a verdict that flips."""

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.detect.commands import find_backbone
from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.images import read_image
from inspector.detect.model.manifest import dump_manifest, load_manifest
from inspector.detect.quantizing.quantize import QuantizeOptions, quantize
from inspector.detect.teaching.teach import TeachOptions, teach
from inspector.errors import ModelError

WIDTH, HEIGHT = 160, 120


def part(seed: int, *, spot: bool = False) -> npt.NDArray[np.uint8]:
    rng = np.random.default_rng(seed)
    image = np.full((HEIGHT, WIDTH), 40, dtype=np.uint8)
    centre = (80 + int(rng.integers(-1, 2)), 60 + int(rng.integers(-1, 2)))
    cv2.circle(image, centre, 40, 170, -1)
    if spot:
        cv2.circle(image, (centre[0] + 12, centre[1] - 10), 7, 60, -1)
    return np.asarray(np.clip(image + rng.normal(0, 2, image.shape), 0, 255), dtype=np.uint8)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("parts")
    for name, seeds, spot in (("good", range(8), False), ("defect", range(100, 106), True)):
        (root / name).mkdir()
        for seed in seeds:
            cv2.imwrite(str(root / name / f"{seed}.png"), part(seed, spot=spot))
    return root


@pytest.fixture(scope="module")
def models(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models with "disc", whose network scales its frames from 160x120 to 128x96."""
    root = tmp_path_factory.mktemp("models")
    options = TeachOptions(name="disc", size=(128, 96))
    teach(data / "good", data / "defect", root, find_backbone(root), options=options)
    return root


@pytest.mark.parametrize("for_gpu", [False, True])
def test_int8_judges_alike_and_computes_in_int8(
    models: Path, data: Path, tmp_path: Path, for_gpu: bool
) -> None:
    options = QuantizeOptions(name="disc8", for_gpu=for_gpu)
    result = quantize(models / "disc", data, tmp_path, options=options)
    assert result.parity.passed
    assert result.auroc_after == 1.0
    assert load_manifest(tmp_path / "disc8") == result.manifest
    assert {"int8_score_difference", "int8_heatmap_difference", "int8_flips"} <= set(result.manifest.metrics)
    model = onnx.load(tmp_path / "disc8" / "model.onnx")
    types = {t.name: t.data_type for t in model.graph.initializer}
    zeros = {types[n.input[2]] for n in model.graph.node if n.op_type == "QuantizeLinear"}
    assert zeros == {onnx.TensorProto.INT8 if for_gpu else onnx.TensorProto.UINT8}
    assert sum(name.endswith(".w/int8") for name in types) >= 10
    assert not any(name.startswith("block") and name.endswith(".w") for name in types)


def test_what_the_frame_goes_through_in_bytes_is_the_same_scaling(models: Path, data: Path) -> None:
    from inspector.detect.quantizing.byte_entry import byte_range, with_byte_entry  # noqa: PLC0415  # only here

    original = onnx.load(models / "disc" / "model.onnx")
    ((end, ends),) = byte_range(original).items()
    assert ends == (-127 / 128, 1.0)
    seen = []
    image = read_image(data / "good" / "1.png", load_manifest(models / "disc").input)[None]
    for model in (original, with_byte_entry(original)):
        del model.graph.output[:]
        model.graph.output.append(onnx.ValueInfoProto(name=end))
        seen.append(CpuRun(model.SerializeToString(), "test")(image)[end])
    assert seen[0].shape == seen[1].shape
    assert np.abs(seen[0] - seen[1]).max() * 128 <= 1.51  # two roundings to bytes


def test_more_loss_than_allowed_writes_nothing(models: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="loses") as caught:
        quantize(models / "disc", data, tmp_path, options=QuantizeOptions(name="no", largest_loss=-1.0))
    assert "nothing was written" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_commands(models: Path, data: Path) -> None:
    run = CliRunner().invoke
    done = run(app, ["quantize", "disc", str(data), "--models", str(models)])
    assert done.exit_code == 0, done.output
    assert "verdicts differ" in done.output
    alike = run(app, ["parity", "disc", "disc-int8", str(data), "--models", str(models)])
    assert alike.exit_code == 0, alike.output
    again = run(app, ["quantize", "disc-int8", str(data), "--models", str(models)])
    assert isinstance(again.exception, ModelError)
    assert "quantized already" in str(again.exception)
    # A model with another limit judges a part otherwise.
    folder = models / "disc-int8"
    manifest = load_manifest(folder)
    text = dump_manifest(manifest).replace("defect: 0.5", "defect: 0.999999999")
    (folder / "manifest.yaml").write_text(text)
    flipped = run(app, ["parity", "disc", "disc-int8", str(data), "--models", str(models)])
    assert flipped.exit_code == 1
    assert "differs:" in flipped.output
