"""Whether a frame is in the detector, by what its cameras sent and what it answered. Pure."""

from inspector.clock import NS_PER_MS

LONGEST_NS = 250 * NS_PER_MS
"""A frame that is not answered for so long holds nobody up any more: its detector is dead, or behind."""


class InFlight:
    """Frames go in and results come out in order, so that a camera's newest of each tells.

    `busy` is bounded: a stretch in which the detector was never empty counts for `longest_ns`
    from its first frame, and the next one begins when everything has been answered.
    """

    def __init__(self, longest_ns: int = LONGEST_NS) -> None:
        self._longest_ns = longest_ns
        self._unanswered: dict[str, int] = {}  # the newest frame of each camera
        self._answered: dict[str, int] = {}
        self._since_ns = 0

    def frame(self, camera_id: str, frame_id: int, now_ns: int) -> None:
        """A frame is there for the detector."""
        if self._answered.get(camera_id) == frame_id:
            return  # its result was heard of first
        if not self._unanswered:
            self._since_ns = now_ns
        self._unanswered[camera_id] = frame_id

    def result(self, camera_id: str, frame_id: int) -> None:
        """The detector has answered a frame, or dropped it."""
        self._answered[camera_id] = frame_id
        if self._unanswered.get(camera_id) == frame_id:
            del self._unanswered[camera_id]

    def busy(self, now_ns: int) -> bool:
        """Return whether a frame is in the detector, and has not been for too long."""
        return bool(self._unanswered) and now_ns < self.until_ns

    @property
    def until_ns(self) -> int:
        """When `busy` ends, whatever is heard."""
        return self._since_ns + self._longest_ns
