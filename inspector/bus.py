"""Messages and frames between our processes, over iceoryx2 shared memory.

A `Bus` is one process' door. It belongs to one thread; only `wake` may be called from others.
All processes of a cell share a domain: its shared memory and files carry the domain's name, so
that `sweep` can remove whatever a killed process left.
"""

import ctypes
import os
import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

import iceoryx2 as iox
import msgspec
import numpy as np
import numpy.typing as npt

from inspector.errors import DataError, InvariantError
from inspector.topics import MAX_DEPTH, Topic, frames_topic
from inspector.types import Frame, FrameMeta, Message

M = TypeVar("M", bound=Message)

_HEADER = struct.Struct("<QI")  # sequence number of the publisher, length of the encoded message
_FRAME_HEADER = struct.Struct("<QIQ")  # the same, and how many bytes of pixels follow
_PAGE = 4096  # pixels start on a page, so that a GPU can map them
_MAX_SUBSCRIBERS = 6
_MAX_PUBLISHERS = 16
_MAX_BORROWED = 34  # frames that one reader may hold: twice the most requests in flight, and two
_SHM = Path("/dev/shm")  # where iceoryx2 puts its segments on Linux

iox.set_log_level(iox.LogLevel.Fatal)


def _root(domain: str) -> Path:
    return Path(tempfile.gettempdir()) / f"inspector_{domain}"


def _config(domain: str) -> Any:
    config = iox.config.default()
    config.global_cfg.prefix = iox.FileName.new(f"inspector_{domain}_")
    config.global_cfg.root_path = iox.Path.new(str(_root(domain)))
    return config


def sweep(domain: str) -> int:
    """Remove every trace of a domain whose processes are all gone. Returns how many files went."""
    leftovers = list(_SHM.glob(f"inspector_{domain}_*"))
    for leftover in leftovers:
        leftover.unlink(missing_ok=True)
    shutil.rmtree(_root(domain), ignore_errors=True)
    return len(leftovers)


def stale_domains() -> list[str]:
    """Domains named after a process (`<pid>`) that no longer runs: the supervisor was killed."""
    names = {path.name.split("_")[1] for path in _SHM.glob("inspector_*_*")}
    names |= {path.name.split("_")[1] for path in Path(tempfile.gettempdir()).glob("inspector_*")}
    return [name for name in sorted(names) if name.isdigit() and not Path(f"/proc/{name}").exists()]


class Publisher(Generic[M]):
    """Sends messages of one topic. Never blocks; a reader that is too slow loses the oldest."""

    def __init__(self, port: Any, notifier: Any, topic: Topic[M]) -> None:
        self._port = port
        self._notifier = notifier
        self._topic = topic
        self._encode = msgspec.msgpack.Encoder().encode
        self._seq = 0

    def send(self, message: M) -> None:
        """Hand the message to every reader."""
        body = self._encode(message)
        data = _HEADER.pack(self._seq, len(body)) + body
        self._seq += 1
        loan = self._port.loan_slice_uninit(len(data))
        ctypes.memmove(loan.payload_ptr, data, len(data))
        loan.assume_init().send()
        self._notifier.notify()


class _Gaps:
    """Counts what a queue dropped, by the gaps in each publisher's sequence."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}
        self.dropped = 0

    def seen(self, publisher: str, seq: int) -> None:
        expected = self._next.get(publisher)
        if expected is not None and seq > expected:
            self.dropped += seq - expected
        self._next[publisher] = seq + 1


class Subscriber(Generic[M]):
    """Receives messages of one topic, oldest first. `dropped` counts those that did not fit."""

    def __init__(self, port: Any, topic: Topic[M]) -> None:
        self._port = port
        self._decode = msgspec.msgpack.Decoder(topic.type).decode
        self._topic = topic
        self._gaps = _Gaps()

    @property
    def dropped(self) -> int:
        return self._gaps.dropped

    def drain(self) -> Iterator[M]:
        """Yield everything that is waiting."""
        while (sample := self._port.receive()) is not None:
            raw = ctypes.string_at(sample.payload_ptr, sample.header.number_of_elements)
            seq, length = _HEADER.unpack_from(raw)
            self._gaps.seen(str(sample.header.publisher_id), seq)
            try:
                yield self._decode(raw[_HEADER.size : _HEADER.size + length])
            except msgspec.DecodeError as error:
                text = f"{self._topic.name}: a process of another version speaks: {error}"
                raise InvariantError(text) from error


def _receive(port: Any) -> Any:
    """Take the next frame, or None. Holding more frames than the bus lends is a defect of the reader."""
    try:
        return port.receive()
    except iox.ReceiveError as error:
        raise InvariantError(f"this reader holds too many frames: {error}") from error


def _pixels_address(payload: int) -> int:
    """First page boundary after the header. Mappings start on a page, so all processes agree on it."""
    return (payload + _PAGE + _PAGE - 1) // _PAGE * _PAGE


def _bytes_at(address: int, size: int, owner: Any) -> npt.NDArray[np.uint8]:
    """View shared memory as an array that keeps its sample or loan alive."""
    buffer: Any = (ctypes.c_uint8 * size).from_address(address)
    buffer.owner = owner
    return np.frombuffer(buffer, dtype=np.uint8)


class FrameSlot:
    """A free place in shared memory for one frame. Write `pixels`, then `send`."""

    def __init__(self, loan: Any, size: int, owner: "FramePublisher") -> None:
        self._loan = loan
        self._owner = owner
        self.pixels = _bytes_at(_pixels_address(loan.payload_ptr), size, loan)

    def send(self, meta: FrameMeta) -> None:
        """Hand the frame to every reader. The slot must not be touched afterwards."""
        head = self._owner.header(meta, self.pixels.size)
        ctypes.memmove(self._loan.payload_ptr, head, len(head))
        self._loan.assume_init().send()
        self._owner.notify()


class FramePublisher:
    """Puts one camera's frames into shared memory, once, where all readers see them."""

    def __init__(self, port: Any, notifier: Any) -> None:
        self._port = port
        self._notifier = notifier
        self._seq = 0

    def loan(self, size_bytes: int) -> FrameSlot:
        return FrameSlot(self._port.loan_slice_uninit(size_bytes + 2 * _PAGE), size_bytes, self)

    def header(self, meta: FrameMeta, size_bytes: int) -> bytes:
        body = msgspec.msgpack.encode(meta)
        head = _FRAME_HEADER.pack(self._seq, len(body), size_bytes) + body
        if len(head) > _PAGE:
            raise InvariantError(f"frame header of {len(head)} bytes does not fit a page")
        self._seq += 1
        return head

    def notify(self) -> None:
        self._notifier.notify()


class FrameSubscriber:
    """Receives one camera's frames without copying them."""

    def __init__(self, port: Any) -> None:
        self._port = port
        self._decode = msgspec.msgpack.Decoder(FrameMeta).decode
        self._gaps = _Gaps()

    @property
    def dropped(self) -> int:
        return self._gaps.dropped

    def drain(self) -> Iterator[Frame]:
        """Yield the frames that wait. Each holds its place in shared memory until it is let go."""
        while (sample := _receive(self._port)) is not None:
            head = ctypes.string_at(sample.payload_ptr, _PAGE)
            seq, length, size_bytes = _FRAME_HEADER.unpack_from(head)
            self._gaps.seen(str(sample.header.publisher_id), seq)
            meta = self._decode(head[_FRAME_HEADER.size : _FRAME_HEADER.size + length])
            yield Frame(
                meta, shaped(meta, _bytes_at(_pixels_address(sample.payload_ptr), size_bytes, sample))
            )


def shaped(meta: FrameMeta, raw: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """View raw bytes as the image that `meta` describes, read-only.

    Raises:
        DataError: the bytes are not as many as the format and size need.
    """
    image: npt.NDArray[np.uint8] | npt.NDArray[np.uint16] = raw
    if meta.pixel_format in {"Mono10", "Mono12", "Mono16"}:
        image = raw.view(np.uint16)
    channels = 3 if meta.pixel_format in {"RGB8", "BGR8"} else 1
    shape = (meta.height_px, meta.width_px, 3)[: 3 if channels == 3 else 2]
    if image.size != meta.height_px * meta.width_px * channels:
        raise DataError(
            f"{meta.camera_id} frame {meta.frame_id}: {raw.size} bytes are not "
            f"{meta.width_px}x{meta.height_px} {meta.pixel_format}"
        )
    image = image.reshape(shape)
    image.flags.writeable = False
    return image


class Bus:
    """One process' connection to the cell. Close it, or use it as a context."""

    def __init__(self, domain: str, name: str) -> None:
        _root(domain).mkdir(parents=True, exist_ok=True)
        self._domain = domain
        self._node = (
            iox.NodeBuilder.new()
            .name(iox.NodeName.new(name))
            .config(_config(domain))
            .signal_handling_mode(iox.SignalHandlingMode.Disabled)
            .create(iox.ServiceType.Ipc)
        )
        self._waitset = (
            iox.WaitSetBuilder.new()
            .signal_handling_mode(iox.SignalHandlingMode.Disabled)
            .create(iox.ServiceType.Ipc)
        )
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._listeners: list[Any] = []
        wake = iox.FileDescriptor.non_owning_new(self._wake_fd)
        self._guards = [self._waitset.attach_notification_fd(wake)]

    # -- ports -----------------------------------------------------------------------------------

    def publisher(self, topic: Topic[M]) -> Publisher[M]:
        port = (
            self._channel(topic.name, topic.depth)
            .publisher_builder()
            .initial_max_slice_len(4096)
            .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
            .create()
        )
        return Publisher(port, self._notifier(topic.name), topic)

    def subscriber(self, topic: Topic[M]) -> Subscriber[M]:
        port = self._channel(topic.name, topic.depth).subscriber_builder().create()
        self._listen(topic.name)
        return Subscriber(port, topic)

    def frame_publisher(self, camera_id: str, frame_bytes: int) -> FramePublisher:
        name = frames_topic(camera_id)
        port = (
            self._channel(name, MAX_DEPTH)
            .publisher_builder()
            .initial_max_slice_len(frame_bytes + 2 * _PAGE)
            .allocation_strategy(iox.AllocationStrategy.PowerOfTwo)
            .create()
        )
        return FramePublisher(port, self._notifier(name))

    def frame_subscriber(self, camera_id: str, depth: int = MAX_DEPTH) -> FrameSubscriber:
        """Of more than `depth` frames that wait, the newest are kept."""
        name = frames_topic(camera_id)
        port = self._channel(name, MAX_DEPTH).subscriber_builder().buffer_size(depth).create()
        self._listen(name)
        return FrameSubscriber(port)

    # -- waiting ---------------------------------------------------------------------------------

    def wait(self, timeout_ns: int) -> None:
        """Sleep until a subscribed topic has something, `wake` is called, or the time is over."""
        if timeout_ns > 0:
            self._waitset.wait_and_process_with_timeout(iox.Duration.from_nanos(timeout_ns))
        for listener in self._listeners:
            listener.try_wait()
        try:
            os.eventfd_read(self._wake_fd)
        except BlockingIOError:
            return  # nobody called wake

    def wake(self) -> None:
        """End a `wait` from any thread, also one that is about to begin."""
        os.eventfd_write(self._wake_fd, 1)

    # -- housekeeping ----------------------------------------------------------------------------

    def bury_dead(self) -> None:
        """Free what killed processes of this domain held (ports, borrowed frames)."""
        self._node.try_cleanup_dead_nodes()

    def close(self) -> None:
        self._guards.clear()
        self._listeners.clear()
        self._waitset.delete()
        os.close(self._wake_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _channel(self, name: str, depth: int) -> Any:
        return (
            self._node.service_builder(iox.ServiceName.new(name))
            .publish_subscribe(iox.Slice[ctypes.c_uint8])
            .subscriber_max_buffer_size(depth)
            .subscriber_max_borrowed_samples(_MAX_BORROWED)
            .max_publishers(_MAX_PUBLISHERS)
            .max_subscribers(_MAX_SUBSCRIBERS)
            .max_nodes(32)
            .history_size(0)
            .enable_safe_overflow(True)
            .open_or_create()
        )

    def _event(self, name: str) -> Any:
        return (
            self._node.service_builder(iox.ServiceName.new(name))
            .event()
            .max_notifiers(_MAX_PUBLISHERS)
            .max_listeners(_MAX_SUBSCRIBERS)
            .max_nodes(32)
            .open_or_create()
        )

    def _notifier(self, name: str) -> Any:
        return self._event(name).notifier_builder().create()

    def _listen(self, name: str) -> None:
        listener = self._event(name).listener_builder().create()
        self._guards.append(self._waitset.attach_notification(listener))
        self._listeners.append(listener)
