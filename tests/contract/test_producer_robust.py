"""Our GenTL producer under leaks, sanitizers and malformed packets, driven by a small C program.

In the suite the numbers are small. In full:

    PRODUCER_CYCLES=10000 PRODUCER_FUZZ_PACKETS=100000 python -m pytest tests/contract/test_producer_robust.py
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cameras import PRODUCER, CameraProcess, aravis_camera, build_producer

CYCLES = int(os.environ.get("PRODUCER_CYCLES", "200"))
FUZZ_PACKETS = int(os.environ.get("PRODUCER_FUZZ_PACKETS", "5000"))
TIMEOUT_S = 60 + CYCLES // 5 + FUZZ_PACKETS // 1000
PAYLOAD = 512 * 512  # of Aravis' fake camera
ACQUISITION = "0x124"  # its register: 1 starts, 0 stops
# Nothing is suppressed: Debian's GLib and Aravis leave nothing unreachable.
ADDRESS_SANITIZER = {
    "ASAN_OPTIONS": "detect_leaks=1:fast_unwind_on_malloc=0:strict_string_checks=1:halt_on_error=1",
    "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
}
pytestmark = pytest.mark.timeout(2 * TIMEOUT_S)


@pytest.fixture(scope="module")
def camera() -> Iterator[CameraProcess]:
    found = aravis_camera()
    if isinstance(found, str):
        pytest.skip(found)
    found.start()
    yield found
    found.kill()


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The driver and the producer as users have it."""
    folder = tmp_path_factory.mktemp("drive")
    subprocess.run(["make", "-s", "-C", str(PRODUCER), "drive", f"OUTDIR={folder}"], check=True)
    return folder / "drive", build_producer()


@pytest.fixture(scope="module")
def sanitized(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Both built with AddressSanitizer and UndefinedBehaviorSanitizer."""
    folder = tmp_path_factory.mktemp("sanitize")
    probe = folder / "probe.c"
    probe.write_text("int main(void) { return 0; }\n")
    link = ["cc", "-fsanitize=address,undefined", str(probe), "-o", str(folder / "probe")]
    if subprocess.run(link, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the sanitizer libraries of the compiler: apt install libasan8 libubsan1")
    subprocess.run(["make", "-s", "-C", str(PRODUCER), "sanitize", f"OUTDIR={folder}"], check=True)
    return folder / "drive", folder / "inspector_gev.cti"


def drive(
    build: tuple[Path, Path], camera: CameraProcess, *, cycles: int, frames: int, fuzz: int = 0
) -> dict[str, int | list[int]]:
    driver, producer = build
    plan = (ACQUISITION, ACQUISITION, 0, PAYLOAD, cycles, frames, fuzz)
    done = subprocess.run(
        [str(driver), str(producer), camera.address, *map(str, plan)],
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_S,
        env=os.environ | ADDRESS_SANITIZER,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    result: dict[str, int | list[int]] = json.loads(done.stdout)
    return result


def growth(result: dict[str, int | list[int]], what: str) -> int:
    pair = result[what]
    assert isinstance(pair, list)
    return pair[1] - pair[0]


def test_nothing_is_left_by_opening_and_closing(plain: tuple[Path, Path], camera: CameraProcess) -> None:
    result = drive(plain, camera, cycles=CYCLES, frames=0)
    assert growth(result, "fds") == 0
    assert growth(result, "threads") == 0
    assert growth(result, "rss_kib") < 256 + CYCLES // 10  # 100 bytes a cycle: the allocator's own noise


def test_streaming_leaves_nothing_either(plain: tuple[Path, Path], camera: CameraProcess) -> None:
    result = drive(plain, camera, cycles=20, frames=3)
    assert result["complete"] == 60
    assert growth(result, "fds") == growth(result, "threads") == 0
    assert growth(result, "rss_kib") < 1024


def test_the_sanitizers_find_nothing(sanitized: tuple[Path, Path], camera: CameraProcess) -> None:
    result = drive(sanitized, camera, cycles=10, frames=3)
    assert result["complete"] == 30


@pytest.mark.parametrize("build", ["plain", "sanitized"])
def test_malformed_packets_are_dropped_and_the_stream_goes_on(
    request: pytest.FixtureRequest, build: str, camera: CameraProcess
) -> None:
    result = drive(request.getfixturevalue(build), camera, cycles=1, frames=5, fuzz=FUZZ_PACKETS)
    assert result["good_after_fuzz"] == 20
    dropped, fuzzed, incomplete = result["dropped_packets"], result["fuzzed"], result["incomplete"]
    assert isinstance(dropped, int) and isinstance(fuzzed, int) and isinstance(incomplete, int)  # noqa: PT018 - narrows the types
    assert fuzzed > 0.9 * FUZZ_PACKETS
    assert dropped > fuzzed // 4  # counted
    assert incomplete > 0  # what looked well-formed took frames along, and they say so


def test_it_installs_alone_and_is_found(tmp_path: Path) -> None:
    subprocess.run(
        ["make", "-s", "-C", str(PRODUCER), "install", f"PREFIX={tmp_path}"], check=True, capture_output=True
    )
    folder = tmp_path / "lib" / "inspector_gev"
    assert sorted(each.name for each in folder.iterdir()) == ["README.md", "inspector_gev.cti"]
    # A consumer looks for *.cti in the folders of this variable; harvesters takes the file.
    script = (
        "import os, pathlib\n"
        "from harvesters.core import Harvester\n"
        "(cti,) = pathlib.Path(os.environ['GENICAM_GENTL64_PATH']).glob('*.cti')\n"
        "with Harvester() as h:\n"
        "    h.add_file(str(cti), check_existence=True, check_validity=True)\n"
        "    h.update()\n"
        "    print(len(h.files), 'loaded')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"GENICAM_GENTL64_PATH": str(folder)},
    )
    assert done.stdout == "1 loaded\n", done.stderr
