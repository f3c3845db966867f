"""Which services are down, as far as the arbiter has been told, so that a verdict can say why."""

from inspector.types import Health, ServiceState

DETECTOR = "detector"
EXPLAINER = "explainer"
_UP = {ServiceState.READY, ServiceState.DEGRADED}
_FOREVER = 1 << 62
_NEVER = -_FOREVER

_SETTLING_NS = 550_000_000
"""A service that has just come up may still miss a part: so did the first one after four of six restarts of a
camera, at ten parts a second; why is not known."""


class Outages:
    """Remembers, for each service, when it was last down."""

    def __init__(self) -> None:
        self._down_until_ns: dict[str, int] = {}
        self.opinions_offered = False

    def see(self, health: Health) -> None:
        """Take a change of a service's state."""
        if health.service == EXPLAINER:
            self.opinions_offered = health.state in _UP and health.counters.get("opinions_offered", 0) > 0
        if health.state not in _UP:
            self._down_until_ns[health.service] = _FOREVER
        elif self._down_until_ns.get(health.service) == _FOREVER:
            self._down_until_ns[health.service] = health.at_ns + _SETTLING_NS

    def since(self, start_ns: int, missing: tuple[str, ...]) -> str:
        """Name the service whose outage after `start_ns` explains the missing vision, or ""."""
        cameras = [name.removeprefix("vision.") for name in missing if name.startswith("vision.")]
        suspects = [f"camera.{camera}" for camera in cameras] + ([DETECTOR] if cameras else [])
        down = [name for name in suspects if self._down_until_ns.get(name, _NEVER) >= start_ns]
        return f"{down[0]} down" if down else ""
