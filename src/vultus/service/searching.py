"""Searches that come together share one call of the gallery."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from vultus.errors import VultusError
from vultus.faces import Embedding
from vultus.gallery import Gallery, Identification
from vultus.people import SearchThreshold, search_threshold
from vultus.recognition.calibration import Calibration

Found = tuple[SearchThreshold, list[Identification]]


class Read(Protocol):
    """Runs some work on a gallery of a given name in a thread."""

    def __call__(self, name: str, work: Callable[[Gallery], Any], /) -> Awaitable[Any]: ...


@dataclass(frozen=True, slots=True)
class Question:
    """How faces are searched: a threshold or a rate that gives one, and people to list."""

    fpir: float
    threshold: float | None
    candidates: int


@dataclass(frozen=True, slots=True)
class _Waiting:
    templates: list[Embedding]
    question: Question
    answer: asyncio.Future[Found]


class Searches:
    """Answers who faces are, all that wait for one gallery in one call.

    Looking for newer versions of a gallery costs as much as a small search, and a scan for several
    faces costs far less than as many scans. Nothing waits for company: what comes while a call is
    at work is the next call.

    Parameters
    ----------
    read
        Runs some work on a gallery in a thread.
    calibration
        Gives the threshold where a search names a rate.
    """

    def __init__(self, read: Read, calibration: Calibration | None) -> None:
        self._read = read
        self._calibration = calibration
        self._waiting: dict[str, list[_Waiting]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    async def identify(self, gallery: str, templates: list[Embedding], question: Question) -> Found:
        """Return the threshold that holds and one answer for each template.

        Raises
        ------
        ApiError
            404 without such a gallery.
        ConfigError
            If the calibration cannot support the rate.
        """
        answer: asyncio.Future[Found] = asyncio.get_running_loop().create_future()
        item = _Waiting(templates, question, answer)
        self._waiting.setdefault(gallery, []).append(item)
        if gallery not in self._running:
            self._running[gallery] = asyncio.create_task(self._run(gallery))
        return await answer

    async def _run(self, gallery: str) -> None:
        try:
            while batch := self._waiting.pop(gallery, None):
                await self._answer(gallery, [item for item in batch if not item.answer.done()])
        finally:
            del self._running[gallery]

    async def _answer(self, gallery: str, batch: list[_Waiting]) -> None:
        groups: dict[Question, list[_Waiting]] = {}
        for item in batch:
            groups.setdefault(item.question, []).append(item)

        def search(store: Gallery) -> list[list[Found] | VultusError]:
            enrolled = len(store)
            return [self._group(store, enrolled, *group) for group in groups.items()]

        results: list[list[Found] | Exception]
        try:
            results = await self._read(gallery, search)
        except Exception as error:
            results = [error] * len(groups)
        for items, result in zip(groups.values(), results, strict=True):
            for place, item in enumerate(items):
                if item.answer.done():
                    continue
                if isinstance(result, Exception):
                    item.answer.set_exception(result)
                else:
                    item.answer.set_result(result[place])

    def _group(
        self, store: Gallery, enrolled: int, question: Question, items: list[_Waiting]
    ) -> list[Found] | VultusError:
        """Return the answers to searches of one kind, or why there are none."""
        try:
            limit = search_threshold(
                self._calibration, enrolled, fpir=question.fpir, threshold=question.threshold
            )
            queries = [template for item in items for template in item.templates]
            answers = iter(
                store.identify(queries, limit.value, question.candidates) if queries else []
            )
        except VultusError as error:
            return error
        return [(limit, [next(answers) for _ in item.templates]) for item in items]
