"""The camera's clock on ours: drift, jitter, jumps."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inspector.camera.camera_time import CameraTime
from inspector.clock import NS_PER_MS, NS_PER_S

OFFSET_NS = 5_000 * NS_PER_S


class TrueClock:
    """A device whose clock drifts, and the delays of what it sends."""

    def __init__(self, ppm: float, *, jitter_ns: int, best_of: int, seed: int) -> None:
        self._rate = 1 - ppm * 1e-6
        self._random = random.Random(seed)
        self._jitter_ns, self._best_of = jitter_ns, best_of

    def device_ns(self, host_ns: int) -> int:
        return round((host_ns - OFFSET_NS) * self._rate) + 17

    def delay_ns(self) -> int:
        """Mostly late, one in `best_of` on time."""
        return 0 if self._random.randrange(self._best_of) == 0 else self._random.randrange(self._jitter_ns)


def feed(times: CameraTime, clock: TrueClock, start_s: float, seconds: float, hz: float) -> int:
    """Observe frames at `hz`; returns the host time of the last one."""
    host_ns = OFFSET_NS
    for index in range(int(seconds * hz)):
        host_ns = OFFSET_NS + round((start_s + index / hz) * NS_PER_S)
        times.observe(clock.device_ns(host_ns), host_ns + clock.delay_ns())
    return host_ns


def rate_ppm(times: CameraTime) -> float:
    """How much faster the host's clock runs than the camera's, as mapped."""
    return (times.to_host(1000 * NS_PER_S) - times.to_host(0)) / 1000 / NS_PER_S * 1e6 - 1e6


@settings(max_examples=25, deadline=None)
@given(
    ppm=st.floats(-120, 120),
    jitter_ms=st.integers(1, 15),
    hz=st.sampled_from([5.0, 20.0, 60.0]),
    seed=st.integers(0, 2**32),
)
def test_the_error_stays_within_what_it_states(ppm: float, jitter_ms: int, hz: float, seed: int) -> None:
    times = CameraTime()
    clock = TrueClock(ppm, jitter_ns=jitter_ms * NS_PER_MS, best_of=5, seed=seed)
    last_ns = feed(times, clock, 0, 40, hz)
    for ago_s in (0, 1, 5):
        true_ns = last_ns - ago_s * NS_PER_S
        device_ns = clock.device_ns(true_ns)
        error_ns = abs(times.to_host(device_ns) - true_ns)
        assert error_ns <= times.uncertainty_ns(device_ns) + 20_000  # and 20 µs for the rounding
        assert error_ns < 2 * NS_PER_MS
    assert times.jumps == 0


@settings(max_examples=25, deadline=None)
@given(ppm=st.floats(-120, 120), seed=st.integers(0, 2**32))
def test_the_drift_is_found(ppm: float, seed: int) -> None:
    times = CameraTime()
    feed(times, TrueClock(ppm, jitter_ns=5 * NS_PER_MS, best_of=4, seed=seed), 0, 30, 30)
    assert rate_ppm(times) == pytest.approx(ppm, abs=40)


@given(st.lists(st.tuples(st.integers(0, 2**62), st.integers(0, 2**62)), min_size=1, max_size=80))
def test_no_input_breaks_it(observations: list[tuple[int, int]]) -> None:
    times = CameraTime()
    for device_ns, host_ns in observations:
        times.observe(device_ns, host_ns)
        assert times.ready
        assert abs(rate_ppm(times)) <= 300.001
        assert times.uncertainty_ns(device_ns) > 0
        times.to_host(device_ns)


@given(jump_s=st.floats(-4000, 4000).filter(lambda each: abs(each) > 0.1), seed=st.integers(0, 2**32))
@settings(max_examples=25, deadline=None)
def test_a_jump_of_the_device_clock_is_found(jump_s: float, seed: int) -> None:
    times = CameraTime()
    clock = TrueClock(50, jitter_ns=5 * NS_PER_MS, best_of=4, seed=seed)
    feed(times, clock, 0, 10, 20)
    jump_ns = round(jump_s * NS_PER_S)
    for index in range(60):
        host_ns = OFFSET_NS + 10 * NS_PER_S + index * NS_PER_S // 20
        times.observe(clock.device_ns(host_ns) + jump_ns, host_ns + clock.delay_ns())
    assert times.jumps >= 1
    assert abs(times.to_host(clock.device_ns(host_ns) + jump_ns) - host_ns) < 6 * NS_PER_MS


def test_a_known_delay_is_taken_off() -> None:
    times = CameraTime()
    for index in range(100):
        times.observe(index * 50 * NS_PER_MS, OFFSET_NS + index * 50 * NS_PER_MS + 7, slack_ns=7)
    assert times.to_host(0) == OFFSET_NS


def test_a_new_device_starts_from_nothing() -> None:
    times = CameraTime()
    assert not times.ready
    times.observe(1000, 2000)
    assert times.to_host(1500) == 2500
    times.reset()
    assert not times.ready


def test_a_change_of_the_rate_is_followed() -> None:
    """A camera that warms up."""
    times = CameraTime()
    feed(times, TrueClock(0, jitter_ns=NS_PER_MS, best_of=3, seed=1), 0, 30, 20)
    host_ns = device_ns = 0
    for index in range(60 * 20):
        host_ns = OFFSET_NS + 30 * NS_PER_S + index * NS_PER_S // 20
        device_ns = 30 * NS_PER_S + 17 + round(index * NS_PER_S / 20 * (1 + 80e-6))
        times.observe(device_ns, host_ns)
    assert rate_ppm(times) == pytest.approx(-80, abs=5)
    assert abs(times.to_host(device_ns) - host_ns) < 100_000


@pytest.mark.parametrize("held_up_at", [0, 5])
def test_a_reading_that_was_held_up_does_not_spoil_the_quick_ones(held_up_at: int) -> None:
    """A cable that was out for a moment: one question and answer took 160 ms, most of it on the way back."""
    times = CameraTime()
    for second in range(10):
        asked_ns = OFFSET_NS + second * NS_PER_S
        width_ns = 160 * NS_PER_MS if second == held_up_at else NS_PER_MS // 2
        times.observe(asked_ns - OFFSET_NS + NS_PER_MS // 4, asked_ns + width_ns, width_ns=width_ns)
    now_ns = 9 * NS_PER_S
    assert times.uncertainty_ns(now_ns) < NS_PER_MS
    assert abs(times.to_host(now_ns) - (OFFSET_NS + now_ns)) < NS_PER_MS
