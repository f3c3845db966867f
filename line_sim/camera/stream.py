"""The stream channel: sends blocks at the pace of the link and keeps them for resend requests."""

import errno
import socket
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from inspector.errors import DeviceError
from line_sim.camera.config import VirtualCameraConfig
from line_sim.camera.delay_line import DelayLine
from line_sim.camera.faults import Fate, FaultInjector, FaultKnobs
from line_sim.camera.gvcp import ResendRequest
from line_sim.camera.gvsp import Block, path_test_packet, unavailable_packet
from line_sim.camera.link import Link
from line_sim.camera.settings import StreamSettings
from line_sim.camera.statistics import Counters
from line_sim.camera.transmit import PacketIds, best_transmitter

# Of <linux/in.h>; Python 3.11 does not name them.
_IP_MTU_DISCOVER, _IP_PMTUDISC_DONT, _IP_PMTUDISC_DO = 10, 0, 2
_ETHERNET_OVERHEAD_BYTES = 14 + 4 + 8 + 12  # header, checksum, preamble, gap between frames
_SEND_BUFFER_BYTES = 4 << 20
_PACING_NS = 500_000  # packets go out in bursts of this much link time: sleep is no finer
_LONGEST_SLEEP_NS = 50_000_000
_MAX_UNAVAILABLE_ANSWERS = 64
_NS_PER_S = 1_000_000_000


class Stream:
    """Thread-safe: frames come from the acquisition thread, resends from the control thread."""

    def __init__(self, config: VirtualCameraConfig, counters: Counters, link: Link | None = None) -> None:
        self._counters = counters
        self._link = link or Link()
        self._delay_line = DelayLine(self._send_one)
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
        self._delay_line.close()
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

    def send_block(
        self, block: Block, settings: StreamSettings, wanted: Callable[[], bool] = lambda: True
    ) -> None:
        """Send all packets of a block, paced; returns when the last one has left.

        With a long packet delay a block can take hours: it is left unfinished when no longer `wanted`.
        """
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
            while due_ns > now_ns:
                time.sleep(min(due_ns - now_ns, _LONGEST_SLEEP_NS) / _NS_PER_S)
                now_ns = time.monotonic_ns()
                if due_ns > now_ns and not wanted():
                    return
        self._counters.add("frames_sent")

    def resend(self, request: ResendRequest, settings: StreamSettings) -> None:
        """Send packets again; those that are gone are answered with PACKET_UNAVAILABLE."""
        self._counters.add("resend_requests")
        if settings.host_port == 0:
            return
        with self._lock:
            block = self._ring.get(request.block_id)
            ignored = self._faults.knobs.no_resend
        if ignored:
            self._counters.add("resends_ignored")
            return
        if block is not None and block.extended_ids != request.extended:
            block = None
        count = block.packet_count if block is not None else 0
        if block is not None and request.first_packet < count:
            last = min(request.last_packet, count - 1)
            packet_ids = np.arange(request.first_packet, last + 1, dtype=np.int64)
            self._counters.add("packets_resent", self._transmit(block, packet_ids, settings))
            return
        gone = min(request.last_packet - request.first_packet + 1, _MAX_UNAVAILABLE_ANSWERS)
        self._counters.add("packets_unavailable", gone)
        destination = (settings.address, settings.host_port)
        for packet_id in range(request.first_packet, request.first_packet + gone):
            answer = unavailable_packet(request.block_id, packet_id, extended_ids=request.extended)
            self._send_one(answer, destination)

    def send_test_packet(self, settings: StreamSettings) -> None:
        """Send one packet of the packet size, never in fragments: its arrival is the answer."""
        if settings.host_port:
            self._set_do_not_fragment(True)
            self._send_one(path_test_packet(settings.packet_size), (settings.address, settings.host_port))

    def _transmit(self, block: Block, packet_ids: PacketIds, settings: StreamSettings) -> int:
        """Send packets with what the faults make of them; return how many left."""
        if not self._link.up:
            self._counters.add("packets_lost", len(packet_ids))
            return 0
        with self._lock:
            faults = self._faults
            surviving = faults.surviving(packet_ids)
            doubled = faults.duplicated(surviving)
            ordered, late = faults.reordered(doubled)
            fates = faults.fates(len(ordered))
        self._counters.add("packets_lost", len(packet_ids) - len(surviving))
        self._counters.add("packets_duplicated", len(doubled) - len(surviving))
        self._counters.add("packets_reordered", late)
        if not len(ordered):
            return 0
        destination = (settings.address, settings.host_port)
        if fates is None:
            refused = self._transmitter.send(block, ordered, destination)
            self._counters.add("send_errors", refused)
            return len(ordered) - refused
        for packet_id, fate in zip(ordered.tolist(), fates.tolist(), strict=True):
            self._send_damaged(block.datagram(packet_id), Fate(fate), destination)
        return len(ordered)

    def _send_damaged(self, datagram: bytes, fate: Fate, destination: tuple[str, int]) -> None:
        if fate is Fate.DELAYED:
            self._counters.add("packets_delayed")
            self._delay_line.put(datagram, destination, self._faults.knobs.delay_ms)
            return
        with self._lock:
            if fate is Fate.TRUNCATED:
                self._counters.add("packets_truncated")
                datagram = self._faults.truncated(datagram)
            elif fate is Fate.MALFORMED:
                self._counters.add("packets_malformed")
                datagram = self._faults.mangled(datagram)
        self._send_one(datagram, destination)

    def _send_one(self, packet: bytes, destination: tuple[str, int]) -> None:
        if not self._link.up:
            self._counters.add("packets_lost")
            return
        try:
            self._socket.sendto(packet, destination)
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
