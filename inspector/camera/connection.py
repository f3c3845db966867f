"""One opened camera: its device, its feature map and its stream. Made and torn down as a whole."""

import struct
import threading
from contextlib import ExitStack
from typing import Any

from genicam import genapi, gentl
from harvesters.core import RemoteDevice

from inspector import log
from inspector.camera.buffer_stream import BufferStream
from inspector.camera.found_camera import FoundCamera
from inspector.camera.gentl_errors import GENTL_ERRORS, reason
from inspector.camera.gentl_system import GenTLSystem, acquire_system, release_system
from inspector.camera.settings import apply_settings, find_node, lock_parameters
from inspector.config import CameraConfig
from inspector.errors import DeviceError

_HEARTBEAT_TIMEOUT = 0x0938  # bootstrap register, ms (GigE Vision 2.0, section 28)
_TEARDOWN_S = 2.0  # what a living camera never needs


class Connection:
    """Belongs to one thread. The constructor takes control and applies the settings."""

    def __init__(self, system: GenTLSystem, found: FoundCamera, config: CameraConfig) -> None:
        """Raises what the producer raises while opening, then ConfigError or DeviceError."""
        self.found = found
        self.node_map: Any = None
        self._camera_id = config.id
        # A share of our own: a dead camera is torn down on a thread that may outlive the camera.
        self._system = acquire_system(config.producer)
        self._device: Any = None
        self.stream: BufferStream | None = None
        with ExitStack() as unless_opened:
            unless_opened.callback(self._tear_down)
            self._device = system.open_device(found)
            if system.is_own:
                self._set_heartbeat(config.heartbeat_timeout_ms)
            self._remote = RemoteDevice(module=self._device.module, parent=self._device)
            self.node_map = self._remote.node_map
            self._make_idle()
            apply_settings(self.node_map, config.settings, config.id)
            self.stream = BufferStream(self._device)
            unless_opened.pop_all()

    @property
    def tl_type(self) -> str:
        """GEV for a camera with the registers of GigE Vision."""
        return str(self._device.tl_type)

    @property
    def port(self) -> Any:
        """The camera's registers."""
        return self._device.remote_port

    def _set_heartbeat(self, timeout_ms: int) -> None:
        # Only for our producer, which sends heartbeats to match. Others have a period of their own.
        try:
            self.port.write(_HEARTBEAT_TIMEOUT, struct.pack(">I", timeout_ms))
        except gentl.AccessDeniedException as error:
            self._log().info("heartbeat timeout is fixed by the camera", cause=reason(error))

    def _make_idle(self) -> None:
        """A program that was killed leaves the camera acquiring, with its parameters locked."""
        try:
            stop = find_node(self.node_map, "AcquisitionStop")
            if stop is not None:
                stop.execute()
            lock_parameters(self.node_map, locked=False)
        except genapi.GenericException as error:
            self._log().info("the camera does not want to be stopped", cause=reason(error))

    def close(self) -> None:
        """Give the camera back. Takes at most 2 s: a dead one is torn down on another thread."""
        thread = threading.Thread(target=self._tear_down, name=f"close {self._camera_id}")
        thread.daemon = True  # a producer that hangs must not keep the process alive
        thread.start()
        thread.join(_TEARDOWN_S)
        if thread.is_alive():
            self._log().warning("the camera does not answer, closing it goes on in the background")

    def _tear_down(self) -> None:
        """Take every step, whatever the steps before it did: a dead camera fails most of them."""
        steps: list[Any] = []
        if self.stream is not None:
            if self.stream.running:
                steps.append(self.node_map.AcquisitionStop.execute)
            steps += [self.stream.stop, self.stream.close]
        if self.node_map is not None:
            steps.append(self.node_map.disconnect)
        if self._device is not None:
            steps.append(self._device.module.close)
        for step in steps:
            try:
                step()
            except GENTL_ERRORS as error:
                self._log().info("closing a camera: a step failed", cause=reason(error))
        self.stream, self._device, self.node_map = None, None, None
        release_system(self._system)

    def _log(self) -> log.Logger:
        return log.get().bind(camera_id=self._camera_id)


def lost(camera_id: str, error: Exception) -> DeviceError:
    """Return the error for a camera that no longer answers."""
    return DeviceError(f"camera {camera_id} is lost: {reason(error)}")
