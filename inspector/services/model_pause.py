"""The explainer's child that stops it while a frame is in the detector, so that both never compute at once.

A priority cannot do that: cores share memory and, as hyperthreads, their arithmetic. Stopping a
process (SIGSTOP) needs no privilege and takes effect within microseconds, in the middle of a token.

Whoever dies, nobody stays stopped: the explainer's death takes this process with it; when this one
is killed at the wrong moment, the explainer is silent and the supervisor restarts it; and a frame
that is not answered, as its detector is dead, holds the explainer up for `in_flight.LONGEST_NS` once.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType

from inspector.bus import Bus
from inspector.clock import NS_PER_S, Clock, SystemClock
from inspector.errors import DataError, InvariantError
from inspector.explain.in_flight import LONGEST_NS, InFlight
from inspector.services.loop import die_with_parent
from inspector.topics import RESULTS

_IDLE_NS = NS_PER_S
_STOP_S = 2.0


class ModelPause:
    """The child, as its parent sees it. Starts at once; after `close` nobody is stopped any more."""

    def __init__(self, domain: str, camera_ids: Sequence[str], longest_ns: int = LONGEST_NS) -> None:
        command = [sys.executable, "-m", __name__, "--domain", domain, "--parent", str(os.getpid())]
        command += ["--longest-ns", str(longest_ns), *camera_ids]
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    def check(self) -> None:
        """Raises InvariantError when it has died; with this process it is started again."""
        status = self._process.poll()
        if status is not None:
            raise InvariantError(f"the process that pauses the language model ended with status {status}")

    def close(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Watch:
    """Hears of frames and results, and stops or continues the process `target`."""

    def __init__(
        self, bus: Bus, camera_ids: Sequence[str], longest_ns: int, target: int, clock: Clock
    ) -> None:
        # The newest frame alone: what waits here keeps its place in shared memory.
        self._frames = [bus.frame_subscriber(camera_id, depth=1) for camera_id in camera_ids]
        self._results = bus.subscriber(RESULTS)
        self._bus = bus
        self._target = target
        self._clock = clock
        self._in_flight = InFlight(longest_ns)
        self._stopped = False
        self._ending = False
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def run(self) -> None:
        try:
            while not self._ending:
                self._hear()
                now_ns = self._clock.now_ns()
                self._stop(self._in_flight.busy(now_ns))
                self._bus.wait(self._in_flight.until_ns - now_ns if self._stopped else _IDLE_NS)
        finally:
            self._stop(False)

    def _hear(self) -> None:
        now_ns = self._clock.now_ns()
        for frames in self._frames:
            with suppress(DataError):  # one that is not what its camera says: the detector reports it
                for frame in frames.drain():
                    self._in_flight.frame(frame.meta.camera_id, frame.meta.frame_id, now_ns)
        for result in self._results.drain():
            self._in_flight.result(result.camera_id, result.frame_id)

    def _stop(self, stopped: bool) -> None:
        if stopped != self._stopped:
            os.kill(self._target, signal.SIGSTOP if stopped else signal.SIGCONT)
            self._stopped = stopped

    def _end(self, signum: int, frame: FrameType | None) -> None:
        del signum, frame
        self._ending = True
        self._bus.wake()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m inspector.services.model_pause")
    parser.add_argument("cameras", nargs="+")
    parser.add_argument("--domain", required=True, help="shared-memory domain of the cell")
    parser.add_argument("--parent", required=True, type=int, help="who is stopped")
    parser.add_argument("--longest-ns", required=True, type=int)
    chosen = parser.parse_args()
    # By the kernel, at the parent's end and before its number can be another's: nobody else is stopped.
    die_with_parent(signal.SIGKILL)
    if os.getppid() != chosen.parent:
        return  # it died before we asked
    with Bus(chosen.domain, "model_pause") as bus:
        _Watch(bus, chosen.cameras, chosen.longest_ns, chosen.parent, SystemClock()).run()


if __name__ == "__main__":
    main()
