"""What an arbiter is told that was not there when it was said."""

from inspector.services.missed_faults import MissedFaults
from inspector.types import Fault, ServiceState


def fault(at_ns: int) -> Fault:
    return Fault(service="camera.cam1", code="DEVICE", text="no camera", at_ns=at_ns)


def test_what_was_told_before_the_arbiter_was_up_is_told_once() -> None:
    missed = MissedFaults()
    missed.note(fault(1))
    assert not missed.arbiter(ServiceState.STARTING, 2)
    missed.note(fault(3))
    assert missed.arbiter(ServiceState.READY, 4)
    assert missed.take(4) == [fault(1), fault(3)]
    assert not missed.arbiter(ServiceState.DEGRADED, 5)
    assert missed.take(6) == []


def test_what_was_told_since_a_dead_arbiter_was_last_heard_is_told_to_the_next_one() -> None:
    missed = MissedFaults()
    assert missed.arbiter(ServiceState.READY, 10)
    assert missed.take(10) == []
    missed.note(fault(15))  # the first one passed this on
    assert not missed.arbiter(ServiceState.READY, 20)
    missed.note(fault(25))
    assert not missed.arbiter(ServiceState.DEAD, 30)
    missed.note(fault(31))
    assert not missed.arbiter(ServiceState.STARTING, 40)
    assert missed.arbiter(ServiceState.READY, 50)
    assert missed.take(50) == [fault(25), fault(31)]


def test_a_flood_of_faults_is_bounded_and_the_last_ones_count() -> None:
    missed = MissedFaults()
    for at_ns in range(1000):
        missed.note(fault(at_ns))
    assert missed.arbiter(ServiceState.READY, 2000)
    assert [each.at_ns for each in missed.take(2000)] == list(range(936, 1000))
