"""Prometheus metrics of one process: latency histograms of its stages, and its counters."""

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Gauge, Histogram, start_http_server

_BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.048, 0.075, 0.1, 0.25, 1.0, 5.0, 30.0)


class Metrics:
    """A registry of its own, so that two services in one test process do not clash."""

    def __init__(self, service: str) -> None:
        self._service = service
        self._registry = CollectorRegistry()
        self._stages = Histogram(
            "inspector_stage_seconds",
            "Time spent in a stage",
            ["service", "stage"],
            buckets=_BUCKETS_S,
            registry=self._registry,
        )
        self._counters = Gauge(
            "inspector_count", "A service's counters", ["service", "name"], registry=self._registry
        )

    def observe_ns(self, stage: str, duration_ns: int) -> None:
        """Count one passage through a stage."""
        self._stages.labels(self._service, stage).observe(duration_ns / 1e9)

    def set_counters(self, counters: Mapping[str, float]) -> None:
        for name, value in counters.items():
            self._counters.labels(self._service, name).set(value)

    def serve(self, host: str, port: int) -> None:
        """Answer scrapes on a daemon thread."""
        start_http_server(port, host, self._registry)
