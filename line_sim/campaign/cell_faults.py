"""Disturbances of the cell's own processes and disk, from outside: it has no switch for them."""

import ctypes
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Final

import psutil

from inspector.errors import ConfigError
from line_sim.campaign.cell import Cell
from line_sim.scenario import Disturbance

_MIB: Final = 1 << 20
_DISK_MIB: Final = 96


class ProcessTrouble:
    """`kill`, `stall` and `memory_short` of one service. A service that is just not there is left."""

    def __init__(self, cell: Cell) -> None:
        self._cell = cell
        self._stalled: dict[str, psutil.Process] = {}

    def begin(self, disturbance: Disturbance) -> None:
        name = disturbance.service or ""
        process = self._cell.service(name)
        if process is None:
            return
        try:
            match disturbance.kind:
                case "kill":
                    process.send_signal(signal.SIGKILL)
                case "stall":
                    self._stalled[name] = process
                    process.send_signal(signal.SIGSTOP)
                case "memory_short":
                    limit = process.memory_info().vms + disturbance.mib * _MIB
                    process.rlimit(psutil.RLIMIT_AS, (limit, psutil.RLIM_INFINITY))
        except psutil.NoSuchProcess:
            return

    def end(self, disturbance: Disturbance) -> None:
        name = disturbance.service or ""
        try:
            if disturbance.kind == "stall" and name in self._stalled:
                self._stalled.pop(name).send_signal(signal.SIGCONT)
            elif disturbance.kind == "memory_short" and (process := self._cell.service(name)) is not None:
                process.rlimit(psutil.RLIMIT_AS, (psutil.RLIM_INFINITY, psutil.RLIM_INFINITY))
        except psutil.NoSuchProcess:
            return  # the cell has replaced it


class SmallDisk:
    """A small memory disk for the sessions, which can be filled to the last byte. Needs root."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filling: threading.Thread | None = None
        folder.mkdir(parents=True)
        options = f"size={_DISK_MIB}m".encode()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tmpfs", str(folder).encode(), b"tmpfs", 0, options) != 0:
            raise ConfigError(f"{folder}: no memory disk: {os.strerror(ctypes.get_errno())}")

    @staticmethod
    def possible(folder: Path) -> bool:
        """Whether one can be had here."""
        try:
            SmallDisk(folder).remove()
        except ConfigError:
            return False
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return True

    def begin(self, disturbance: Disturbance) -> None:
        del disturbance
        # In a thread, because the line must not stand still for the time that it takes.
        self._filling = threading.Thread(target=self._fill, name="fill the disk", daemon=True)
        self._filling.start()

    def _fill(self) -> None:
        with (self.folder / "filler").open("wb", buffering=0) as filler:
            try:
                while filler.write(bytes(_MIB)) == _MIB:
                    continue
                while filler.write(bytes(512)):
                    continue
            except OSError:
                return  # full, as was wanted

    def end(self, disturbance: Disturbance) -> None:
        del disturbance
        if self._filling is not None:
            self._filling.join()
        (self.folder / "filler").unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount it, lazily: a process that is ending may still hold a file."""
        detach = 2  # MNT_DETACH, umount2(2)
        ctypes.CDLL(None, use_errno=True).umount2(str(self.folder).encode(), detach)
