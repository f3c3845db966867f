"""The way over the broker: an emergency against a bare echo, and a storm of sensor events.

    python tests/bench/bench_mqtt.py emergency --count 2000
    python tests/bench/bench_mqtt.py storm --rate 5000 --seconds 60

A real mosquitto; the arbiter service, the echo and this publisher are processes of their own. `emergency`
goes from the sensor's publish to the verdict at a subscriber; the echo goes the same two hops through the
same broker (publisher, broker, echo, broker, publisher), alternating with it, so that the ratio says what
deciding adds. `storm` sends readings of ten sensors at QoS 1, and a trigger each 100 ms. No camera runs, so
each verdict comes at the end of its part's time, and must be at the subscriber by the part's deadline.
"""

import argparse
import contextlib
import json
import queue
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import psutil
from brokers import Mosquitto
from mqtt_processes import PING, PONG, SENSORS, SITE, TOPICS, at_once
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from inspector.config_load import load_site

WITHIN_S = 20.0
HEARD = (TOPICS.verdict, TOPICS.undelivered, PONG)
DEADLINE_MS = load_site(SITE).site.decision.deadline_ms
PROCESSES = Path(__file__).with_name("mqtt_processes.py")


class Peer:
    """Publishes, and hears verdicts and echoes with the time at which they came."""

    def __init__(self, port: int) -> None:
        self.heard: queue.SimpleQueue[tuple[int, str, dict[str, object]]] = queue.SimpleQueue()
        self._client = Client(CallbackAPIVersion.VERSION2, client_id="bench", protocol=MQTTv5)
        self._client.max_inflight_messages_set(0)
        self._client.on_message = self._hear
        self._client.on_socket_open = at_once
        self._client.on_connect = lambda client, *_: client.subscribe([(t, 1) for t in HEARD])
        self._client.connect("127.0.0.1", port)
        self._client.loop_start()

    def publish(self, topic: str, values: dict[str, object]) -> None:
        self._client.publish(topic, json.dumps(values), 1)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def round_trip_ms(self, topic: str, values: dict[str, object], back: str) -> float:
        started_ns = time.monotonic_ns()
        self.publish(topic, values)
        while True:
            at_ns, heard, _ = self.heard.get(timeout=WITHIN_S)
            if heard == back:
                return (at_ns - started_ns) / 1e6

    def until_answered(self, topic: str, values: dict[str, object], back: str) -> None:
        """Publish until something comes back: then the other side has subscribed."""
        deadline = time.monotonic() + WITHIN_S
        while time.monotonic() < deadline:
            self.publish(topic, values | {"seq": time.monotonic_ns(), "utc_ns": time.time_ns()})
            try:
                while self.heard.get(timeout=0.3)[1] != back:
                    continue
            except queue.Empty:
                continue
            time.sleep(0.3)
            while not self.heard.empty():
                self.heard.get()
            return
        raise RuntimeError(f"nothing comes back from {topic}")

    def _hear(self, _client: Client, _userdata: object, message: MQTTMessage) -> None:
        self.heard.put((time.monotonic_ns(), message.topic, json.loads(message.payload)))


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(PROCESSES), *arguments]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def reading(value: float, urgency: float) -> dict[str, object]:
    now_ns = time.time_ns()
    return {
        "seq": time.monotonic_ns(),
        "kind": "level",
        "value": value,
        "unit": "",
        "urgency": urgency,
        "utc_ns": now_ns,
    }


def emergency(peer: Peer, count: int) -> None:
    stop_topic = TOPICS.sensor("s1")
    peer.until_answered(stop_topic, reading(1, 1.0), TOPICS.verdict)
    peer.until_answered(PING, reading(1, 1.0), PONG)
    stops, echoes = [], []
    for _ in range(count):
        echoes.append(peer.round_trip_ms(PING, reading(1, 1.0), PONG))
        stops.append(peer.round_trip_ms(stop_topic, reading(1, 1.0), TOPICS.verdict))
    print("| | P50 ms | P99 ms |\n|---|---|---|")
    for name, times in (("bare echo", echoes), ("emergency", stops)):
        print(f"| {name} | {np.percentile(times, 50):.2f} | {np.percentile(times, 99):.2f} |")
    p50, p99 = (np.percentile(stops, p) / np.percentile(echoes, p) for p in (50, 99))
    print(f"| ratio | {p50:.2f} | {p99:.2f} |")


class Flood:
    """A publisher of its own that costs next to nothing, so that it does not slow down what it measures.

    MQTT 3.1.1 by hand: QoS 1, answers are thrown away.
    """

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(b"\x10\x11\x00\x04MQTT\x04\x02\x00\x00\x00\x05flood")
        assert self._socket.recv(4) == b"\x20\x02\x00\x00"
        self._mid = 0

    def publish(self, messages: list[tuple[str, bytes]]) -> None:
        data = bytearray()
        for topic, payload in messages:
            self._mid = self._mid % 65535 + 1
            name = topic.encode()
            length = 4 + len(name) + len(payload)
            size = bytes([length]) if length < 128 else bytes([length & 127 | 128, length >> 7])
            data += b"\x32" + size + len(name).to_bytes(2, "big") + name
            data += self._mid.to_bytes(2, "big") + payload
        self._socket.sendall(data)
        with contextlib.suppress(BlockingIOError):
            self._socket.recv(1 << 20, socket.MSG_DONTWAIT)

    def close(self) -> None:
        self._socket.close()


def quick_reading(number: int) -> tuple[str, bytes]:
    topic = TOPICS.sensor(SENSORS[number % len(SENSORS)].id)
    now_ns = time.time_ns()
    return topic, b'{"seq":%d,"kind":"level","value":%d,"unit":"","urgency":0.0,"utc_ns":%d}' % (
        number,
        number,
        now_ns,
    )


def storm(peer: Peer, port: int, rate: int, seconds: int, cell: subprocess.Popen[str]) -> None:
    memory: list[float] = []
    process = psutil.Process(cell.pid)
    flood = Flood(port)
    trigger: dict[str, object] = {"part_id": "warm", "seq": 0, "utc_ns": 0}
    peer.until_answered(TOPICS.trigger, trigger, TOPICS.verdict)
    sent = parts = 0
    triggered: dict[str, int] = {}
    started = time.monotonic()
    while (elapsed := time.monotonic() - started) < seconds:
        due = int(elapsed * rate)
        if due > sent:
            flood.publish([quick_reading(number) for number in range(sent, due)])
            sent = due
        if len(memory) <= elapsed:
            memory.append(process.memory_info().rss / 2**20)
        if parts <= elapsed * 10:
            part_id = f"P{parts}"
            triggered[part_id] = time.monotonic_ns()
            peer.publish(TOPICS.trigger, {"part_id": part_id, "seq": parts, "utc_ns": time.time_ns()})
            parts += 1
        time.sleep(0.001)
    times: dict[str, float] = {}
    undelivered: set[str] = set()
    while len(times) + len(undelivered) < parts:
        try:
            at_ns, topic, values = peer.heard.get(timeout=WITHIN_S)
        except queue.Empty:
            break
        part_id = str(values["part_id"])
        if topic == TOPICS.verdict and part_id in triggered:
            times[part_id] = (at_ns - triggered[part_id]) / 1e6
        elif part_id in triggered:
            undelivered.add(part_id)
    late = sum(ms > DEADLINE_MS for ms in times.values())
    took = time.monotonic() - started
    print(f"{sent} events in {seconds} s ({sent / seconds:.0f} a second, all through after {took:.1f} s)")
    slowest = max(times.values(), default=0.0)
    print(f"{parts} parts: {late} late (over {DEADLINE_MS:g} ms), slowest {slowest:.0f} ms")
    silent = parts - len(times) - len(undelivered)
    print(f"{len(undelivered)} undelivered in time, {silent} without a word")
    quarter = len(memory) // 4
    print(f"memory of the cell, MiB: {memory[quarter]:.1f} after a quarter, {memory[-1]:.1f} at the end")
    flood.close()


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("what", choices=["emergency", "storm"])
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--rate", type=int, default=5000)
    parser.add_argument("--seconds", type=int, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        broker = Mosquitto(Path(folder) / "broker", options=("max_queued_messages 100000",))
        broker.start()
        cell = start("cell", str(broker.port), f"{folder}/outbox")
        echo = start("echo", str(broker.port)) if options.what == "emergency" else None
        peer = Peer(broker.port)
        try:
            if options.what == "emergency":
                emergency(peer, options.count)
            else:
                storm(peer, broker.port, options.rate, options.seconds, cell)
        finally:
            peer.close()
            cell.terminate()
            said = cell.communicate(timeout=WITHIN_S)[0]
            if echo is not None:
                echo.communicate(timeout=WITHIN_S)
            broker.kill()
    print(said.strip())


if __name__ == "__main__":
    main()
