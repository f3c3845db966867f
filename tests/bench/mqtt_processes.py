"""Processes for bench_mqtt: the arbiter service, and a bare echo. Run by it."""

import os
import socket
import sys
import threading
from pathlib import Path

import psutil
from paho.mqtt.client import Client, MQTTMessage, MQTTv5
from paho.mqtt.enums import CallbackAPIVersion

from inspector.bus import Publisher, sweep
from inspector.config import SensorConfig
from inspector.config_load import load_site
from inspector.services.arbiter import ArbiterService
from inspector.services.loop import Context, Loop
from inspector.topics import HEALTH, MqttTopics
from inspector.types import Health, ServiceState

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
    """The arbiter service in its own loop, with a recorder that is said to be there, until SIGTERM.

    Prints counts at the end. Nothing but the arbiter runs: no camera, so that each part waits for its
    deadline, and nobody who reads the journal, which is written all the same.
    """
    site = load_site(SITE)
    line = site.site.model_copy(
        update={
            "base_topic": TOPICS.base,
            "broker": site.site.broker.model_copy(update={"port": port}),
            "recorder": site.site.recorder.model_copy(update={"directory": folder}),
            "sensors": SENSORS,
        }
    )
    domain = str(os.getpid())
    loop = Loop("arbiter", domain, site.model_copy(update={"site": line}), 0)
    kept: list[tuple[Context, Publisher[Health]]] = []

    def make(context: Context) -> ArbiterService:
        service = ArbiterService(context)
        health = context.bus.publisher(HEALTH)
        kept.append((context, health))
        health.send(
            Health(
                service="recorder",
                pid=1,
                state=ServiceState.READY,
                detail="",
                at_ns=context.clock.now_ns(),
                counters={},
            )
        )
        return service

    status = loop.run(make)
    sweep(domain)
    counters = kept[0][0].counters
    dropped = sum(n for name, n in counters.items() if name.startswith(("dropped_", "refused_")))
    used = psutil.Process().cpu_times()
    cpu_s = used.user + used.system
    print(f"refused or dropped {dropped}; journal overrun {counters['journal_overrun']}; cpu {cpu_s:.1f} s")
    return status


if __name__ == "__main__":
    if sys.argv[1] == "echo":
        echo(int(sys.argv[2]))
    else:
        sys.exit(cell(int(sys.argv[2]), Path(sys.argv[3])))
