"""Searches that come together are answered together, each with its own answer or failure."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest

from vultus.errors import ConfigError
from vultus.service.errors import ApiError
from vultus.service.searching import Question, Searches

BY_THRESHOLD = Question(0.01, 0.5, 3)
BY_RATE = Question(0.01, None, 3)


class Store:
    """A gallery of ten faces that answers each query with the query itself."""

    def __init__(self):
        self.calls = []

    def __len__(self):
        return 10

    def identify(self, queries, threshold, k):
        self.calls.append((list(queries), threshold, k))
        return [SimpleNamespace(person=query) for query in queries]


class Reader:
    """Runs work at once, or as soon as its gate opens; counts the calls."""

    def __init__(self, store):
        self.store, self.calls, self.gate = store, 0, asyncio.Event()
        self.gate.set()

    async def __call__(self, name, work):
        self.calls += 1
        await self.gate.wait()
        if name != "people":
            raise ApiError(404, "not_found", "there is no gallery of this name")
        return work(self.store)


def names(answers):
    return [answer.person for answer in answers]


def test_what_comes_while_a_call_is_at_work_shares_the_next_one():
    async def run():
        store = Store()
        reader = Reader(store)
        searches = Searches(reader, None)
        reader.gate.clear()
        first = asyncio.create_task(searches.identify("people", ["a"], BY_THRESHOLD))
        while not reader.calls:
            await asyncio.sleep(0)
        later = [
            asyncio.create_task(searches.identify("people", templates, BY_THRESHOLD))
            for templates in (["b", "c"], [], ["d"])
        ]
        await asyncio.sleep(0)
        reader.gate.set()
        found = await asyncio.gather(first, *later)
        assert [names(answers) for _, answers in found] == [["a"], ["b", "c"], [], ["d"]]
        assert {(limit.value, limit.enrolled) for limit, _ in found} == {(0.5, 10)}
        assert [queries for queries, *_ in store.calls] == [["a"], ["b", "c", "d"]]
        assert reader.calls == 2

    asyncio.run(run())


def test_a_rate_that_cannot_be_had_fails_only_who_asked_for_it():
    async def run():
        searches = Searches(Reader(Store()), None)
        good, bad = await asyncio.gather(
            searches.identify("people", ["a"], BY_THRESHOLD),
            searches.identify("people", ["b"], BY_RATE),
            return_exceptions=True,
        )
        assert names(good[1]) == ["a"]
        assert isinstance(bad, ConfigError)

    asyncio.run(run())


def test_a_gallery_that_fails_fails_all_who_asked_it_and_nobody_else():
    async def run():
        searches = Searches(Reader(Store()), None)
        good, *bad = await asyncio.gather(
            searches.identify("people", ["a"], BY_THRESHOLD),
            searches.identify("strangers", ["b"], BY_THRESHOLD),
            searches.identify("strangers", ["c"], Question(0.01, 0.7, 1)),
            return_exceptions=True,
        )
        assert names(good[1]) == ["a"]
        assert [error.status_code for error in bad] == [404, 404]
        with pytest.raises(ApiError):
            await searches.identify("strangers", ["b"], BY_THRESHOLD)

    asyncio.run(run())


def test_who_has_gone_is_not_searched_for():
    async def run():
        store = Store()
        searches = Searches(Reader(store), None)
        gone = asyncio.create_task(searches.identify("people", ["a"], BY_THRESHOLD))
        await asyncio.sleep(0)
        gone.cancel()
        _, answers = await searches.identify("people", ["b"], BY_THRESHOLD)
        assert names(answers) == ["b"]
        assert [queries for queries, *_ in store.calls] == [["b"]]

    asyncio.run(run())
