"""Micro-batching: requests that come together share one call of the networks."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from vultus.analysis import Analysis, Analyzer, Subject
from vultus.predictors import EMBEDDING, choose
from vultus.service.errors import overloaded
from vultus.service.settings import Batching


@dataclass(frozen=True, slots=True)
class Task:
    """What is wanted of a picture: templates or not, of every face or of the one it is about.

    ``fields`` names further predictors, see :mod:`vultus.predictors`.
    """

    embed: bool = False
    fields: tuple[str, ...] = ()
    subject: Subject | None = None


#: Every field of every face, but templates.
EVERYTHING = Task(fields=choose(skip=[EMBEDDING]))


@dataclass(frozen=True, slots=True)
class _Waiting:
    picture: bytes
    task: Task
    answer: asyncio.Future[Analysis]


class Batcher:
    """A bounded queue of pictures in front of an analyzer.

    Workers take what waits, at most ``max_batch`` pictures, and analyse it in a thread. A picture
    is accepted or refused at once: nothing but the bounded queue grows under load.

    Parameters
    ----------
    observe
        Called with the number of pictures and the seconds of each batch.
    """

    def __init__(
        self,
        analyzer: Analyzer,
        settings: Batching,
        observe: Callable[[int, float], None] = lambda pictures, seconds: None,
    ) -> None:
        self._analyzer = analyzer
        self._settings = settings
        self._observe = observe
        self._waiting: deque[_Waiting] = deque()
        self._arrived = asyncio.Event()
        self._turn = asyncio.Lock()
        self._closing = False
        self._seconds_per_picture = 0.05
        self._pool = ThreadPoolExecutor(settings.workers, "vultus-batch")
        self._workers: list[asyncio.Task[None]] = []

    @property
    def depth(self) -> int:
        """Pictures that wait."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to work; call inside a running event loop."""
        self._workers = [asyncio.create_task(self._work()) for _ in range(self._settings.workers)]

    async def close(self) -> None:
        """Finish everything that was accepted, then stop."""
        self._closing = True
        self._arrived.set()
        await asyncio.gather(*self._workers)
        self._pool.shutdown()

    async def submit(self, pictures: Sequence[bytes], task: Task) -> list[Analysis]:
        """Analyse pictures, all or none of which are accepted.

        Raises
        ------
        ApiError
            With status 429 if the queue has no room for them.
        """
        room = self._settings.queue - len(self._waiting)
        if len(pictures) > room or self._closing:
            seconds = math.ceil(self._seconds_per_picture * max(len(self._waiting), 1))
            raise overloaded("the queue of pictures is full", min(max(seconds, 1), 60))
        loop = asyncio.get_running_loop()
        items = [_Waiting(picture, task, loop.create_future()) for picture in pictures]
        self._waiting.extend(items)
        self._arrived.set()
        return list(await asyncio.gather(*(item.answer for item in items)))

    async def _work(self) -> None:
        while batch := await self._gather():
            loop = asyncio.get_running_loop()
            begun = loop.time()
            groups: dict[Task, list[_Waiting]] = {}
            for item in batch:
                groups.setdefault(item.task, []).append(item)
            for task, items in groups.items():
                await self._run(task, items)
            seconds = loop.time() - begun
            self._seconds_per_picture += 0.2 * (seconds / len(batch) - self._seconds_per_picture)
            self._observe(len(batch), seconds)

    async def _gather(self) -> list[_Waiting]:
        """Return the next batch; an empty one when there will be none."""
        async with self._turn:
            idle = False
            while True:
                if not self._waiting:
                    if self._closing:
                        return []
                    idle = True
                    self._arrived.clear()
                    await self._arrived.wait()
                    continue
                # What came while the last batch was at work has waited long enough.
                few = len(self._waiting) < self._settings.max_batch
                if idle and few and not self._closing:
                    await asyncio.sleep(self._settings.max_wait_ms / 1000)
                count = min(len(self._waiting), self._settings.max_batch)
                taken = [self._waiting.popleft() for _ in range(count)]
                # Whoever asked may have gone meanwhile.
                if wanted := [item for item in taken if not item.answer.done()]:
                    return wanted

    async def _run(self, task: Task, items: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        pictures = [item.picture for item in items]
        try:
            found = await loop.run_in_executor(self._pool, self._analyse, task, pictures)
        except Exception as error:
            if len(items) > 1:
                # One picture that breaks something must not fail the others.
                for item in items:
                    await self._run(task, [item])
            elif not items[0].answer.done():
                items[0].answer.set_exception(error)
            return
        for item, analysis in zip(items, found, strict=True):
            if not item.answer.done():
                item.answer.set_result(analysis)

    def _analyse(self, task: Task, pictures: list[bytes]) -> list[Analysis]:
        return list(
            self._analyzer.stream(
                pictures, embed=task.embed, fields=task.fields, subject=task.subject
            )
        )
