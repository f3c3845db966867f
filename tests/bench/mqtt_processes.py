"""Processes for bench_mqtt: a cell that decides (link, sensors, arbiter), and a bare echo. Run by it."""

import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import psutil
from decide_line import setup_for
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from inspector.clock import SystemClock
from inspector.config import BrokerConfig, SensorConfig
from inspector.decide.arbiter import Arbiter
from inspector.plc.link import PlcLink
from inspector.sensors.intake import SensorIntake
from inspector.topics import MqttTopics
from inspector.types import JournalEntry, PartTrigger, SensorEvent, VerdictRecord

TOPICS = MqttTopics("bench/site/area/line/cell")
SENSORS = tuple(
    SensorConfig(id=f"s{n}", kind="level", unit="", min_value=0, max_value=1e9, expected=n == 0)
    for n in range(10)
)
PING, PONG = "bench/ping", "bench/pong"


def at_once(_client: Client, _userdata: object, sock: object) -> None:
    """Small messages must leave at once."""
    assert isinstance(sock, socket.socket)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def stopped() -> threading.Event:
    """Return an event that is set when our parent closes our standard input."""
    event = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        event.set()

    threading.Thread(target=watch, daemon=True).start()
    return event


def echo(port: int) -> None:
    """Send back what comes: the least that any decision over this broker can take."""
    stop = stopped()
    client = Client(CallbackAPIVersion.VERSION2, client_id="echo", protocol=MQTTv5)

    def back(client: Client, _userdata: object, message: MQTTMessage) -> None:
        client.publish(PONG, message.payload, 1)

    client.on_message = back
    client.on_socket_open = at_once
    client.on_connect = lambda client, *_: client.subscribe(PING, 1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    stop.wait()
    client.disconnect()
    client.loop_stop()


def cell(port: int, outbox: Path) -> None:
    """Decide on what comes, as the arbiter service does; print memory each second, and counts at the end."""
    stop = stopped()
    clock, wake = SystemClock(), threading.Event()
    arbiter = Arbiter(setup_for(("cam1",)))
    sensors = SensorIntake(SENSORS, TOPICS)
    link = PlcLink(BrokerConfig(port=port), TOPICS, outbox, clock, wake.set, sensors=sensors)
    link.start()
    process, seq, next_report_ns = psutil.Process(), 0, 0

    def take(item: SensorEvent | PartTrigger | None) -> None:
        nonlocal seq
        seq += 1
        event = item if isinstance(item, SensorEvent) else None
        trigger = item if isinstance(item, PartTrigger) else None
        entry = JournalEntry(seq=seq, epoch="bench", now_ns=clock.now_ns(), event=event, trigger=trigger)
        for output in arbiter.step(entry):
            if isinstance(output, VerdictRecord):
                link.send_verdict(output.verdict, -1.0)

    while not stop.is_set():
        due_ns = arbiter.next_wakeup_ns
        now_ns = clock.now_ns()
        wake.wait(0.1 if due_ns is None else min(0.1, max(0.0, (due_ns - now_ns) / 1e9)))
        wake.clear()
        for item in link.poll():
            if isinstance(item, SensorEvent | PartTrigger):
                take(item)
        due_ns = arbiter.next_wakeup_ns
        if due_ns is not None and due_ns <= clock.now_ns():
            take(None)
        link.taken()
        link.deliveries()
        link.faults()
        if clock.now_ns() >= next_report_ns:
            next_report_ns = clock.now_ns() + 10**9
            print(f"rss {process.memory_info().rss / 2**20:.1f}", flush=True)
    dropped = sum(n for name, n in link.counters.items() if name.startswith("dropped_"))
    used_s = process.cpu_times().user + process.cpu_times().system
    print(f"accepted {sensors.accepted.total()}\ndropped {dropped}\ncpu {used_s:.1f} s", flush=True)
    link.close()


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo(int(sys.argv[2]))
    else:
        cell(int(sys.argv[2]), Path(sys.argv[3]))
