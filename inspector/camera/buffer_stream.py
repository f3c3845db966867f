"""The data stream of one camera: announced buffers, and the wait for the next filled one.

`harvesters.core.ImageAcquirer` is not used for this. Its `fetch` discards incomplete buffers
(and never times out while they come), its `stop` raises halfway when the camera is dead and
leaves the stream busy, and it takes over the SIGINT handler.
"""

import threading
from typing import Any

from genicam import gentl
from harvesters.core import DataStream

from inspector.camera.gentl_errors import GENTL_ERRORS

_CLEAR_BUFFER = False  # the binding would otherwise set the whole buffer to zero, each time


class BufferStream:
    """Belongs to one thread, but for `give_back` and `kill`, which are safe from every thread."""

    def __init__(self, device: Any) -> None:
        raw = device.create_data_stream()
        raw.open(device.data_stream_ids[0])
        self._module = DataStream(module=raw)
        self._event = gentl.EventManagerNewBuffer(raw.register_event(gentl.EVENT_TYPE_LIST.EVENT_NEW_BUFFER))
        self._announced: list[Any] = []
        self._running = False
        self._lock = threading.Lock()
        self._session = 0

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped since."""
        return self._running

    @property
    def payload_size(self) -> int | None:
        """Bytes of a buffer where the stream defines them; else the camera does."""
        return int(self._module.payload_size) if self._module.defines_payload_size() else None

    def start(self, count: int, size: int) -> None:
        """Announce and queue `count` buffers of `size` bytes and start the engine."""
        for index in range(max(count, self._least_buffers())):
            token = gentl.BufferToken(bytes(size), index)
            self._announced.append(self._module.module.announce_buffer(token))
        for buffer in self._announced:
            self._module.queue_buffer(buffer, _CLEAR_BUFFER)
        self._module.start_acquisition(gentl.ACQ_START_FLAGS_LIST.ACQ_START_FLAGS_DEFAULT, -1)
        with self._lock:
            self._session += 1
            self._running = True

    def _least_buffers(self) -> int:
        try:
            return int(self._module.buffer_announce_min)
        except GENTL_ERRORS:
            return 1  # a producer need not know one

    def wait(self, timeout_ms: int) -> tuple[Any, int] | None:
        """Return the next filled buffer and the session that it belongs to, or None in time.

        Raises what the producer raises when the camera is gone.
        """
        try:
            self._event.update_event_data(timeout_ms)
        except gentl.TimeoutException:
            return None
        return self._event.buffer, self._session

    def give_back(self, buffer: Any, session: int) -> None:
        """Queue a buffer again. Nothing happens when its acquisition has ended since."""
        with self._lock:
            if self._running and session == self._session:
                self._module.queue_buffer(buffer, _CLEAR_BUFFER)

    def stop(self) -> None:
        """Stop the engine and revoke the buffers; may be called again where it raised halfway.

        Raises what the producer raises.
        """
        with self._lock:
            self._running = False
        if not self._announced:
            return
        # KILL: what is half filled is of no use, and a dead camera would never complete it.
        self._module.stop_acquisition(gentl.ACQ_STOP_FLAGS_LIST.ACQ_STOP_FLAGS_KILL)
        self._module.flush_buffer_queue(gentl.ACQ_QUEUE_TYPE_LIST.ACQ_QUEUE_ALL_DISCARD)
        self._event.flush_event_queue()
        while self._announced:
            self._module.revoke_buffer(self._announced.pop())

    def close(self) -> None:
        """Close the stream; it must have been stopped."""
        if self._module.is_open():
            self._module.close()
