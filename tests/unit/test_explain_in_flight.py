"""When the language model stands still: while a frame is in the detector, and never for long."""

from inspector.explain.in_flight import InFlight

LONGEST_NS = 100


def test_busy_from_the_frame_to_its_result() -> None:
    detector = InFlight(LONGEST_NS)
    assert not detector.busy(0)
    detector.frame("cam1", 7, 10)
    assert detector.busy(11)
    detector.result("cam1", 7)
    assert not detector.busy(12)


def test_busy_until_the_last_of_several_frames_and_cameras() -> None:
    detector = InFlight(LONGEST_NS)
    detector.frame("cam1", 1, 0)
    detector.frame("cam2", 1, 1)
    detector.frame("cam1", 2, 2)
    detector.result("cam1", 1)
    detector.result("cam2", 1)
    assert detector.busy(3)
    detector.result("cam1", 2)
    assert not detector.busy(4)


def test_a_result_that_is_heard_of_before_its_frame() -> None:
    detector = InFlight(LONGEST_NS)
    detector.result("cam1", 7)
    detector.frame("cam1", 7, 10)
    assert not detector.busy(11)


def test_a_frame_that_nobody_heard_of_is_no_harm() -> None:
    detector = InFlight(LONGEST_NS)
    detector.result("cam1", 6)
    detector.frame("cam1", 8, 10)
    detector.result("cam1", 7)
    assert detector.busy(11)
    detector.result("cam1", 8)
    assert not detector.busy(12)


def test_a_dead_detector_holds_up_once_and_a_living_one_again() -> None:
    detector = InFlight(LONGEST_NS)
    for frame_id in range(1, 6):
        detector.frame("cam1", frame_id, 60 * frame_id)
    assert detector.until_ns == 160
    assert not detector.busy(300)  # five frames, one stretch
    detector.result("cam1", 5)
    detector.frame("cam1", 6, 400)
    assert detector.busy(401)


def test_a_detector_that_is_never_empty_does_not_hold_up_for_ever() -> None:
    detector = InFlight(LONGEST_NS)
    for frame_id in range(1, 10):
        detector.frame("cam1", frame_id, 20 * frame_id)
        detector.result("cam1", frame_id - 1)
    assert not detector.busy(200)
    detector.result("cam1", 9)
    detector.frame("cam1", 10, 210)
    assert detector.busy(211)
