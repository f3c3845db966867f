"""Lines that start at the same time, each with cameras of its own."""

import threading

import pytest

from inspector.errors import ConfigError
from line_sim.camera import PatternSource, VirtualCamera, VirtualCameraConfig
from line_sim.run_command import ANY_ADDRESS, powered

LINES, VIEWS = 6, 2


def cameras_at(first: str) -> list[VirtualCamera]:
    start, _, last = first.rpartition(".")
    return [
        VirtualCamera(
            VirtualCameraConfig(address=f"{start}.{int(last) + view}", width=96, height=96), PatternSource()
        )
        for view in range(VIEWS)
    ]


def test_lines_that_start_together_never_share_an_address() -> None:
    begin, hold = threading.Barrier(LINES), threading.Barrier(LINES)
    taken: list[str] = []

    def line() -> None:
        begin.wait()
        with powered(ANY_ADDRESS, cameras_at) as cameras:
            taken.extend(camera.config.address for camera in cameras)
            hold.wait(60)  # each keeps its own while the others look for theirs

    threads = [threading.Thread(target=line) for _ in range(LINES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(taken)) == len(taken) == LINES * VIEWS


def test_a_named_address_is_taken_or_refused() -> None:
    with powered(ANY_ADDRESS, cameras_at) as cameras:
        taken = cameras[0].config.address
        with (
            pytest.raises(ConfigError, match=f"port 3956 of {taken} is not available"),
            powered(taken, cameras_at),
        ):
            pass
