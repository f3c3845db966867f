"""The broker dies, freezes, comes back: the caller never waits, nothing goes out late."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from brokers import Mosquitto
from plc_cell import CLOCK, TOPICS, Cell, Listener, verdict, wait_until

from inspector.config import BrokerConfig


def test_outage_valid_go_out_in_order_expired_leave_a_notice(mosquitto: Mosquitto, tmp_path: Path) -> None:
    plc = Listener(mosquitto.port)
    with Cell(BrokerConfig(port=mosquitto.port), tmp_path / "outbox") as cell:
        cell.until_connected()
        cell.link.send_verdict(verdict(1), -1.0)
        cell.until(lambda: plc.ids("verdict") == ["boot-1"], "the first")
        mosquitto.kill()
        # From the very first moment on: some are written to the dead connection.
        for seq in range(2, 22):
            short = seq % 2 == 0
            cell.link.send_verdict(verdict(seq, valid_ms=150 if short else 60_000), -1.0)
            cell.once(0.005)
        expired = [f"boot-{n}" for n in range(2, 22, 2)]
        valid = [f"boot-{n}" for n in range(3, 22, 2)]
        cell.until(lambda: [d.verdict_id for d in cell.deliveries[1:]] == expired, "expiry in the outage")
        assert {d.state.value for d in cell.deliveries[1:]} == {"UNDELIVERED"}
        assert not cell.link.connected
        assert "BROKER_LOST" in [f.code for f in cell.faults]
        mosquitto.start()
        cell.until(lambda: len(plc.ids("verdict")) == 11, "the valid ones")
        cell.until(lambda: len(plc.ids("undelivered")) == 10, "the notices")
        cell.for_s(0.3)
        assert plc.ids("verdict") == ["boot-1", *valid]
        assert plc.ids("undelivered") == expired
        assert [cell.states(v) for v in valid] == [["DELIVERED"]] * 10
        notice = plc.leaves("undelivered")[0]
        assert notice["expired_utc_ns"] < CLOCK.utc_ns()
        assert plc.leaves("availability")[-1] == {"available": True}
    plc.close()


def test_a_frozen_broker_delivers_nothing_late(mosquitto: Mosquitto, tmp_path: Path) -> None:
    # The connection stays open and the kernel takes what is written: the worst kind of outage.
    plc = Listener(mosquitto.port)
    with Cell(BrokerConfig(port=mosquitto.port), tmp_path / "outbox") as cell:
        cell.until_connected()
        cell.link.send_verdict(verdict(1), -1.0)
        cell.until(lambda: plc.ids("verdict") == ["boot-1"], "the first")
        mosquitto.pause()
        for seq in range(2, 42):
            cell.link.send_verdict(verdict(seq, valid_ms=300), -1.0)
            cell.once(0.002)
        cell.until(lambda: cell.states("boot-41") == ["UNDELIVERED"], "the end of validity")
        mosquitto.resume()
        cell.until(lambda: cell.link.connected, "the reconnection")
        cell.link.send_verdict(verdict(42), -1.0)
        cell.until(lambda: cell.states("boot-42") == ["DELIVERED"], "delivery after the freeze")
        cell.until(lambda: "boot-42" in plc.ids("verdict"), "the verdict after the freeze")
        cell.until(lambda: "boot-41" in plc.ids("undelivered"), "the last notice")
    plc.close()
    late = [
        heard.values["verdict_id"]
        for heard in plc.heard
        if heard.leaf == "verdict"
        and heard.at_ns + CLOCK.utc_ns() - CLOCK.now_ns() > heard.values["valid_until_utc_ns"]
    ]
    # What was in the broker's own socket buffer when it froze is out of our hands; the PLC sees
    # by valid_until_utc_ns that it is old. Nothing that waited with us may follow it.
    window = 20
    assert len(late) <= window
    assert set(plc.ids("undelivered")) >= {f"boot-{n}" for n in range(2 + window, 42)}


def test_the_caller_never_waits_for_a_broker(tmp_path: Path) -> None:
    gone = BrokerConfig(host="127.0.0.1", port=1)
    with Cell(gone, tmp_path / "outbox") as cell:
        for seq in range(1, 101):
            cell.link.send_verdict(verdict(seq, valid_ms=0), -1.0)
            cell.link.poll()
        assert not cell.link.connected
        assert len(cell.link.deliveries()) == 100
        cell.until(lambda: cell.faults != [], "a fault that says what to do")
    assert "nothing listens there; start the broker" in cell.faults[0].text


def test_what_came_while_we_were_away_is_still_heard(mosquitto: Mosquitto, tmp_path: Path) -> None:
    # The broker keeps the session: a part that passed meanwhile still gets its (late) verdict.
    config = BrokerConfig(port=mosquitto.port)
    plc = Listener(mosquitto.port)
    with Cell(config, tmp_path / "outbox") as cell:
        cell.until_connected()
        cell.until(lambda: plc.leaves("heartbeat") != [], "the subscriptions")
    plc.publish(TOPICS.trigger, {"part_id": "P7", "seq": 7, "utc_ns": CLOCK.utc_ns()})
    with Cell(config, tmp_path / "outbox") as cell:
        cell.until(lambda: cell.incoming != [], "the trigger")
    plc.close()


def test_a_plc_that_comes_back_later_than_we_still_gets_its_verdict(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    with Cell(BrokerConfig(port=mosquitto.port), tmp_path / "outbox") as cell:
        cell.until_connected()
        cell.link.send_verdict(verdict(1), -1.0)
        cell.link.send_verdict(verdict(2, valid_ms=100), -1.0)
        cell.until(lambda: cell.states("boot-2") == ["UNDELIVERED"], "that nobody wanted it")
        assert cell.states("boot-1") == []
        plc = Listener(mosquitto.port)
        cell.until(lambda: cell.states("boot-1") == ["DELIVERED"], "delivery")
        cell.until(lambda: plc.ids("undelivered") == ["boot-2"], "the notice")
        assert plc.ids("verdict") == ["boot-1"]
        assert [f.code for f in cell.faults] == ["NOBODY_LISTENS"]
    plc.close()


PUBLISHER = """
import sys, time
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from plc_cell import Cell, verdict
from inspector.config import BrokerConfig
with Cell(BrokerConfig(port=int(sys.argv[2])), Path(sys.argv[3])) as cell:
    if sys.argv[4] == "online":
        cell.until_connected()
    seq = 0
    while True:
        seq += 1
        cell.link.send_verdict(verdict(seq, valid_ms=60_000 if seq % 2 else 50), -1.0)
        print(seq, flush=True)
        cell.once(0.005)
"""


def kill_after(count: int, port: int, outbox: Path, mode: str) -> int:
    """Run a cell in a process of its own, kill it with SIGKILL, return how many it had sent."""
    here = str(Path(__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, here, str(port), str(outbox), mode],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        sent = 0
        while sent < count:
            line = process.stdout.readline()
            assert line, "the publisher died"
            sent = int(line)
        os.kill(process.pid, signal.SIGKILL)
        rest = process.stdout.read().split()
    return int(rest[-1]) if rest else sent


def test_killed_in_the_outage_the_next_start_delivers(mosquitto: Mosquitto, tmp_path: Path) -> None:
    sent = kill_after(30, 1, tmp_path / "outbox", "offline")
    plc = Listener(mosquitto.port)
    with Cell(BrokerConfig(port=mosquitto.port), tmp_path / "outbox") as cell:
        # The very last may not have been handed to the writer when the process was killed.
        everything = {f"boot-{n}" for n in range(1, sent - 1)}
        cell.until(lambda: heard_of(plc) >= everything, "a verdict or a notice of each")
        cell.for_s(0.2)
    verdicts = plc.ids("verdict")
    assert verdicts == sorted(verdicts, key=lambda name: int(name.removeprefix("boot-")))
    assert set(verdicts) >= {f"boot-{n}" for n in range(1, sent - 1, 2)}
    assert_none_late(plc)
    plc.close()


def heard_of(plc: Listener) -> set[str]:
    return set(plc.ids("verdict")) | set(plc.ids("undelivered"))


def assert_none_late(plc: Listener) -> None:
    """At the moment of sending each was valid; a second is for a busy test machine."""
    utc_offset_ns = CLOCK.utc_ns() - CLOCK.now_ns()
    for heard in plc.heard:
        if heard.leaf == "verdict":
            assert heard.at_ns + utc_offset_ns < heard.values["valid_until_utc_ns"] + 10**9


def test_killed_while_publishing_nothing_is_lost_or_late(mosquitto: Mosquitto, tmp_path: Path) -> None:
    plc = Listener(mosquitto.port)
    sent = kill_after(60, mosquitto.port, tmp_path / "outbox", "online")
    wait_until(lambda: plc.leaves("availability")[-1] == {"available": False}, "the Last Will")
    with Cell(BrokerConfig(port=mosquitto.port), tmp_path / "outbox") as cell:
        everything = {f"boot-{n}" for n in range(1, sent + 1)}
        cell.until(lambda: heard_of(plc) >= everything, "a verdict or a notice of each")
    assert_none_late(plc)
    plc.close()


def test_killed_twice_the_plc_can_still_acknowledge(mosquitto: Mosquitto, tmp_path: Path) -> None:
    plc = Listener(mosquitto.port)
    kill_after(20, mosquitto.port, tmp_path / "outbox", "online")
    wait_until(lambda: "boot-19" in plc.ids("verdict"), "the verdict")
    kill_after(1, mosquitto.port, tmp_path / "outbox", "online")
    with Cell(BrokerConfig(port=mosquitto.port), tmp_path / "outbox") as cell:
        cell.until_connected()
        cell.until(lambda: plc.leaves("heartbeat") != [], "the subscriptions")
        ack = {"verdict_id": "boot-19", "part_id": "P000019", "action": "REJECT", "utc_ns": 1}
        plc.publish(TOPICS.ack, ack)
        cell.until(lambda: "ACKNOWLEDGED" in cell.states("boot-19"), "the acknowledgement")
        assert cell.link.counters["ack_unknown"] == 0
    plc.close()


def test_a_broker_that_flaps_loses_nothing(mosquitto: Mosquitto, tmp_path: Path) -> None:
    plc = Listener(mosquitto.port)
    with Cell(BrokerConfig(port=mosquitto.port), tmp_path / "outbox") as cell:
        cell.until_connected()
        seq = 0
        for _ in range(5):
            for _ in range(10):
                seq += 1
                cell.link.send_verdict(verdict(seq), -1.0)
                cell.once(0.001)
            mosquitto.kill()
            mosquitto.start()
        everything = [f"boot-{n}" for n in range(1, seq + 1)]
        cell.until(lambda: len(cell.deliveries) == seq, "all deliveries")
        assert [d.verdict_id for d in cell.deliveries] == everything
        # At least once: the PLC tells a repetition by its verdict_id.
        cell.until(lambda: set(plc.ids("verdict")) >= {everything[-1]}, "the last")
    plc.close()
