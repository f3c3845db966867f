"""How many frames a second the virtual camera sends over loopback; prints a table.

    python tests/bench/bench_virtual_camera.py [--seconds 2] [--width 1280 --height 1024]

The receiver is arv-camera-test-0.8 where it is installed (its own count of complete frames),
else a plain socket that throws the packets away. Loopback has no link to wait for, so these
are the figures of the sender and the receiver on this machine, both on its cores.
"""

import argparse
import re
import shutil
import socket
import subprocess
import time

import numpy as np

from line_sim.camera import PatternSource, VirtualCamera, VirtualCameraConfig
from line_sim.camera.gvsp import ImageGeometry, image_block
from line_sim.camera.transmit import SendmmsgTransmitter, SendmsgTransmitter, Transmitter

_ADDRESS = "127.0.0.250"


def sender_fps(kind: str, packet_size: int, width: int, height: int, seconds: float) -> float:
    """Return frames/s of a transmitter alone, into a socket that is read by a thread."""
    payload = np.zeros(width * height, dtype=np.uint8)
    geometry = ImageGeometry(pixel_format_code=0x01080001, width=width, height=height, offset_x=0, offset_y=0)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink,
    ):
        sink.bind(("127.0.0.1", 0))
        transmitter: Transmitter = SendmsgTransmitter(sender)
        if kind == "sendmmsg":
            transmitter = SendmmsgTransmitter(sender)
        frames, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            frames += 1
            block = image_block(frames % 0xFFFF + 1, payload, geometry, frames, packet_size)
            transmitter.send(block, np.arange(block.packet_count), sink.getsockname())
        return frames / (time.perf_counter() - started)


def received_fps(
    binary: str, config: VirtualCameraConfig, packet_size: int, seconds: float
) -> tuple[int, int]:
    """Return (complete frames, frames with packets missing) as Aravis counts them."""
    with VirtualCamera(config, PatternSource()):
        done = subprocess.run(
            (
                *(binary, "--name", f"{config.vendor}-{config.serial}", "--duration", str(int(seconds))),
                *("--gv-packet-size", str(packet_size), "--no-packet-socket", "--frequency", "2000"),
                *("--exposure", "10", "--auto", "--packet-size-adjustment", "never"),
            ),
            capture_output=True,
            text=True,
            timeout=60 + seconds,
            check=True,
        )
    found = {key: int(value) for key, value in re.findall(r"^(n_\w+)\s*= (\d+)$", done.stdout, re.MULTILINE)}
    return found["n_completed_buffers"], found["n_failures"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--width", type=int, default=1280)
    parser.add_argument("--height", type=int, default=1024)
    options = parser.parse_args()
    binary = shutil.which("arv-camera-test-0.8")
    print(f"{options.width}x{options.height} Mono8 over loopback, {options.seconds:g} s each")
    print(f"{'what':44} {'packet':>7} {'frames/s':>9} {'failed':>7}")
    for packet_size in (1500, 9000):
        for kind in ("sendmsg", "sendmmsg"):
            fps = sender_fps(kind, packet_size, options.width, options.height, options.seconds)
            print(f"{f'{kind} alone, nobody reads':44} {packet_size:7} {fps:9.0f} {'':>7}")
        for label, link in (
            ("camera to Aravis, link of 1 Gbit/s", 1000.0),
            ("camera to Aravis, no link limit", None),
        ):
            if binary is None:
                continue
            config = VirtualCameraConfig(
                address=_ADDRESS,
                serial="BENCH",
                width=options.width,
                height=options.height,
                packet_size=packet_size,
                link_mbit_per_s=link,
            )
            complete, failed = received_fps(binary, config, packet_size, options.seconds)
            print(f"{label:44} {packet_size:7} {complete / options.seconds:9.0f} {failed:7}")
    if binary is None:
        print("(arv-camera-test-0.8 is not installed: apt install aravis-tools for the receiver's figures)")


if __name__ == "__main__":
    main()
