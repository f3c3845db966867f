"""`line-sim run` against a real broker and a scripted cell that answers verdicts."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

BASE = "acme/plant1/hall1/line1/cell1"
SECOND_NS = 1_000_000_000
Json = dict[str, Any]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


StartBroker = Callable[[str], int]


@pytest.fixture(scope="module")
def start_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartBroker]:
    """Start a mosquitto of our own with a few lines of configuration; returns its loopback port."""
    running: list[subprocess.Popen[bytes]] = []

    def start(extra: str) -> int:
        port = _free_port()
        config = tmp_path_factory.mktemp("broker") / "mosquitto.conf"
        config.write_text(f"listener {port} 127.0.0.1\nset_tcp_nodelay true\nuser root\n{extra}")
        command = ["mosquitto", "-c", str(config)]
        try:
            quiet = subprocess.DEVNULL
            running.append(subprocess.Popen(command, stdout=quiet, stderr=quiet))
        except FileNotFoundError:
            pytest.skip("mosquitto is not installed (apt install mosquitto)")
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return port
            time.sleep(0.05)
        raise AssertionError(f"mosquitto does not start with {config.read_text()}")

    yield start
    for process in running:
        process.terminate()
        process.wait(10)


@pytest.fixture(scope="module")
def broker(start_broker: StartBroker) -> int:
    return start_broker("allow_anonymous true\n")


@pytest.fixture
def camera_address() -> str:
    """An address of 127/8 of this process's own: two cameras cannot share one."""
    pid = os.getpid()
    return f"127.{64 + pid % 64}.{pid // 64 % 250}.{2 + pid // 16000 % 250}"


def _send_at_once(_client: object, _userdata: object, connection: Any) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@dataclass
class ScriptedCell:
    """Answers each trigger as `answer` says; hears everything else that the line publishes."""

    port: int
    answer: Callable[["ScriptedCell", Json], None]
    seq: int = 0
    heard: dict[str, list[Json]] = field(default_factory=dict)
    latched: bool = False

    def __enter__(self) -> "ScriptedCell":
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_message = self._on_message
        self._client.on_socket_open = _send_at_once
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.connect("127.0.0.1", self.port)
        leaves = ("trigger", "sensor/+", "command", "ack")
        self._client.subscribe([(f"{BASE}/{leaf}", 1) for leaf in leaves])
        self._client.loop_start()
        assert self._subscribed.wait(10)
        self.state()
        return self

    def __exit__(self, *_: object) -> None:
        for leaf in ("state", "availability"):  # leave nothing retained for the next test
            self._client.publish(f"{BASE}/{leaf}", b"", qos=1, retain=True).wait_for_publish(5)
        self._client.disconnect()
        self._client.loop_stop()

    def state(self) -> None:
        latched = {"state": "ContinuousExecution", "emergency_latched": self.latched}
        self.publish("state", latched, retain=True)
        self.publish("availability", {"available": True}, retain=True)

    def publish(self, leaf: str, fields: Json, retain: bool = False) -> None:
        self._client.publish(f"{BASE}/{leaf}", json.dumps(fields), qos=1, retain=retain)

    def verdict(self, part_id: str, action: str, **changes: Any) -> Json:
        """Publish a right verdict, but for `changes`. Return it."""
        self.seq += 1
        decision = {"STOP": "EMERGENCY_BRAKE", "HOLD": "PENDING"}.get(action, "CONFIRMED_ACTION")
        fields: Json = {
            "verdict_id": f"v{self.seq}",
            "part_id": part_id,
            "seq": self.seq,
            "decision": decision,
            "action": action,
            "reason": "DEFECT" if action == "REJECT" else "GOOD",
            "cause": "",
            "missing": "",
            "confidence": 0.97,
            "p_defect": 0.9 if action == "REJECT" else 0.1,
            "failsafe": False,
            "skew_ms": 1.0,
            "latency_ms": 9.5,
            "trigger_utc_ns": time.time_ns(),
            "valid_until_utc_ns": time.time_ns() + SECOND_NS,
            "model": "0" * 12,
            "config": "1" * 12,
            "ok": int(action == "PASS"),
            "ng": int(action == "REJECT"),
        }
        fields |= changes
        fields["ready"] = True
        self.publish("verdict", fields)
        return fields

    def explain(self, verdict: Json) -> None:
        fields = {"verdict_id": verdict["verdict_id"], "part_id": verdict["part_id"]}
        text = {"text": "A dark line.", "cause": "crack", "recommended_action": "Check the tool."}
        self.publish("explanation", {**fields, **text, "source": "TEMPLATE", "latency_ms": 1.0})

    def _on_message(self, _client: object, _userdata: object, message: mqtt.MQTTMessage) -> None:
        leaf = message.topic.removeprefix(BASE + "/")
        try:
            data = json.loads(message.payload)
        except ValueError:
            data = {"malformed": True}
        self.heard.setdefault(leaf, []).append(data)
        if leaf == "command":
            self.latched = False
            self.state()
        if leaf == "trigger" and "part_id" in data:
            self.answer(self, data)
        if leaf.startswith("sensor/") and data.get("urgency", 0) > 0.8 and not self.latched:
            self.latched = True
            self.state()
            self.verdict("", "STOP", reason="EMERGENCY", cause=leaf.removeprefix("sensor/"))


def _command(port: int, camera_address: str, *extra: str) -> list[str]:
    where = ["--broker", f"127.0.0.1:{port}", "--base", BASE, "--camera-address", camera_address]
    return [sys.executable, "-m", "line_sim.cli", "run", *where, *extra]


def _run(port: int, camera_address: str, *extra: str) -> tuple[subprocess.CompletedProcess[str], list[Json]]:
    done = subprocess.run(
        _command(port, camera_address, *extra),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done, [json.loads(line) for line in done.stdout.splitlines()]


def _named(events: list[Json], name: str) -> list[Json]:
    return [event for event in events if event["event"] == name]


def _pass_all(cell: ScriptedCell, trigger: Json) -> None:
    cell.verdict(trigger["part_id"], "PASS")


def test_every_part_is_judged_sorted_and_acknowledged(broker: int, camera_address: str) -> None:
    def reject_every_third(cell: ScriptedCell, trigger: Json) -> None:
        if trigger["seq"] % 3:
            cell.verdict(trigger["part_id"], "PASS")
        else:
            cell.explain(cell.verdict(trigger["part_id"], "REJECT"))

    with ScriptedCell(broker, reject_every_third) as cell:
        done, events = _run(broker, camera_address, "--scenario", "accuracy", "--parts", "12", "--fast")
        acks = cell.heard["ack"]
    assert done.returncode == 0, done.stderr
    assert events[0]["event"] == "ready"
    summary = events[-1]
    assert summary["event"] == "summary"
    assert (summary["parts"], summary["parts_with_one_verdict"], summary["late"]) == (12, 12, 0)
    assert (summary["explanations"], summary["explanations_expected"]) == (4, 4)
    assert summary["violations"] == 0
    truth = {e["part_id"]: e["defect"] for e in _named(events, "trigger")}
    lanes = {e["part_id"]: e["lane"] for e in _named(events, "left")}
    assert [lanes[part] for part in sorted(lanes)] == ["PASS", "PASS", "REJECT"] * 4
    assert summary["escapes"] == sum(lanes[p] == "PASS" and truth[p] is not None for p in truth)
    assert summary["overkill"] == sum(lanes[p] == "REJECT" and truth[p] is None for p in truth)
    assert [a["action"] for a in acks] == ["PASS", "PASS", "REJECT"] * 4


def test_each_part_has_one_reading_of_each_sensor_just_before_it(broker: int, camera_address: str) -> None:
    with ScriptedCell(broker, _pass_all) as cell:
        done, _ = _run(broker, camera_address, "--scenario", "accuracy", "--parts", "8", "--realtime")
        heard = cell.heard
    assert done.returncode == 0, done.stderr
    for sensor in ("vibration1", "temperature1", "gripper1"):
        readings = heard[f"sensor/{sensor}"]
        assert [r["seq"] for r in readings] == list(range(1, len(readings) + 1))
        for trigger in heard["trigger"]:
            before = [trigger["utc_ns"] - r["utc_ns"] for r in readings]
            assert any(0 < lead < 50_000_000 for lead in before)


def test_an_emergency_stops_the_belt_and_a_reset_starts_it_again(broker: int, camera_address: str) -> None:
    with ScriptedCell(broker, _pass_all) as cell:
        done, events = _run(broker, camera_address, "--scenario", "emergency", "--fast")
        commands = cell.heard["command"]
    assert done.returncode == 0, done.stderr
    assert [e["running"] for e in _named(events, "belt")] == [True, *[False, True] * 3]
    assert [e["cause"] for e in _named(events, "emergency")] == ["estop1", "vibration1", "estop1"]
    running = True
    for event in events:
        running = event.get("running", running)
        # Nothing reaches the photo-eye while the belt stands.
        assert running or event["event"] != "trigger"
    assert commands == [{"command": "RESET", "source": "line-sim"}] * 3
    summary = events[-1]
    assert (summary["emergencies_raised"], summary["emergencies_braked"]) == (3, 3)
    assert summary["parts_with_one_verdict"] == 30


def test_without_verdicts_the_plc_fails_safe_and_the_run_says_so(broker: int, camera_address: str) -> None:
    def only_odd(cell: ScriptedCell, trigger: Json) -> None:
        if trigger["seq"] % 2:
            cell.verdict(trigger["part_id"], "PASS")

    with ScriptedCell(broker, only_odd):
        done, events = _run(
            broker,
            camera_address,
            *("--scenario", "accuracy", "--parts", "4", "--fast"),
            *("--deadline-ms", "100", "--linger", "0"),
        )
    assert done.returncode == 1
    assert [e["part_id"] for e in _named(events, "late")] == ["P000002", "P000004"]
    assert {e["lane"] for e in _named(events, "left") if e["part_id"] == "P000002"} == {"HOLD"}
    summary = events[-1]
    assert (summary["parts_without_verdict"], summary["late"]) == (2, 2)


def test_a_duplicate_and_a_broken_verdict_are_found(broker: int, camera_address: str) -> None:
    def spoil(cell: ScriptedCell, trigger: Json) -> None:
        if trigger["seq"] == 1:
            cell.verdict(trigger["part_id"], "PASS")
            cell.verdict(trigger["part_id"], "REJECT")
        elif trigger["seq"] == 2:
            cell.verdict(trigger["part_id"], "PASS", ng=1)
        elif trigger["seq"] == 3:
            cell.verdict(trigger["part_id"], "PASS", valid_until_utc_ns=time.time_ns() - SECOND_NS)
        else:
            cell.verdict(trigger["part_id"], "PASS", cause="x" * 65)

    with ScriptedCell(broker, spoil):
        done, events = _run(
            broker,
            camera_address,
            *("--scenario", "accuracy", "--parts", "4", "--fast"),
            *("--deadline-ms", "100", "--linger", "0"),
        )
    assert done.returncode == 1
    lanes = [e["lane"] for e in sorted(_named(events, "left"), key=lambda e: e["part_id"])]
    assert lanes == ["PASS", "HOLD", "HOLD", "PASS"]
    summary = events[-1]
    assert (summary["duplicates"], summary["stale"], summary["late"]) == (1, 1, 2)
    texts = " | ".join(e["text"] for e in _named(events, "violation"))
    assert "contradict" in texts
    assert "65 characters" in texts


def test_line_side_faults_reach_the_broker_as_described(broker: int, camera_address: str) -> None:
    with ScriptedCell(broker, lambda *_: None) as cell:
        seen: set[str] = set()

        def once(cell: ScriptedCell, trigger: Json) -> None:
            if trigger["part_id"] not in seen:
                seen.add(trigger["part_id"])
                cell.verdict(trigger["part_id"], "PASS")

        cell.answer = once
        done, events = _run(broker, camera_address, "--scenario", "faults", "--parts", "24", "--fast")
        triggers, gripper = cell.heard["trigger"], cell.heard["sensor/gripper1"]
    assert done.returncode == 0, done.stderr
    assert sum("part_id" not in t for t in triggers) == 1
    assert [t["part_id"] for t in triggers if "part_id" in t].count("P000018") == 2
    assert sum("malformed" in r for r in gripper) == 1
    assert not any(e["frame"] for e in _named(events, "trigger") if e["number"] in {22, 23})


def test_it_ends_cleanly_when_told_to(broker: int, camera_address: str) -> None:
    with ScriptedCell(broker, _pass_all):
        process = subprocess.Popen(
            _command(broker, camera_address, "--realtime"), stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        events: list[Json] = []
        for line in process.stdout:
            events.append(json.loads(line))
            if events[-1]["event"] == "trigger":
                process.send_signal(signal.SIGTERM)
                break
        events += [json.loads(line) for line in process.stdout]
        assert process.wait(20) == 130
        process.stdout.close()
    assert events[-1]["event"] == "summary"
    assert events[-1]["interrupted"] is True


def test_a_cell_that_never_gets_ready_is_one_clear_line(broker: int, camera_address: str) -> None:
    done, events = _run(broker, camera_address, "--start-timeout", "0.3")
    assert done.returncode == 1
    assert [e["event"] for e in events if e["event"] != "connection"] == ["ready"]
    assert done.stderr.startswith("line-sim: the cell was not ready within 0.3 s")
    assert done.stderr.count("\n") == 1


def test_a_broker_that_refuses_us_is_one_clear_line(
    tmp_path: Path, camera_address: str, start_broker: StartBroker
) -> None:
    (tmp_path / "users").touch()
    port = start_broker(f"allow_anonymous false\npassword_file {tmp_path / 'users'}\n")
    done, events = _run(port, camera_address)
    assert done.returncode == 1
    assert "refused: Not authorized; check user, password, ACL and TLS" in done.stderr
    assert done.stderr.count("\n") == 1
    assert events == []


def test_photographs_are_streamed_once_each(broker: int, camera_address: str, tmp_path: Path) -> None:
    render = ["render", "--out", str(tmp_path), "--parts", "6", "--defect-rate", "0.5"]
    command = [sys.executable, "-m", "line_sim.cli", *render, "--width", "128", "--height", "96"]
    subprocess.run(command, check=True, capture_output=True)
    with ScriptedCell(broker, _pass_all):
        done, events = _run(
            broker, camera_address, *("--scenario", "folder", "--images", str(tmp_path), "--fast")
        )
    assert done.returncode == 0, done.stderr
    triggers = _named(events, "trigger")
    names = [t["picture"] for t in triggers]
    assert sorted(names) == [f"P{n:06d}.png" for n in range(1, 7)]
    defective = {p.name for p in (tmp_path / "defect").iterdir()}
    assert {t["picture"] for t in triggers if t["defect"]} == defective
