"""Gives each camera's result to the part that it belongs to. Pure.

By time (`align`) wherever time leaves one part only. Where it leaves several, because parts are
close together or a camera's clock is not known, the frame count can tell them apart: a camera that
every trigger fires counts its frames as the PLC counts its parts. How far the two counts are apart
is learned from frames that time alone gives to one part, two that agree. A frame that cannot be
told from its neighbour's is nobody's evidence: missing evidence is held, a mistaken frame would be
passed.
"""

from collections import Counter, deque

from inspector.fusion.align import Passages
from inspector.types import FrameResult, PartTrigger, ResultStatus

_WAITING = 128
_NS_PER_US = 1000


class Matcher:
    """The results of the open parts. The order in which results arrive does not matter.

    `by_count` allows the frame count to decide; `numbered` names the camera whose frames are
    themselves the parts, by number, or "".
    """

    def __init__(
        self, cameras: tuple[str, ...], max_skew_ns: int, *, by_count: bool = False, numbered: str = ""
    ) -> None:
        self._cameras = cameras
        self._skew_ns = max_skew_ns
        self._by_count = by_count
        self._numbered = numbered
        self._passages = Passages()
        self._open: dict[str, tuple[PartTrigger, dict[str, FrameResult]]] = {}
        self._unplaced: dict[str, set[str]] = {}
        self._waiting: deque[FrameResult] = deque(maxlen=_WAITING)  # for their trigger
        self._counts: dict[str, _Count] = {}
        self.counters: Counter[str] = Counter()

    def opened(self, trigger: PartTrigger) -> None:
        """A part is there: results that waited for it are its, and those nearer to it than to another."""
        self._passages.add(trigger)
        self._open[trigger.part_id] = (trigger, {})
        again, self._waiting = list(self._waiting), deque(maxlen=_WAITING)
        for other, results in self._open.values():
            if abs(other.trigger_ns - trigger.trigger_ns) <= 4 * self._skew_ns:
                again += results.values()
                results.clear()
        for result in again:
            self.take(result)

    def closed(self, part_id: str) -> None:
        """The part is judged; a result of it that comes later is nobody's."""
        self._open.pop(part_id, None)
        self._unplaced.pop(part_id, None)

    def take(self, result: FrameResult) -> str | None:
        """Take one result. Returns the part that it belongs to, if that is open, else None."""
        parts = self._candidates(result)
        if not parts:
            if len(self._waiting) == _WAITING:
                self.counters["orphan_results"] += 1
            self._waiting.append(result)
            return None
        if len(parts) > 1:
            self.counters["ambiguous_results"] += 1
            for part in (part for part in parts if part.part_id in self._open):
                self._unplaced.setdefault(part.part_id, set()).add(result.camera_id)
            return None
        part_id = parts[0].part_id
        if part_id not in self._open:
            self.counters["late_results"] += 1
            return None
        trigger, results = self._open[part_id]
        known = results.get(result.camera_id)
        if known is not None:
            self.counters["spare_results"] += 1
            result = min(known, result, key=lambda each: _rank(each, trigger.trigger_ns))
        results[result.camera_id] = result
        return part_id

    def results(self, part_id: str) -> tuple[FrameResult, ...]:
        """Return an open part's results, by camera."""
        results = self._open[part_id][1]
        return tuple(results[camera] for camera in sorted(results))

    def complete(self, part_id: str) -> bool:
        """Whether every camera has given a result for this open part, of use or not."""
        results = self._open[part_id][1]
        return all(camera in results for camera in self._cameras)

    def unplaced(self, part_id: str) -> tuple[str, ...]:
        """Return the cameras that have a frame which may be this part's or another's."""
        return tuple(sorted(self._unplaced.get(part_id, ())))

    def _candidates(self, result: FrameResult) -> tuple[PartTrigger, ...]:
        off_us = result.clock_uncertainty_us
        off_ns = None if off_us is None else round(off_us * _NS_PER_US)
        parts = self._passages.candidates(result.exposure_start_ns, off_ns, self._skew_ns)
        if result.camera_id == self._numbered:
            return tuple(part for part in parts if part.seq == result.frame_id)
        if not self._by_count or not parts:
            return parts
        count = self._counts.setdefault(result.camera_id, _Count())
        if len(parts) == 1:
            self.counters["count_slips"] += count.learn(result.frame_id, parts[0].seq)
            return parts
        return tuple(part for part in parts if count.agrees(result.frame_id, part.seq)) or parts


class _Count:
    """How far a camera's frame count is ahead of the PLC's count of parts."""

    def __init__(self) -> None:
        self._ahead = 0
        self._frame_id: int | None = None  # that said so first
        self._sure = False

    def learn(self, frame_id: int, seq: int) -> bool:
        """A frame that is certainly this part's. Returns whether what was sure is wrong now."""
        if self._frame_id is not None and frame_id - seq == self._ahead:
            self._sure = self._sure or frame_id != self._frame_id
            return False
        slipped, self._sure = self._sure, False
        self._ahead, self._frame_id = frame_id - seq, frame_id
        return slipped

    def agrees(self, frame_id: int, seq: int) -> bool:
        return self._sure and frame_id - seq == self._ahead


def _rank(result: FrameResult, trigger_ns: int) -> tuple[bool, int, int, int]:
    """Of two results of one camera for one part: a usable one, then the nearest, then the first."""
    unusable = result.status is not ResultStatus.OK
    far_ns = abs(result.exposure_start_ns - trigger_ns)
    return (unusable, far_ns, result.exposure_start_ns, result.frame_id)
