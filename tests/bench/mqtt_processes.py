"""Processes for bench_mqtt: the arbiter service, and a bare echo. Run by it."""

import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
from msgspec.structs import replace
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from inspector.bus import Bus, sweep
from inspector.config import SensorConfig
from inspector.config_load import load_site
from inspector.services.arbiter import ArbiterService
from inspector.services.loop import Context, Loop
from inspector.topics import HEALTH, JOURNAL, JOURNAL_TAKEN, MqttTopics
from inspector.types import Health, JournalTaken, ServiceState

SITE = Path(__file__).parents[2] / "deploy" / "demo" / "site.yaml"
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


def cell(port: int, folder: Path) -> int:
    """The arbiter service in its own loop, until SIGTERM; prints counts at the end.

    No camera runs, so that each part waits for its deadline. In the recorder's place is one that reads
    the journal and writes nothing.
    """
    site = load_site(SITE)
    line = replace(
        site.site,
        base_topic=TOPICS.base,
        broker=replace(site.site.broker, port=port),
        recorder=replace(site.site.recorder, directory=folder),
        sensors=SENSORS,
    )
    domain = str(os.getpid())
    loop = Loop("arbiter", domain, replace(site, site=line), 0)
    contexts: list[Context] = []
    command = [sys.executable, __file__, "reader", domain]

    def make(context: Context) -> ArbiterService:
        contexts.append(context)
        return ArbiterService(context)

    with subprocess.Popen(command, stdin=subprocess.PIPE) as reading:
        status = loop.run(make)
        reading.communicate()
    sweep(domain)
    counters = contexts[0].counters
    dropped = sum(n for name, n in counters.items() if name.startswith(("dropped_", "refused_")))
    used = psutil.Process().cpu_times()
    cpu_s = used.user + used.system
    print(f"refused or dropped {dropped}; journal overrun {counters['journal_overrun']}; cpu {cpu_s:.1f} s")
    return status


def reader(domain: str) -> None:
    """Take what the arbiter journals, and say so, as the recorder does."""
    stop = stopped()
    with Bus(domain, "recorder") as bus:
        entries, taken = bus.subscriber(JOURNAL), bus.publisher(JOURNAL_TAKEN)
        health = bus.publisher(HEALTH)
        next_ns = 0
        while not stop.is_set():
            bus.wait(100_000_000)
            came = list(entries.drain())
            if came:
                taken.send(JournalTaken(epoch=came[-1].epoch, seq=came[-1].seq))
            now_ns = time.monotonic_ns()
            if now_ns >= next_ns:
                next_ns = now_ns + 250_000_000
                health.send(
                    Health(
                        service="recorder",
                        pid=os.getpid(),
                        state=ServiceState.READY,
                        detail="",
                        at_ns=now_ns,
                        counters={},
                    )
                )


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo(int(sys.argv[2]))
    elif sys.argv[1] == "reader":
        reader(sys.argv[2])
    else:
        sys.exit(cell(int(sys.argv[2]), Path(sys.argv[3])))
