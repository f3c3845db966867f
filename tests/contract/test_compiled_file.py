"""A compiled model on disk is used when it is whole and for this machine, and made again otherwise."""

import errno
import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inspector.detect.engines.compiled_file import compiled_model
from inspector.detect.engines.openvino_bindings import ov

Logged = Callable[[], list[dict[str, str]]]
OPTIONS = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}


def write_model(folder: Path, factor: float) -> tuple[Path, str]:
    """A model that multiplies by `factor`, and its hash."""
    weights = np.full((8, 8), 0, dtype=np.float32) + np.eye(8, dtype=np.float32) * factor
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "times",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    path = folder / f"times{factor:g}.onnx"
    onnx.save(model, path)
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def factor_of(path: Path, sha256: str, cache: Path | None) -> float:
    """What the model that comes back multiplies by; also when the ONNX file is gone."""
    compiled, _kept = compiled_model(path, sha256, OPTIONS, cache)
    request = compiled.create_infer_request()
    request.set_input_tensor(ov.Tensor(np.ones((1, 8), dtype=np.float32)))
    request.start_async({}, None)
    request.wait()
    return float(request.get_output_tensor().data[0, 0])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    return folder


def the_file(cache: Path) -> Path:
    (path,) = cache.iterdir()
    return path


def test_the_second_start_needs_no_onnx_file(tmp_path: Path, cache: Path, logged: Logged) -> None:
    path, sha256 = write_model(tmp_path, 3.0)
    assert factor_of(path, sha256, cache) == 3.0
    path.unlink()
    assert factor_of(path, sha256, cache) == 3.0
    assert logged() == []


def cut(data: bytes) -> bytes:
    return data[: len(data) * 3 // 4]


def flip(data: bytes) -> bytes:
    place = len(data) - 100
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def of_another_version(data: bytes) -> bytes:
    """As an older OpenVINO would have left it, under the same name."""
    return data.replace(b'"openvino":"20', b'"openvino":"19', 1)


@pytest.mark.parametrize(
    "spoil",
    [cut, flip, of_another_version, lambda _: b"", lambda _: b"something else", lambda data: data[:4096]],
)
def test_what_is_not_whole_or_not_for_this_machine_is_made_again(
    tmp_path: Path, cache: Path, logged: Logged, spoil: Callable[[bytes], bytes]
) -> None:
    path, sha256 = write_model(tmp_path, 2.0)
    factor_of(path, sha256, cache)
    file = the_file(cache)
    whole = file.read_bytes()
    assert spoil(whole) != whole
    file.write_bytes(spoil(whole))
    assert factor_of(path, sha256, cache) == 2.0
    assert [entry["event"] for entry in logged()] == ["compiled model cannot be used"]
    assert factor_of(path, sha256, cache) == 2.0
    assert logged() == []


def test_a_model_taught_again_under_the_same_name_is_never_run_as_the_old_one(
    tmp_path: Path, cache: Path
) -> None:
    path, sha256 = write_model(tmp_path, 2.0)
    factor_of(path, sha256, cache)
    new, new_sha256 = write_model(tmp_path, 5.0)
    new.replace(path)
    assert factor_of(path, new_sha256, cache) == 5.0


def test_a_folder_that_cannot_be_written_costs_a_log_line(
    tmp_path: Path, cache: Path, logged: Logged
) -> None:
    path, sha256 = write_model(tmp_path, 2.0)
    file = cache / "no folder"
    file.write_text("")
    assert factor_of(path, sha256, file) == 2.0
    assert logged()
    assert factor_of(path, sha256, None) == 2.0


def test_old_files_go(tmp_path: Path, cache: Path) -> None:
    for factor in range(1, 10):
        path, sha256 = write_model(tmp_path, float(factor))
        assert factor_of(path, sha256, cache) == factor
    assert len(list(cache.iterdir())) == 6


def test_what_a_killed_start_and_an_older_version_left_goes(tmp_path: Path, cache: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    dead, alive = cache / f"a.openvino.{gone.pid}", cache / f"b.openvino.{os.getpid()}"
    for left in (dead, alive, cache / "123.blob"):
        left.write_bytes(b"x")
    path, sha256 = write_model(tmp_path, 2.0)
    assert factor_of(path, sha256, cache) == 2.0
    whole = [file for file in cache.iterdir() if file.suffix == ".openvino"]
    assert sorted(cache.iterdir()) == sorted([alive, *whole])
    assert len(whole) == 1


def test_a_full_disk_keeps_no_half_file(
    tmp_path: Path, cache: Path, logged: Logged, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: Path) -> Path:
        del self, target
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    path, sha256 = write_model(tmp_path, 2.0)
    assert factor_of(path, sha256, cache) == 2.0
    assert "No space left" in logged()[0]["cause"]
    assert list(cache.iterdir()) == []
