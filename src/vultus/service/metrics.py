"""Counters and timings for Prometheus, without any global registry."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """What one application measures of itself."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.requests = Counter(
            "vultus_requests",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self.seconds = Histogram(
            "vultus_request_seconds",
            "Time from the first byte of a request to the end of its response.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.active = Gauge("vultus_active_requests", "Requests at work.", registry=self._registry)
        self.queue = Gauge(
            "vultus_queue_pictures", "Pictures that wait for the networks.", registry=self._registry
        )
        self.batch = Histogram(
            "vultus_batch_pictures",
            "Pictures in one call of the networks.",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=self._registry,
        )
        self.batch_seconds = Histogram(
            "vultus_batch_seconds",
            "Time of one call of the networks.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self.faces = Counter("vultus_faces", "Faces found.", registry=self._registry)

    def observe_batch(self, pictures: int, seconds: float) -> None:
        """Count one call of the networks."""
        self.batch.observe(pictures)
        self.batch_seconds.observe(seconds)

    def text(self) -> bytes:
        """Return everything in the text format of Prometheus."""
        return generate_latest(self._registry)
