"""Rewrites matrix products for Turing. Pure.

TensorRT for RTX (1.7) has no float32 matrix product for compute capability 7.5 ("FP32 GEMM is not
supported"), and half precision is too coarse for what scores. A product written as a sum of
products is elementwise work, which it has.
"""

import numpy as np
import onnx
from onnx import helper, numpy_helper


def without_matrix_products(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model with each MatMul as multiplication and sum: (.., m, k) by (.., k, n)."""
    rewritten = onnx.ModelProto()
    rewritten.CopyFrom(model)
    graph = rewritten.graph
    axes = {"last": -1, "before_last": -2, "third_last": -3}
    if any(node.op_type == "MatMul" for node in graph.node):
        for name, axis in axes.items():
            tensor = numpy_helper.from_array(np.array([axis], dtype=np.int64), f"turing.{name}")
            graph.initializer.append(tensor)
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        if node.op_type != "MatMul":
            nodes.append(node)
            continue
        left, right = node.input
        (out,) = node.output
        nodes += [
            helper.make_node("Unsqueeze", [left, "turing.last"], [f"{out}.left"]),
            helper.make_node("Unsqueeze", [right, "turing.third_last"], [f"{out}.right"]),
            helper.make_node("Mul", [f"{out}.left", f"{out}.right"], [f"{out}.products"]),
            helper.make_node("ReduceSum", [f"{out}.products", "turing.before_last"], [out], keepdims=0),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx.checker.check_model(rewritten)
    return rewritten
