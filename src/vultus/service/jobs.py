"""Work that takes longer than a request: a bounded queue, one job at a time, cancellable."""

from __future__ import annotations

import asyncio
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, Literal

from vultus.service.errors import ApiError, overloaded
from vultus.service.settings import Jobs

State = Literal["waiting", "running", "done", "failed", "cancelled"]


class Cancelled(Exception):
    """Raised by work that was told to stop."""


@dataclass(slots=True)
class Job:
    """One piece of work and what became of it.

    Parameters
    ----------
    owner
        Id of the key that asked for it; nobody else sees it.
    work
        Called in a thread with the job; it calls :meth:`step` often.
    release
        Called once, when the job's input is no longer needed.
    kept
        What the work leaves behind beside its result; goes with the job.
    """

    id: str
    owner: str
    total: int
    work: Callable[[Job], dict[str, Any]]
    release: Callable[[], None]
    state: State = "waiting"
    done: int = 0
    result: dict[str, Any] | None = None
    error: ApiError | None = None
    kept: object = None
    ended: float = 0.0
    stop: threading.Event = field(default_factory=threading.Event)

    def step(self, *_: Any) -> None:
        """Count one picture; raise :class:`Cancelled` if the job was told to stop."""
        if self.stop.is_set():
            raise Cancelled
        self.done += 1


class JobQueue:
    """Runs jobs in order. Jobs live in memory: they end with the process."""

    def __init__(self, settings: Jobs, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._queue: asyncio.Queue[Job] = asyncio.Queue()
        self._pool = ThreadPoolExecutor(1, "vultus-job")
        self._runner: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to work; call inside a running event loop."""
        self._runner = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Cancel every job and stop."""
        for job in list(self._jobs.values()):
            self._cancel(job)
        if self._runner:
            # Wait for the thread, which stops after the picture at hand.
            await asyncio.get_running_loop().run_in_executor(None, self._pool.shutdown)
            self._runner.cancel()

    def check_room(self) -> None:
        """Raise :class:`ApiError` 429 if no further job may wait."""
        self._forget()
        waiting = sum(job.state == "waiting" for job in self._jobs.values())
        if waiting >= self._settings.waiting:
            raise overloaded("too many jobs wait already", 10)

    def add(
        self,
        owner: str,
        total: int,
        work: Callable[[Job], dict[str, Any]],
        release: Callable[[], None],
    ) -> Job:
        """Queue a job; raise :class:`ApiError` 429 if no further one may wait."""
        self.check_room()
        job = Job(secrets.token_urlsafe(16), owner, total, work, release)
        self._jobs[job.id] = job
        self._queue.put_nowait(job)
        return job

    def get(self, identifier: str, owner: str) -> Job:
        """Return a job; raise :class:`ApiError` 404 for one that is unknown or someone else's."""
        self._forget()
        job = self._jobs.get(identifier)
        if job is None or job.owner != owner:
            raise ApiError(404, "not_found", "there is no such job, or its result is gone")
        return job

    def cancel(self, identifier: str, owner: str) -> Job:
        """Stop a job, and forget its result if there is one already."""
        job = self.get(identifier, owner)
        if job.state in ("waiting", "running"):
            self._cancel(job)
        else:
            del self._jobs[job.id]
        return job

    def _cancel(self, job: Job) -> None:
        job.stop.set()
        if job.state == "waiting":
            self._end(job, "cancelled")

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            job = await self._queue.get()
            if job.state != "waiting":
                continue
            job.state = "running"
            try:
                job.result = await loop.run_in_executor(self._pool, job.work, job)
                self._end(job, "done")
            except Cancelled:
                self._end(job, "cancelled")
            except ApiError as error:
                job.error = error
                self._end(job, "failed")
            except Exception:
                job.error = ApiError(500, "internal", "something went wrong here")
                self._end(job, "failed")
            # Also where nobody asks again.
            loop.call_later(self._settings.seconds_kept + 1, self._forget)

    def _end(self, job: Job, state: State) -> None:
        job.state, job.ended = state, self._clock()
        job.release()
        # The work holds the pictures.
        job.work = job.release = _nothing

    def _forget(self) -> None:
        ended = [job for job in self._jobs.values() if job.ended]
        ended.sort(key=lambda job: job.ended)
        limit = self._clock() - self._settings.seconds_kept
        for number, job in enumerate(ended):
            if job.ended < limit or number < len(ended) - self._settings.kept:
                del self._jobs[job.id]


def _nothing(*_: Any) -> Any:
    return None
