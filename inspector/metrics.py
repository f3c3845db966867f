"""Prometheus metrics of one process: latency histograms of its stages, and its counters."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prometheus_client import Gauge, Histogram

_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.048, 0.075, 0.1, 0.25, 1.0, 5.0, 30.0)


class Metrics:
    """Counts from `serve` on; before, and where nobody scrapes, nothing is kept."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._stages: Histogram | None = None
        self._counters: Gauge | None = None

    def observe_ns(self, stage: str, duration_ns: int) -> None:
        """Count one passage through a stage."""
        if self._stages is not None:
            self._stages.labels(self._service, stage).observe(duration_ns / 1e9)

    def set_counters(self, counters: Mapping[str, float]) -> None:
        if self._counters is not None:
            for name, value in counters.items():
                self._counters.labels(self._service, name).set(value)

    def serve(self, host: str, port: int) -> None:
        """Answer scrapes on a daemon thread."""
        # Only now: a service that is not scraped starts sooner without it.
        from prometheus_client import CollectorRegistry, Gauge, Histogram, start_http_server  # noqa: PLC0415

        registry = CollectorRegistry()  # of our own, so that two services in one test process do not clash
        self._stages = Histogram(
            "inspector_stage_seconds",
            "Time spent in a stage",
            ["service", "stage"],
            buckets=_BUCKETS_S,
            registry=registry,
        )
        self._counters = Gauge(
            "inspector_count", "A service's counters", ["service", "name"], registry=registry
        )
        start_http_server(port, host, registry)
