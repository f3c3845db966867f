"""How many frames a second our GenTL producer takes, at what cost; prints a table of medians.

    python tests/bench/bench_acquisition.py [--seconds 2] [--runs 5] [--only veth|loopback] [--quick] [--json]
    python tests/bench/bench_acquisition.py --line-rate     # 60 s at 1 Gbit/s, our producer only, once
    python tests/bench/bench_acquisition.py --loss 0.01     # the same with one packet of a hundred lost

1280x1024 Mono8 from the virtual camera and from Aravis' fake camera, received by our producer (called
through its C interface) and by arv-camera-test-0.8. As root the camera gets a network namespace, with a
veth pair to it: as it is, and as a link of 1 Gbit/s (tc tbf on the camera's side). Otherwise
loopback. Both sides share this machine's cores, so unpaced rates are those of the two together.

Columns: complete frames/s; frames incomplete or lost; CPU of the receiving process and of the camera's, in
% of a core, and of both in ms a frame (which load on the machine bends less);
from the kernel's time stamp of the trailer packet to the frame in the caller's hands, us, median and
99th percentile (needs root; "-" without).

With --loss the camera leaves a tenth of the link free for packets that are sent again. The table says
what became of the frames that the camera began, by its own count. `uncounted` must be 0; exit
status 1 where it is not, and up to 1 % of loss where a frame is incomplete or lost.
"""

import argparse
import contextlib
import ctypes
import itertools
import json
import os
import re
import resource
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from ctypes import byref, c_size_t, c_uint8, c_uint64, c_void_p
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[1]))

from cameras import FAKE_CAMERA, CameraProcess, build_producer
from gentl_calls import OK, Gentl, Opened
from network import CameraNetwork, camera_network, why_no_namespaces

from line_sim.camera import FaultKnobs, PatternSource, VirtualCamera, VirtualCameraConfig

WIDTH, HEIGHT = 1280, 1024
BUFFERS = 24
WARM_UP_S = 0.3
BUFFER_INFO_FRAMEID = 16
LOOPBACK_ADDRESS = "127.0.0.251"
# On a full link packets sent again wait behind later frames; cameras have DeviceLinkThroughputLimit.
ROOM_FOR_RESENDS_MBIT_PER_S = 900.0
SAVED_BY_RESENDS = 0.01  # of the packets lost: nothing may be missing then
# Registers of Aravis' fake camera; 20 us is faster than it can send.
FAKE_SET_UP = {0x0100: WIDTH, 0x0104: HEIGHT, 0x0138: 20, 0x0120: 1}
FAKE_START = 0x0124
TEST_TOOL = "arv-camera-test-0.8"
_SO_TIMESTAMPNS, _ETH_P_IP, _SO_ATTACH_FILTER = 35, 0x0800, 26
FRAME_KINDS = ("Completed", "Incomplete", "Lost")
_LOSS_ROW = "{:>7} {:>6} {:>9} {:>10} {:>6} {:>10} {:>13} {:>8}"
_ROW = "{:9} {:9} {:29} {:>6} {:>8} {:>5} {:>6} {:>7} {:>11} {:>11}"


@dataclass(frozen=True, slots=True)
class Case:
    network: str
    link: str
    source: str
    receiver: str
    packet_size: int
    loss: float = 0.0


# -- receiving ---------------------------------------------------------------------------------------


class TrailerTimes(threading.Thread):
    """The kernel's arrival time of each trailer packet, by block id. Needs CAP_NET_RAW."""

    def __init__(self, source: str) -> None:
        super().__init__(daemon=True)
        self.at_ns: dict[int, int] = {}
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ETH_P_IP))
        (address,) = struct.unpack("!I", socket.inet_aton(source))
        # IPv4 from the camera, UDP, GVSP format "trailer" (byte 4 of the payload, header of 20 bytes).
        program = [(0x20, 0, 0, 12), (0x15, 0, 3, address), (0x30, 0, 0, 32), (0x15, 0, 1, 2)]
        program += [(0x06, 0, 0, 64), (0x06, 0, 0, 0)]
        code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *line) for line in program))
        self.socket.setsockopt(
            socket.SOL_SOCKET,
            _SO_ATTACH_FILTER,
            struct.pack("HxxxxxxQ", len(program), ctypes.addressof(code)),
        )
        self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)

    def run(self) -> None:
        while True:
            data, ancillary, _flags, _address = self.socket.recvmsg(64, 64)
            seconds, nanoseconds = struct.unpack("qq", ancillary[0][2])
            self.at_ns[struct.unpack_from("!H", data, 30)[0]] = seconds * 10**9 + nanoseconds


def receive(address: str, source: str, packet_size: int, seconds: float) -> dict[str, float]:
    """Stream for `seconds` with our producer, called in this process."""
    os.environ["INSPECTOR_GEV_ADDRESSES"] = address
    os.environ["INSPECTOR_GEV_PACKET_SIZE"] = str(packet_size)
    os.environ["INSPECTOR_GEV_PACKET_SIZE_NEGOTIATE"] = "0"
    gentl = Gentl(build_producer())
    gentl.ok("GCInitLib")
    at = Opened(gentl, CameraProcess([], address, ""))
    set_up = FAKE_SET_UP if source == "arv-fake" else {}
    for register, value in set_up.items():
        assert at.write(register, value) == OK
    memory = ctypes.create_string_buffer(BUFFERS * WIDTH * HEIGHT)
    for index in range(BUFFERS):
        block = ctypes.addressof(memory) + index * WIDTH * HEIGHT
        buffer = gentl.handle("DSAnnounceBuffer", at.stream, c_void_p(block), c_size_t(WIDTH * HEIGHT), None)
        gentl.ok("DSQueueBuffer", at.stream, buffer)
    times = None
    with contextlib.suppress(PermissionError):
        times = TrailerTimes(address)
        times.start()
    start = FAKE_START if source == "arv-fake" else at.feature_address("AcquisitionStart")
    gentl.ok("DSStartAcquisition", at.stream, 0, c_uint64(2**64 - 1))
    assert at.write(start, 1) == OK
    result = _count(gentl, at, times, seconds)
    gentl.ok("DSStopAcquisition", at.stream, 1)
    last = result["last_id"]
    while (waiting := at.next_buffer(0))[0] == OK:
        with contextlib.suppress(AssertionError):  # without its leader a frame has no id
            last = max(last, gentl.number("DSGetBufferInfo", at.stream, waiting[1], BUFFER_INFO_FRAMEID))
    kinds = {kind.lower(): at.stream_feature(f"Stream{kind}FrameCount") for kind in FRAME_KINDS}
    asked, resent = (at.stream_feature(f"StreamRes{each}Count") for each in ("endRequest", "entPacket"))
    uncounted = max(0, last - sum(kinds.values()))
    result |= kinds | {"last_id": last, "uncounted": uncounted, "asked": asked, "resent": resent}
    at.close()
    return result


def _count(gentl: Gentl, at: Opened, times: TrailerTimes | None, seconds: float) -> dict[str, float]:
    data, size, flag = (c_void_p * 2)(), c_size_t(16), c_uint8()
    frame_id = c_uint64()
    complete = incomplete = last_id = 0
    ids: list[int] = []
    taken: list[tuple[int, int]] = []
    library = gentl.library
    warm = time.monotonic() + WARM_UP_S
    begun, cpu, ends = 0.0, 0.0, warm + seconds
    while (now := time.monotonic()) < ends:
        if library.EventGetData(at.event, data, byref(size), c_uint64(200)) != OK:
            continue
        arrived = time.clock_gettime_ns(time.CLOCK_REALTIME)
        buffer = c_void_p(data[0])
        one, eight = c_size_t(1), c_size_t(8)
        library.DSGetBufferInfo(at.stream, buffer, 7, None, byref(flag), byref(one))
        library.DSGetBufferInfo(at.stream, buffer, BUFFER_INFO_FRAMEID, None, byref(frame_id), byref(eight))
        library.DSQueueBuffer(at.stream, buffer)
        last_id = max(last_id, frame_id.value)
        if not begun:
            if now >= warm:
                begun, cpu = time.monotonic(), time.process_time()
            continue
        complete += not flag.value
        incomplete += flag.value
        if not flag.value:
            ids.append(frame_id.value)
            taken.append((frame_id.value, arrived))
    took, cpu = time.monotonic() - begun, time.process_time() - cpu
    lost = sum((new - old) % 0xFFFF - 1 for old, new in itertools.pairwise(ids)) - incomplete
    at_ns = times.at_ns if times else {}
    latency = sorted((arrived - at_ns[block]) / 1000 for block, arrived in taken if block in at_ns)
    return {
        "fps": complete / took,
        "bad": incomplete + max(0, lost),
        "cpu": 100 * cpu / took,
        "p50": statistics.median(latency) if latency else -1,
        "p99": latency[int(0.99 * len(latency))] if latency else -1,
        "last_id": last_id,
    }


def receive_with_aravis(address: str, source: str, packet_size: int, seconds: float) -> dict[str, float]:
    """Stream for `seconds` with Aravis' own test program. It has no address option, only names."""
    name = "Aravis-Fake-BENCH" if source == "arv-fake" else "inspector-BENCH"
    command = [TEST_TOOL, "--name", name if source != "arv-fake" else address, "--auto"]
    command += ["--duration", str(round(seconds)), "--gv-packet-size", str(packet_size), "--no-packet-socket"]
    command += ["--packet-size-adjustment", "never", "--width", str(WIDTH), "--height", str(HEIGHT)]
    command += ["--frequency", "2000", "--exposure", "10"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + seconds, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    found = {key: int(value) for key, value in re.findall(r"^(n_\w+)\s*= (\d+)$", done.stdout, re.MULTILINE)}
    if not found:
        return {"fps": -1, "bad": -1, "cpu": -1, "p50": -1, "p99": -1}
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    bad = found["n_failures"] + found["n_missing_frames"]
    fps = found["n_completed_buffers"] / round(seconds)
    return {"fps": fps, "bad": bad, "cpu": 100 * cpu / seconds, "p50": -1, "p99": -1}


# -- cameras and networks ------------------------------------------------------------------------------


def run_camera(address: str, packet_size: int, loss: float) -> None:
    """Be the virtual camera until the standard input ends."""
    config = VirtualCameraConfig(
        address=address,
        serial="BENCH",
        width=WIDTH,
        height=HEIGHT,
        frame_rate_hz=2000.0,
        exposure_us=1000.0,  # its nominal one, at which the picture goes out as it is
        packet_size=packet_size,
        link_mbit_per_s=ROOM_FOR_RESENDS_MBIT_PER_S if loss else None,
        faults=FaultKnobs(loss=loss, seed=1),
    )
    with VirtualCamera(config, PatternSource()):
        print("ready", flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def camera(case: Case, network: CameraNetwork | None) -> Iterator[psutil.Process]:
    address = network.camera_address if network else LOOPBACK_ADDRESS
    command = [sys.executable, __file__, "--camera", address, "--packet-size", str(case.packet_size)]
    command += ["--loss", str(case.loss)]
    if case.source == "arv-fake":
        command = [FAKE_CAMERA, "-i", address, "-s", "BENCH"]
    inside = network.inside() if network else []
    process = subprocess.Popen(inside + command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    if case.source == "virtual":
        process.stdout.readline()
    else:
        time.sleep(0.7)
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()
        process.communicate()


def measure(case: Case, network: CameraNetwork | None, seconds: float) -> dict[str, float]:
    if network:
        network.set_mtu(case.packet_size)
        network.set_rate("1gbit" if case.link == "1 Gbit/s" else None)
    address = network.camera_address if network else LOOPBACK_ADDRESS
    with camera(case, network) as sender:
        before = sum(sender.cpu_times()[:2])
        command = [sys.executable, __file__, "--receive", address, "--source", case.source]
        command += ["--packet-size", str(case.packet_size), "--seconds", str(seconds)]
        command += ["--with", case.receiver]
        done = subprocess.run(command, capture_output=True, text=True, timeout=90 + seconds, check=False)
        spent = sum(sender.cpu_times()[:2]) - before
    if done.returncode != 0:
        sys.exit(f"{case}: {done.stderr[-2000:]}")
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    result["sender"] = 100 * spent / (seconds + WARM_UP_S)
    return result


def cases(network: str, quick: bool, line_rate: bool) -> Iterator[Case]:
    sources = ["virtual"] + (["arv-fake"] if shutil.which(FAKE_CAMERA) and not quick else [])
    receivers = ["ours"] + ([TEST_TOOL] if shutil.which(TEST_TOOL) and not quick else [])
    links = ["1 Gbit/s", "unpaced"] if network == "veth" else ["unpaced"]
    links = links[:1] if line_rate else links
    for link, size, source, receiver in itertools.product(links, (1500, 9000), sources, receivers):
        # Aravis' fake camera takes an interface's own address only, which may have a camera.
        if network == "veth" or source == "virtual":
            yield Case(network, link, source, receiver, size)


def table(arguments: argparse.Namespace, network: CameraNetwork | None) -> None:
    heads = (
        "network",
        "link",
        "camera > receiver",
        "packet",
        "frames/s",
        "bad",
        "CPU %",
        "sender",
        "ms/frame",
    )
    if not arguments.json:
        print(_ROW.format(*heads, "us 50/99%"))
    for case in cases("veth" if network else "loopback", arguments.quick, arguments.line_rate):
        runs = [measure(case, network, arguments.seconds) for _ in range(arguments.runs)]
        middle = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        per_frame = [10 * middle[key] / max(middle["fps"], 0.1) for key in ("cpu", "sender")]
        if arguments.json:
            costs = {"receiver_ms_per_frame": per_frame[0], "sender_ms_per_frame": per_frame[1]}
            print(json.dumps({**asdict(case), "runs": len(runs), **middle, **costs}), flush=True)
            continue
        latency = f"{middle['p50']:.0f}/{middle['p99']:.0f}" if middle["p50"] >= 0 else "-"
        cells = [f"{middle['fps']:.1f}", f"{middle['bad']:.0f}", f"{middle['cpu']:.1f}"]
        cells += [f"{middle['sender']:.0f}", "/".join(f"{each:.2f}" for each in per_frame), latency]
        pair = f"{case.source}>{case.receiver}"
        print(_ROW.format(case.network, case.link, pair, case.packet_size, *cells), flush=True)


def lossy(arguments: argparse.Namespace, network: CameraNetwork | None) -> bool:
    """What becomes of the frames when packets are lost; return whether all is as it must be."""
    heads = ("packet", "loss", "frames", "incomplete", "lost", "uncounted", "packets asked", "resent")
    if not arguments.json:
        print(_LOSS_ROW.format(*heads))
    good = True
    for case in cases("veth" if network else "loopback", quick=True, line_rate=True):
        lossy_case = replace(case, loss=arguments.loss)
        seen = measure(lossy_case, network, arguments.seconds)
        spoiled = seen["incomplete"] + seen["lost"] if arguments.loss <= SAVED_BY_RESENDS else 0
        good &= seen["completed"] > 0 and not spoiled and not seen["uncounted"]
        cells = (seen[key] for key in ("last_id", "incomplete", "lost", "uncounted", "asked", "resent"))
        row = _LOSS_ROW.format(case.packet_size, arguments.loss, *cells)
        print(json.dumps({**asdict(lossy_case), **seen}) if arguments.json else row, flush=True)
    return good


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--only", choices=("veth", "loopback"))
    parser.add_argument("--quick", action="store_true", help="the virtual camera and our producer only")
    parser.add_argument("--json", action="store_true", help="one object a row instead of the table")
    parser.add_argument(
        "--line-rate",
        action="store_true",
        help="60 s (or --seconds) at 1 Gbit/s: nothing may be lost at 98 %% of 90.8 and 94.6 frames/s",
    )
    parser.add_argument(
        "--loss", type=float, default=0.0, help="share of packets lost; 60 s (or --seconds) each"
    )
    parser.add_argument("--camera", help=argparse.SUPPRESS)
    parser.add_argument("--receive", help=argparse.SUPPRESS)
    parser.add_argument("--source", help=argparse.SUPPRESS)
    parser.add_argument("--with", dest="receiver", default="ours", help=argparse.SUPPRESS)
    parser.add_argument("--packet-size", type=int, default=1500, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.line_rate:
        arguments.quick, arguments.runs, arguments.only = True, 1, "veth"
    arguments.seconds = arguments.seconds or (60.0 if arguments.line_rate or arguments.loss else 2.0)
    if arguments.camera:
        run_camera(arguments.camera, arguments.packet_size, arguments.loss)
    elif arguments.receive:
        call = receive if arguments.receiver == "ours" else receive_with_aravis
        result = call(arguments.receive, arguments.source, arguments.packet_size, arguments.seconds)
        print(json.dumps(result))
    else:
        build_producer()
        missing = why_no_namespaces()
        if missing and arguments.only == "veth":
            sys.exit(missing)
        veth = arguments.only != "loopback" and not missing
        with camera_network() if veth else contextlib.nullcontext() as network:
            if arguments.loss:
                sys.exit(0 if lossy(arguments, network) else 1)
            table(arguments, network)


if __name__ == "__main__":
    main()
