"""What the routes share: the analyzer behind its queue, galleries, keys, rates, audit, jobs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from vultus.analysis import Analysis, Analyzer
from vultus.detection import Detector
from vultus.errors import ConfigError
from vultus.gallery import Gallery, Key
from vultus.images import Limits
from vultus.recognition import Embedder
from vultus.service.audit import AuditLog
from vultus.service.batching import Batcher, Task
from vultus.service.cursors import Cursors
from vultus.service.errors import ApiError, bad_image, overloaded
from vultus.service.folders import Galleries
from vultus.service.jobs import JobQueue
from vultus.service.keys import ANONYMOUS, Caller, KeyRing
from vultus.service.metrics import Metrics
from vultus.service.rates import TokenBuckets
from vultus.service.searching import Searches
from vultus.service.settings import Settings
from vultus.service.uploads import MemoryBudget
from vultus.verbs import calibration_of

T = TypeVar("T")


class Service:
    """Everything behind the routes of one application.

    Raises
    ------
    ConfigError
        If a folder or file of the settings cannot be used, or the address asks for keys.
    GalleryError
        If there is no key for the galleries.
    """

    def __init__(self, settings: Settings, analyzer: Analyzer | None, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.ring = KeyRing(settings.api_keys) if settings.api_keys else None
        check_exposure(settings, self.ring)
        key = Key.load(settings.gallery_key)
        self.analyzer = analyzer or make_analyzer(settings)
        self.calibration = calibration_of(self.analyzer, settings.calibration)
        self.galleries = Galleries(
            settings.galleries,
            key,
            space=self.analyzer.embedder.space,
            dim=self.analyzer.embedder.dim,
            lock_seconds=settings.lock_seconds,
        )
        self.batcher = Batcher(self.analyzer, settings.batching, metrics.observe_batch)
        self.searches = Searches(self.read, self.calibration)
        self.cursors = Cursors(key.derive("cursor"))
        self.audit = AuditLog(settings.audit_log, key)
        self.memory = MemoryBudget(settings.limits.held_bytes)
        self.jobs = JobQueue(settings.jobs)
        self.ready = False
        self._probes = TokenBuckets(settings.rates.per_minute, settings.rates.burst)
        failures = settings.rates.failures_per_minute
        self._failures = TokenBuckets(failures, max(1, int(failures)))
        # Writers may wait for a lock for seconds; readers must not wait behind them.
        self._readers = ThreadPoolExecutor(4, "vultus-read")
        self._writers = ThreadPoolExecutor(4, "vultus-write")

    def start(self) -> None:
        """Begin to work; call inside a running event loop."""
        self.batcher.start()
        self.jobs.start()
        self.ready = True

    async def close(self) -> None:
        """Finish what was accepted, cancel jobs, stop."""
        self.ready = False
        await self.jobs.close()
        await self.batcher.close()
        self._writers.shutdown()
        self._readers.shutdown()
        if self.ring:
            self.ring.close()

    async def caller(self, keys: list[str], address: str) -> Caller:
        """Return who asks.

        Raises
        ------
        ApiError
            401 without a good key, 429 after too many wrong ones from an address.
        """
        if self.ring is None:
            return ANONYMOUS
        if len(keys) != 1 or not 1 <= len(keys[0]) <= 256 or not keys[0].isascii():
            raise _unauthorized()
        known = self.ring.known(keys[0])
        if known is not None:
            return known
        if wait := self._failures.take(address):
            raise overloaded("too many unknown keys from this address", wait, "rate_limited")
        found = await self.ring.check(keys[0])
        if found is None:
            raise _unauthorized()
        return found

    def spend(self, caller: Caller, pictures: int = 1) -> None:
        """Take the tokens of a comparison; raise :class:`ApiError` 429 if there are too few."""
        if wait := self._probes.take(caller.id, pictures):
            raise overloaded("too many comparisons with this key", wait, "rate_limited")

    async def analyze(self, pictures: list[bytes], task: Task) -> list[Analysis]:
        """Analyse pictures through the queue; failures stay in the results."""
        found = await self.batcher.submit(pictures, task)
        self.metrics.faces.inc(sum(len(analysis.faces) for analysis in found))
        return found

    async def analyze_one(self, picture: bytes, task: Task) -> Analysis:
        """Analyse one picture; raise :class:`ApiError` if there is nothing to return."""
        (found,) = await self.analyze([picture], task)
        raise_failure(found)
        return found

    async def read(self, name: str, work: Callable[[Gallery], T]) -> T:
        """Read from a gallery in a thread."""
        return await self._in(self._readers, self.galleries.use, name, work)

    async def write(
        self, name: str, work: Callable[[Gallery], T], action: str, caller: Caller, **facts: Any
    ) -> T:
        """Change a gallery in a thread, with an entry in the audit log before and after."""
        return await self._in(
            self._writers, self._audited, action, caller, name,
            lambda: self.galleries.use(name, work), facts,
        )  # fmt: skip

    async def manage(
        self, name: str, work: Callable[[str], T], action: str, caller: Caller, **facts: Any
    ) -> T:
        """Make or delete a gallery in a thread, with entries in the audit log."""
        return await self._in(
            self._writers, self._audited, action, caller, name, lambda: work(name), facts
        )

    async def note_search(self, caller: Caller, **facts: Any) -> None:
        """Put a search into the audit log, where there is one."""
        if not self.audit.active:
            return
        await self._in(self._readers, self._note, "search", caller, facts)

    async def in_thread(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run something that reads in a thread."""
        return await self._in(self._readers, work, *arguments)

    async def _in(self, pool: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)

    def _note(self, action: str, caller: Caller, facts: dict[str, Any]) -> None:
        self.audit.write(action, key=caller.id, **facts)

    def _audited(
        self,
        action: str,
        caller: Caller,
        gallery: str,
        work: Callable[[], T],
        facts: dict[str, Any],
    ) -> T:
        entry = {"key": caller.id, "gallery": gallery} | facts
        self.audit.write(action, phase="begin", **entry)
        try:
            result = work()
        except Exception as error:
            self.audit.write(action, phase="failed", error=type(error).__name__, **entry)
            raise
        self.audit.write(action, phase="done", **entry)
        return result


def check_exposure(settings: Settings, ring: KeyRing | None) -> None:
    """Raise :class:`ConfigError` if anyone on the network could use the service."""
    if settings.is_loopback or settings.open or (ring is not None and ring.active):
        return
    raise ConfigError(
        f"{settings.host} can be reached from other machines, and there is no API key: make one "
        "with 'vultus serve keys add' and name its file with --api-keys, listen on 127.0.0.1, or "
        "say --open to let everyone in"
    )


def make_analyzer(settings: Settings) -> Analyzer:
    """Return an analyzer within the limits of the settings."""
    limits = settings.limits
    return Analyzer(
        detector=Detector(
            None, settings.provider, settings.batching.threads, max_faces=limits.faces
        ),
        embedder=None
        if settings.recognizer is None
        else Embedder(settings.recognizer, settings.provider, settings.batching.threads),
        provider=settings.provider,
        threads=settings.batching.threads,
        limits=Limits(max_bytes=limits.picture_bytes, max_pixels=limits.pixels),
    )


def raise_failure(found: Analysis, **details: Any) -> None:
    """Raise :class:`ApiError` 422 if an analysis carries a failure."""
    if found.error is None:
        return
    if found.width == 0:
        raise bad_image(found.error, **details)
    raise ApiError(422, "no_face", found.error, details)


def _unauthorized() -> ApiError:
    return ApiError(
        401,
        "unauthorized",
        "send a good API key in the header x-api-key",
        None,
        {"WWW-Authenticate": "ApiKey"},
    )
