"""Faults of the link, at a bounded rate. Pure."""

from inspector.clock import NS_PER_S
from inspector.types import Fault

EVERY_NS = 10 * NS_PER_S


class FaultLog:
    """Tells each code at once and then at most every ten seconds, with how many there were."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._told_ns: dict[str, int] = {}
        self._held: dict[str, tuple[int, str]] = {}  # code to how many, and the last text

    def add(self, code: str, text: str) -> None:
        """Note one fault."""
        self._held[code] = (self._held.get(code, (0, ""))[0] + 1, text)

    def take(self, now_ns: int) -> list[Fault]:
        """Return the faults that are to be told now."""
        faults = []
        for code, (count, text) in list(self._held.items()):
            if now_ns - self._told_ns.get(code, -EVERY_NS) < EVERY_NS:
                continue
            del self._held[code]
            self._told_ns[code] = now_ns
            more = f" ({count} times, last)" if count > 1 else ""
            faults.append(Fault(service=self._service, code=code, text=f"{text}{more}", at_ns=now_ns))
        return faults
