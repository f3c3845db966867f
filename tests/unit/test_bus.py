"""The bus between real processes: order, loss that is counted, frames without copies, clean-up."""

import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from inspector.bus import Bus, shaped, stale_domains, sweep
from inspector.clock import NS_PER_S, SystemClock
from inspector.errors import DataError
from inspector.topics import FAULTS, MAX_DEPTH
from inspector.types import Fault, FrameMeta

CLOCK = SystemClock()


@pytest.fixture
def domain() -> Iterator[str]:
    name = f"{os.getpid()}"
    yield name
    sweep(name)


def fault(number: int, text: str = "") -> Fault:
    return Fault(service="test", code=str(number), text=text, at_ns=number)


def meta(frame_id: int, width: int = 64, height: int = 48, pixel_format: str = "Mono8") -> FrameMeta:
    return FrameMeta(
        camera_id="cam1",
        frame_id=frame_id,
        exposure_start_ns=1,
        exposure_us=100.0,
        received_ns=2,
        width_px=width,
        height_px=height,
        pixel_format=pixel_format,
    )


def child(code: str, domain: str) -> subprocess.Popen[str]:
    script = f"domain = {domain!r}\n" + textwrap.dedent(code)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def collect(bus: Bus, subscriber: object, count: int) -> list[object]:
    got: list[object] = []
    limit_ns = CLOCK.now_ns() + 20 * NS_PER_S
    while len(got) < count and CLOCK.now_ns() < limit_ns:
        bus.wait(NS_PER_S)
        got += list(subscriber.drain())  # type: ignore[attr-defined]
    return got


def test_messages_cross_processes_in_order_whatever_their_size(domain: str) -> None:
    with Bus(domain, "here") as bus:
        subscriber = bus.subscriber(FAULTS)
        process = child(
            """
            from inspector.bus import Bus
            from inspector.topics import FAULTS
            from inspector.types import Fault
            bus = Bus(domain, "there")
            publisher = bus.publisher(FAULTS)
            print("ready", flush=True)
            for n in range(100):
                publisher.send(Fault(service="there", code=str(n), text="x" * (n * 500), at_ns=n))
            """,
            domain,
        )
        got = collect(bus, subscriber, 100)
        process.wait(10)
        assert [message.at_ns for message in got] == list(range(100))  # type: ignore[attr-defined]
        assert [len(message.text) for message in got] == [500 * n for n in range(100)]  # type: ignore[attr-defined]
        assert subscriber.dropped == 0


def test_a_slow_reader_loses_the_oldest_and_knows_how_many(domain: str) -> None:
    with Bus(domain, "here") as bus:
        subscriber = bus.subscriber(FAULTS)
        publisher = bus.publisher(FAULTS)
        publisher.send(fault(-1))
        assert len(list(subscriber.drain())) == 1
        for number in range(MAX_DEPTH + 30):
            publisher.send(fault(number))
        got = list(subscriber.drain())
        assert [message.at_ns for message in got] == list(range(30, MAX_DEPTH + 30))
        assert subscriber.dropped == 30


def test_a_frame_is_seen_by_another_process_and_is_read_only(domain: str) -> None:
    with Bus(domain, "here") as bus:
        process = child(
            """
            from inspector.bus import Bus
            from inspector.topics import FAULTS
            from inspector.types import Fault
            bus = Bus(domain, "there")
            frames, answers = bus.frame_subscriber("cam1"), bus.publisher(FAULTS)
            print("ready", flush=True)
            done = False
            while not done:
                bus.wait(1_000_000_000)
                for frame in frames.drain():
                    text = f"{frame.image.shape} {int(frame.image.sum())} {frame.image.flags.writeable}"
                    answers.send(Fault(service="there", code="", text=text, at_ns=frame.meta.frame_id))
                    done = frame.meta.frame_id == 9
            """,
            domain,
        )
        answers = bus.subscriber(FAULTS)
        publisher = bus.frame_publisher("cam1", 64 * 48)
        for number in range(10):
            slot = publisher.loan(64 * 48)
            slot.pixels[:] = number
            slot.send(meta(number))
        got = collect(bus, answers, 10)
        process.wait(10)
        assert [message.text for message in got] == [  # type: ignore[attr-defined]
            f"(48, 64) {64 * 48 * number} False" for number in range(10)
        ]


def test_a_frame_that_is_held_is_not_overwritten(domain: str) -> None:
    with Bus(domain, "here") as bus:
        subscriber = bus.frame_subscriber("cam1")
        publisher = bus.frame_publisher("cam1", 64 * 48)
        held = []
        for number in range(2 * MAX_DEPTH):
            slot = publisher.loan(64 * 48)
            slot.pixels[:] = number % 256
            slot.send(meta(number))
            frames = list(subscriber.drain())
            if number < 10:
                held += frames
        assert [int(frame.image[0, 0]) for frame in held] == list(range(10))
        held.clear()


def test_wake_from_another_thread_ends_a_wait(domain: str) -> None:
    with Bus(domain, "here") as bus:
        begun_ns = CLOCK.now_ns()
        threading.Timer(0.05, bus.wake).start()
        bus.wait(20 * NS_PER_S)
        assert CLOCK.now_ns() - begun_ns < 10 * NS_PER_S


def test_what_a_killed_process_held_is_free_again(domain: str) -> None:
    with Bus(domain, "here") as bus:
        for _ in range(20):  # more than the publishers that a topic admits
            process = child(
                """
                import time
                from inspector.bus import Bus
                from inspector.topics import FAULTS
                bus = Bus(domain, "there")
                publisher = bus.publisher(FAULTS)
                print("ready", flush=True)
                time.sleep(60)
                """,
                domain,
            )
            process.kill()
            process.wait()
            bus.bury_dead()
        bus.publisher(FAULTS)


def test_sweep_leaves_nothing_and_finds_domains_of_dead_supervisors() -> None:
    process = subprocess.run(
        [sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, check=True
    )
    dead = process.stdout.decode().strip()
    bus = Bus(dead, "here")
    bus.publisher(FAULTS)
    assert dead in stale_domains()
    del bus
    sweep(dead)
    assert dead not in stale_domains()
    assert not list(Path("/dev/shm").glob(f"inspector_{dead}_*"))


def test_bytes_that_are_not_the_image_are_refused() -> None:
    with pytest.raises(DataError, match="10 bytes are not 64x48 Mono8"):
        shaped(meta(1), np.zeros(10, np.uint8))
    assert shaped(meta(1, pixel_format="RGB8"), np.zeros(64 * 48 * 3, np.uint8)).shape == (48, 64, 3)
    assert shaped(meta(1, pixel_format="Mono12"), np.zeros(64 * 48 * 2, np.uint8)).dtype == np.uint16
