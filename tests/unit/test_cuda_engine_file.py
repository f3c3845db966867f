"""Engine files: a damaged, stale or foreign one is never handed to TensorRT."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inspector.detect.cuda.engine_file import (
    EngineFileError,
    EngineHeader,
    Wanted,
    check_header,
    engine_name,
    read_engine,
    write_engine,
)

PLAN = bytes(range(200))
WANTED = Wanted(
    model_sha256="ab" * 32, precision="fp16", arch="sm_89", library="tensorrt_rtx", library_version="1.7.1"
)


def header(**changes: object) -> EngineHeader:
    whole = EngineHeader(**msgspec.structs.asdict(WANTED), max_batch=4, plan_bytes=len(PLAN))
    return msgspec.structs.replace(whole, **changes)


def test_what_was_written_is_read_and_accepted(tmp_path: Path) -> None:
    path = tmp_path / "engines" / engine_name(WANTED)
    write_engine(path, header(), PLAN)
    found, plan = read_engine(path)
    assert (found, plan) == (header(), PLAN)
    check_header(path, found, WANTED)
    assert [file.name for file in path.parent.iterdir()] == ["abababababab-fp16-sm_89-rtx.engine"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model_sha256": "cd" * 32}, "model cdcdcdcdcdcdcdcd, here abababababababab"),
        ({"precision": "fp32"}, "precision fp32, here fp16"),
        ({"arch": "sm_120"}, "GPU sm_120, here sm_89"),
        ({"library": "tensorrt"}, "library tensorrt, here tensorrt_rtx"),
        ({"library_version": "1.6"}, "version 1.6, here 1.7.1"),
    ],
)
def test_a_stale_or_foreign_engine_is_refused_by_name(change: dict[str, str], said: str) -> None:
    with pytest.raises(EngineFileError, match=f"{said}.*inspector engine build"):
        check_header(Path("a.engine"), header(**change), WANTED)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_one_changed_byte_or_a_cut_end_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "a.engine"
    write_engine(path, header(), PLAN)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:place])
    else:
        flipped = whole[place] ^ data.draw(st.integers(1, 255))
        path.write_bytes(whole[:place] + bytes([flipped]) + whole[place + 1 :])
    with pytest.raises(EngineFileError):
        read_engine(path)


@pytest.mark.parametrize("content", [b"", b"INSPENG1", b"INSPENG1\xff\xff\xff\xff", b"ftrt" * 20])
def test_what_is_no_engine_file_is_said_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.engine"
    path.write_bytes(content)
    with pytest.raises(EngineFileError, match=r"a\.engine"):
        read_engine(path)


def test_a_missing_file_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(EngineFileError, match="cannot be read"):
        read_engine(tmp_path / "none.engine")
