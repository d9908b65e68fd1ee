"""Limits on bytes, pictures, time, queue and rates: refused before the cost arises."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import h11
import pytest
from failure_shape import check_failure
from scripted_analyzer import picture

from vultus.service.batching import Batcher, Task
from vultus.service.logs import LOGGER
from vultus.service.settings import Batching, Jobs, Rates, UploadLimits

JPEG = {"content-type": "image/jpeg"}


def call(app, body, headers, path="/v1/detect", host=b"127.0.0.1", refuse=None):
    """Call an application with a stream of pieces; return status, body, and how many it took."""
    taken, sent = 0, []
    pieces = iter(body)

    async def receive():
        nonlocal taken
        piece = next(pieces, None)
        if piece is None:
            # A body that never ends and never comes.
            await asyncio.Event().wait()
        taken += 1
        return {"type": "http.request", "body": piece, "more_body": True}

    async def send(message):
        if refuse is not None:
            raise refuse
        sent.append(message)

    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST",
        "scheme": "http", "path": path, "raw_path": path.encode(), "query_string": b"",
        "root_path": "", "headers": [(b"host", host), *headers], "client": ("127.0.0.1", 5),
        "server": ("127.0.0.1", 80),
    }  # fmt: skip
    asyncio.run(app(scope, receive, send))
    if not sent:
        return None, b"", taken
    return sent[0]["status"], b"".join(m.get("body", b"") for m in sent[1:]), taken


TYPE = (b"content-type", b"image/jpeg")


def test_a_body_of_unstated_length_is_refused_while_it_comes(serve):
    app = serve(limits=UploadLimits(picture_bytes=10_000, request_bytes=20_000)).app
    status, _, taken = call(app, (bytes(1000) for _ in range(10**6)), [TYPE])
    assert status == 413
    assert taken == 11


def test_a_form_is_refused_at_the_picture_that_is_too_large(serve):
    app = serve(limits=UploadLimits(picture_bytes=10_000, request_bytes=10**6)).app
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    pieces = [head, *(bytes(1000) for _ in range(1000))]
    kind = (b"content-type", b"multipart/form-data; boundary=x")
    status, _, taken = call(app, pieces, [kind])
    assert status == 413
    assert taken == 12


def test_a_stated_length_is_refused_before_anything_is_read(serve):
    app = serve().app
    status, _, taken = call(app, [], [TYPE, (b"content-length", b"99999999999")])
    assert (status, taken) == (413, 0)


def test_a_stated_length_of_thousands_of_digits_is_refused(serve):
    status, _, taken = call(serve().app, [], [TYPE, (b"content-length", b"9" * 5000)])
    assert (status, taken) == (413, 0)


@pytest.mark.parametrize(
    ("reason", "level"),
    [
        ("can't handle event type Response when role=SERVER and state=MUST_CLOSE", logging.INFO),
        ("Illegal header value b'\\x00'", logging.ERROR),
    ],
)
def test_a_connection_that_the_server_gave_up_is_no_failure_of_the_service(
    serve, caplog, monkeypatch, reason, level
):
    monkeypatch.setattr(logging.getLogger(LOGGER), "propagate", True)
    app = serve().app
    with caplog.at_level(logging.INFO, LOGGER), contextlib.suppress(h11.LocalProtocolError):
        call(app, [], [TYPE], host=b"elsewhere", refuse=h11.LocalProtocolError(reason))
    assert [record.levelno for record in caplog.records if record.name == LOGGER] == [level]


def test_documents_have_a_limit_of_their_own(serve):
    client = serve(limits=UploadLimits(json_bytes=100))
    check_failure(client.post("/v1/galleries", json={"name": "a" * 200}), 413, "too_large")
    app = client.app
    kind = (b"content-type", b"application/json")
    status, _, taken = call(app, (b" " * 60 for _ in range(9)), [kind], "/v1/galleries")
    assert (status, taken) == (413, 2)


def test_a_body_that_does_not_come_ends_in_a_timeout(serve):
    app = serve(limits=UploadLimits(body_seconds=0.05)).app
    status, body, _ = call(app, [b"face 1"], [TYPE])
    assert status == 408
    assert b'"timeout"' in body


def test_memory_of_refused_bodies_is_free_again(serve):
    client = serve(limits=UploadLimits(picture_bytes=1000, held_bytes=5000, body_seconds=0.05))
    for _ in range(10):
        client.post("/v1/detect", content=bytes(2000), headers=JPEG)
        client.post("/v1/detect", content=picture(1), headers=JPEG)
        call(client.app, [bytes(900)], [TYPE])
    assert client.app.state.service.memory._left == 5000


def test_bodies_beyond_the_memory_for_bodies_are_refused(serve):
    client = serve(limits=UploadLimits(held_bytes=1000))
    response = client.post("/v1/detect", content=bytes(2000), headers=JPEG)
    check_failure(response, 429, "overloaded")
    assert int(response.headers["retry-after"]) >= 1


def test_too_many_pictures_or_fields_are_refused(serve):
    client = serve(limits=UploadLimits(pictures=2))
    files = [("file", picture(i)) for i in range(3)]
    check_failure(client.post("/v1/analyze", files=files), 413, "too_large")
    check_failure(client.post("/v1/detect", files=files[:2]), 413, "too_large")
    long = client.post("/v1/cluster", files=files[:1], data={"must_link": ["0#0=0#0"] * 100})
    check_failure(long, 413, "too_large")


def test_requests_that_come_together_share_a_batch(serve, scripted):
    client = serve(batching=Batching(max_batch=4, queue=16))
    with HeldBack(client, scripted) as pool:
        answers = [pool.submit(detect, client, number) for number in range(8)]
        wait_for(lambda: client.app.state.service.batcher.depth == 8)
    assert all(answer.result().status_code == 200 for answer in answers)
    found = [answer.result().json()["faces"][0]["box"][0] for answer in answers]
    assert found == list(range(8))
    assert scripted.batches[1:] == [4, 4]


def test_only_the_first_picture_after_a_pause_waits_for_company(scripted, monkeypatch):
    pauses = []

    async def pause(seconds, plain=asyncio.sleep):
        pauses.append(seconds)
        await plain(0)

    async def run():
        batcher = Batcher(scripted, Batching(max_batch=4, queue=16, max_wait_ms=5.0))
        batcher.start()
        scripted.gate.clear()
        first = asyncio.create_task(batcher.submit([picture(1)], Task()))
        await asyncio.get_running_loop().run_in_executor(None, scripted.begun.acquire)
        later = [asyncio.create_task(batcher.submit([picture(n)], Task())) for n in (2, 3)]
        while batcher.depth < 2:
            await asyncio.get_running_loop().run_in_executor(None, str)
        scripted.gate.set()
        await asyncio.gather(first, *later)
        await batcher.close()

    monkeypatch.setattr(asyncio, "sleep", pause)
    asyncio.run(run())
    assert scripted.batches == [1, 2]
    assert pauses == [0.005]


def test_a_full_queue_answers_429_and_what_waits_is_finished(serve, scripted):
    client = serve(batching=Batching(max_batch=2, queue=4))
    with HeldBack(client, scripted) as pool:
        waiting = [pool.submit(detect, client, number) for number in range(4)]
        wait_for(lambda: client.app.state.service.batcher.depth == 4)
        for number in range(20):
            response = detect(client, number)
            check_failure(response, 429, "overloaded")
            assert 1 <= int(response.headers["retry-after"]) <= 60
        assert client.app.state.service.batcher.depth == 4
        assert client.get("/v1/health").status_code == 200
    assert [answer.result().status_code for answer in waiting] == [200] * 4
    assert detect(client, 1).status_code == 200


def test_requests_beyond_the_number_at_work_are_refused_but_health_is_not(serve, scripted):
    client = serve(limits=UploadLimits(concurrent=1))
    with HeldBack(client, scripted):
        check_failure(detect(client, 1), 429, "overloaded")
        assert client.get("/v1/health").status_code == 200
        assert client.get("/v1/ready").status_code == 200


def test_what_was_accepted_is_finished_when_the_service_stops(serve, scripted):
    client = serve()
    with HeldBack(client, scripted) as pool:
        waiting = pool.submit(detect, client, 7)
        wait_for(lambda: client.app.state.service.batcher.depth == 1)
        service = client.app.state.service
        closing = asyncio.run_coroutine_threadsafe(service.batcher.close(), loop_of(client))
        wait_for(lambda: service.batcher._closing)
        check_failure(detect(client, 8), 429, "overloaded")
        scripted.gate.set()
        closing.result(30)
    assert waiting.result().status_code == 200


def test_comparisons_are_limited_by_key_not_other_verbs(serve):
    client = serve(rates=Rates(per_minute=1.0, burst=2))
    client.post("/v1/galleries", json={"name": "people"})
    files = {"first": picture(1), "second": picture(1)}
    assert client.post("/v1/verify?threshold=0.5", files=files).status_code == 200
    identify = "/v1/galleries/people/identify?threshold=0.9"
    assert client.post(identify, files={"file": picture(1)}).status_code == 200
    for response in (
        client.post("/v1/verify?threshold=0.5", files=files),
        client.post(identify, files={"file": picture(1)}),
    ):
        check_failure(response, 429, "rate_limited")
        assert 30 < int(response.headers["retry-after"]) <= 60
    assert detect(client, 1).status_code == 200


def test_jobs_beyond_the_queue_are_refused(serve, scripted):
    client = serve(jobs=Jobs(waiting=2))
    scripted.gate.clear()
    files = [("file", picture(1))]
    first = client.post("/v1/cluster?threshold=0.5", files=files)
    assert scripted.begun.acquire(timeout=30)
    for _ in range(2):
        assert client.post("/v1/cluster?threshold=0.5", files=files).status_code == 202
    check_failure(client.post("/v1/cluster?threshold=0.5", files=files), 429, "overloaded")
    scripted.gate.set()
    wait_for(lambda: client.get(f"/v1/jobs/{first.json()['id']}").json()["state"] == "done")


@pytest.mark.parametrize("group", [{"queue": 1}, {"workers": 0}, {"max_wait_ms": -1.0}])
def test_impossible_settings_are_refused(group, tmp_path):
    from vultus.errors import ConfigError
    from vultus.service import read_service_settings

    with pytest.raises(ConfigError):
        read_service_settings(None, galleries=tmp_path, batching=group)


def detect(client, number):
    return client.post("/v1/detect", content=picture(number), headers=JPEG)


def loop_of(client):
    async def own():
        return asyncio.get_running_loop()

    return client.portal.call(own)


class HeldBack:
    """Keep one batch at work inside the block, so that everything else waits."""

    def __init__(self, client, scripted):
        self.client, self.scripted = client, scripted

    def __enter__(self):
        self.scripted.gate.clear()
        self.pool = ThreadPoolExecutor(16)
        self.first = self.pool.submit(detect, self.client, 0)
        assert self.scripted.begun.acquire(timeout=30)
        return self.pool

    def __exit__(self, *_):
        self.scripted.gate.set()
        assert self.first.result().status_code == 200
        self.pool.shutdown()


def wait_for(condition, seconds=30.0):
    """Return once a condition holds; other threads make it hold."""
    done = threading.Event()
    deadline = threading.Timer(seconds, done.set)
    deadline.start()
    try:
        while not condition():
            assert not done.wait(0.002), "did not happen"
    finally:
        deadline.cancel()
