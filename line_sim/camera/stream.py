"""The stream channel: sends blocks at the pace of the link and keeps them for resend requests."""

import errno
import socket
import threading
import time
from collections import OrderedDict

import numpy as np

from inspector.errors import DeviceError
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.faults import FaultInjector, FaultKnobs
from line_sim.camera.gvcp import ResendRequest
from line_sim.camera.gvsp import Block, path_test_packet, unavailable_packet
from line_sim.camera.settings import StreamSettings
from line_sim.camera.statistics import Counters
from line_sim.camera.transmit import PacketIds, best_transmitter

# Of <linux/in.h>; Python 3.11 does not name them.
_IP_MTU_DISCOVER, _IP_PMTUDISC_DONT, _IP_PMTUDISC_DO = 10, 0, 2
_ETHERNET_OVERHEAD_BYTES = 14 + 4 + 8 + 12  # header, checksum, preamble, gap between frames
_SEND_BUFFER_BYTES = 4 << 20
_PACING_NS = 500_000  # packets go out in bursts of this much link time: sleep is no finer
_MAX_UNAVAILABLE_ANSWERS = 64
_NS_PER_S = 1_000_000_000


class Stream:
    """Thread-safe: frames come from the acquisition thread, resends from the control thread."""

    def __init__(self, config: VirtualCameraConfig, counters: Counters) -> None:
        self._counters = counters
        self._link_mbit_per_s = config.link_mbit_per_s
        self._ring: OrderedDict[int, Block] = OrderedDict()
        self._ring_frames = config.resend_frames
        self._lock = threading.Lock()
        self._faults = FaultInjector(config.faults)
        self._do_not_fragment: bool | None = None
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
            self._socket.bind((config.address, 0))
        except OSError as error:
            self._socket.close()
            raise DeviceError(
                f"no camera can be at {config.address}: {error.strerror}; give an address of this host"
            ) from error
        self._transmitter = best_transmitter(self._socket)

    @property
    def source_port(self) -> int:
        return int(self._socket.getsockname()[1])

    def close(self) -> None:
        self._socket.close()

    def set_faults(self, knobs: FaultKnobs) -> None:
        """Change the faults while running; the generator starts again from the seed."""
        with self._lock:
            self._faults = FaultInjector(knobs)

    def forget_blocks(self) -> None:
        """Empty the resend ring: block ids start again with each acquisition."""
        with self._lock:
            self._ring.clear()

    def drops_frame(self) -> bool:
        """Draw whether the fault knobs drop the next frame, and count it."""
        with self._lock:
            dropped = self._faults.drops_frame()
        if dropped:
            self._counters.add("frames_dropped")
        return dropped

    def send_block(self, block: Block, settings: StreamSettings) -> None:
        """Send all packets of a block, paced; returns when the last one has left."""
        if settings.host_port == 0:
            return
        with self._lock:
            self._ring[block.block_id] = block
            while len(self._ring) > self._ring_frames:
                self._ring.popitem(last=False)
        self._set_do_not_fragment(settings.do_not_fragment)
        interval_ns = settings.packet_delay_ns + self._wire_ns(settings.packet_size)
        burst = block.packet_count
        if interval_ns:
            burst = max(1, round(_PACING_NS / interval_ns))
        packet_ids = np.arange(block.packet_count, dtype=np.int64)
        due_ns = time.monotonic_ns()
        for first in range(0, block.packet_count, burst):
            chosen = packet_ids[first : first + burst]
            self._counters.add("packets_sent", self._transmit(block, chosen, settings))
            # No wire makes up for lost time: after a stall of this process at most one burst is sent
            # early, else the receiver's socket buffer (208 KiB by default) would overflow.
            now_ns = time.monotonic_ns()
            due_ns = max(due_ns + round(len(chosen) * interval_ns), now_ns - _PACING_NS)
            if due_ns > now_ns:
                time.sleep((due_ns - now_ns) / _NS_PER_S)
        self._counters.add("frames_sent")

    def resend(self, request: ResendRequest, settings: StreamSettings) -> None:
        """Send packets again; those that are gone are answered with PACKET_UNAVAILABLE."""
        self._counters.add("resend_requests")
        if settings.host_port == 0:
            return
        with self._lock:
            block = self._ring.get(request.block_id)
        count = block.packet_count if block is not None else 0
        if block is not None and request.first_packet < count:
            last = min(request.last_packet, count - 1)
            packet_ids = np.arange(request.first_packet, last + 1, dtype=np.int64)
            self._counters.add("packets_resent", self._transmit(block, packet_ids, settings))
            return
        gone = min(request.last_packet - request.first_packet + 1, _MAX_UNAVAILABLE_ANSWERS)
        self._counters.add("packets_unavailable", gone)
        for packet_id in range(request.first_packet, request.first_packet + gone):
            self._send_one(unavailable_packet(request.block_id, packet_id), settings)

    def send_test_packet(self, settings: StreamSettings) -> None:
        """Send one packet of the packet size, never in fragments: its arrival is the answer."""
        if settings.host_port:
            self._set_do_not_fragment(True)
            self._send_one(path_test_packet(settings.packet_size), settings)

    def _transmit(self, block: Block, packet_ids: PacketIds, settings: StreamSettings) -> int:
        with self._lock:
            surviving = self._faults.surviving(packet_ids)
        self._counters.add("packets_lost", len(packet_ids) - len(surviving))
        if not len(surviving):
            return 0
        refused = self._transmitter.send(block, surviving, (settings.address, settings.host_port))
        self._counters.add("send_errors", refused)
        return len(surviving) - refused

    def _send_one(self, packet: bytes, settings: StreamSettings) -> None:
        try:
            self._socket.sendto(packet, (settings.address, settings.host_port))
        except OSError as error:
            if error.errno == errno.EBADF:
                raise
            self._counters.add("send_errors")

    def _set_do_not_fragment(self, wanted: bool) -> None:
        if wanted != self._do_not_fragment:
            mode = _IP_PMTUDISC_DO if wanted else _IP_PMTUDISC_DONT
            self._socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, mode)
            self._do_not_fragment = wanted

    def _wire_ns(self, packet_size: int) -> float:
        if self._link_mbit_per_s is None:
            return 0.0
        return (packet_size + _ETHERNET_OVERHEAD_BYTES) * 8000 / self._link_mbit_per_s
