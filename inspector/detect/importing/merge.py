"""One graph of two models that look at the same frame: what both compute alike is computed once."""

from datetime import UTC, datetime
from pathlib import Path

import msgspec
import onnx

from inspector.detect.engines.cpu_run import CpuRun
from inspector.detect.model.graph_file import load_graph
from inspector.detect.model.manifest import Manifest, OnnxFile, load_manifest
from inspector.detect.model.model_folder import write_model
from inspector.detect.quantizing.gate import EXPORT, decoded_all, made_up_frames, require_parity
from inspector.detect.quantizing.parity import Parity
from inspector.detect.teaching.graph import IMAGE
from inspector.errors import ConfigError

_PREFIX = "second/"


def merge_models(one_class: Path, boxes: Path, models_dir: Path, name: str, command: str) -> tuple[Path, int]:
    """Write models_dir/NAME from a one-class model and one that finds boxes, both model folders.

    Returns the folder and how many of the second model's nodes the first computes anyway: those of the
    backbone too where the second was trained with it frozen, at the same network size. Raises ConfigError
    for models that do not go together.
    """
    folder = models_dir / name
    for given in (one_class, boxes):
        if folder.resolve() == given.resolve():
            raise ConfigError(f"--name {name}: is {given} itself; give the merged model another name")
    first, second = load_manifest(one_class), load_manifest(boxes)
    if first.decode != "anomaly_map" or first.head is not None:
        raise ConfigError(f"{one_class}: not a one-class model of 'inspector teach'")
    if second.task != "boxes" or second.head is None:
        raise ConfigError(f"{boxes}: not a model that finds boxes")
    if first.input != second.input:
        raise ConfigError(
            f"{one_class} and {boxes} take different frames; teach and train on the same images"
        )
    if first.thresholds["defect"] != second.thresholds["defect"]:
        raise ConfigError(
            f"{one_class} and {boxes}: thresholds.defect differ; give both the same and calibrate again"
        )
    model, shared = merged(load_graph(one_class / first.onnx.file), load_graph(boxes / second.onnx.file))
    head = msgspec.structs.replace(
        second.head,
        outputs=_renamed(second.head.outputs, model),
        calibration=second.calibration,
        box_threshold=second.thresholds["box"],
    )
    manifest = Manifest(
        format=1,
        name=name,
        task="anomaly_and_boxes",
        onnx=OnnxFile(file=first.onnx.file, sha256=""),
        input=first.input,
        labels=(*first.labels, *(label for label in second.labels if label not in first.labels)),
        decode=first.decode,
        thresholds=first.thresholds,
        calibration=first.calibration,
        metrics=first.metrics | {f"boxes_{key}": value for key, value in second.metrics.items()},
        how_made=msgspec.structs.replace(
            first.how_made,
            command=command,
            made_utc=datetime.now(UTC).isoformat(timespec="seconds"),
            method=f"{first.how_made.method} and {second.how_made.method}",
        ),
        head=head,
        pictures=first.pictures,
    )
    parity = _check(model, manifest, (one_class, first), (boxes, second))
    manifest = msgspec.structs.replace(manifest, metrics=manifest.metrics | parity.metrics(EXPORT))
    write_model(folder, model.SerializeToString(), manifest)
    return folder, shared


def _check(
    model: onnx.ModelProto,
    manifest: Manifest,
    one_class: tuple[Path, Manifest],
    boxes: tuple[Path, Manifest],
) -> Parity:
    """Both models apart, and in one graph, on made-up frames. Raises ModelError where a verdict differs."""
    runs = [CpuRun((path / own.onnx.file).read_bytes(), str(path)) for path, own in (one_class, boxes)]
    together = CpuRun(model.SerializeToString(), manifest.name)
    head = boxes[1].head
    assert manifest.head is not None
    assert head is not None
    names = {
        theirs: ours
        for role, listed in manifest.head.outputs.items()
        for ours, theirs in zip(listed, head.outputs[role], strict=True)
    }
    apart, whole = [], []
    for frame in made_up_frames(manifest.input):
        second = runs[1](frame)
        apart.append(runs[0](frame) | {ours: second[theirs] for theirs, ours in names.items()})
        whole.append(together(frame))
    return require_parity(
        decoded_all(apart, manifest), decoded_all(whole, manifest), manifest,
        f"{one_class[0]} and {boxes[0]} apart and in one graph",
    )  # fmt: skip


def merged(first: onnx.ModelProto, second: onnx.ModelProto) -> tuple[onnx.ModelProto, int]:
    """Both graphs in one, and how many nodes of the second were the same as one of the first.

    Two nodes are the same when operator, attributes and inputs are, constants being compared by value.
    Outputs of the second keep their names where the first has none of that name.
    """
    whole = onnx.ModelProto()
    whole.CopyFrom(first)
    graph = whole.graph
    names: dict[str, str] = {IMAGE: IMAGE}
    constants: dict[bytes, str] = {}
    alike = {tensor.name: constants.setdefault(_content(tensor), tensor.name) for tensor in graph.initializer}
    known = {
        _signature(node, [alike.get(name, name) for name in node.input]): list(node.output)
        for node in graph.node
    }
    taken = {tensor.name for tensor in graph.initializer}
    taken |= {name for node in graph.node for name in node.output}
    for tensor in second.graph.initializer:
        content = _content(tensor)
        if content not in constants:
            added = graph.initializer.add()
            added.CopyFrom(tensor)
            added.name = _free(tensor.name, taken)
            constants[content] = added.name
        names[tensor.name] = constants[content]
    shared = 0
    for node in second.graph.node:
        inputs = [names.get(name, "") for name in node.input]
        same = known.get(_signature(node, inputs))
        if same is not None:
            names.update(zip(node.output, same, strict=True))
            shared += 1
            continue
        added_node = graph.node.add()
        added_node.CopyFrom(node)
        added_node.input[:] = inputs
        added_node.output[:] = [_free(name, taken) for name in node.output]
        names.update(zip(node.output, added_node.output, strict=True))
        known[_signature(node, inputs)] = list(added_node.output)
    for output in second.graph.output:
        added_output = graph.output.add()
        added_output.CopyFrom(output)
        added_output.name = names[output.name]
    onnx.checker.check_model(whole)
    return whole, shared


def _renamed(outputs: dict[str, tuple[str, ...]], model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    there = {output.name for output in model.graph.output}

    def name_of(name: str) -> str:
        return name if name in there and name not in ("score", "score_map") else _PREFIX + name

    return {role: tuple(name_of(name) for name in names) for role, names in outputs.items()}


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name = _PREFIX + name
    taken.add(name)
    return name


def _content(tensor: onnx.TensorProto) -> bytes:
    copy = onnx.TensorProto()
    copy.CopyFrom(tensor)
    copy.name = ""
    return bytes(copy.SerializeToString(deterministic=True))


def _signature(node: onnx.NodeProto, inputs: list[str]) -> bytes:
    copy = onnx.NodeProto()
    copy.CopyFrom(node)
    copy.name = ""
    copy.input[:] = inputs
    del copy.output[:]
    attributes = sorted(copy.attribute, key=lambda a: a.name)
    del copy.attribute[:]
    copy.attribute.extend(attributes)
    return bytes(copy.SerializeToString(deterministic=True)) + bytes([len(node.output)])
