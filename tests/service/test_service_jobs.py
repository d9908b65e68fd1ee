"""Clustering as a job, and the compatibility routes."""

from __future__ import annotations

import pytest
from failure_shape import check_failure
from scripted_analyzer import picture
from test_service_limits import wait_for

from vultus.service.jobs import JobQueue
from vultus.service.settings import Jobs


def submit(client, *pictures, query="threshold=0.5", **fields):
    files = [("file", data) for data in pictures]
    return client.post(f"/v1/cluster?{query}", files=files, data=fields)


def result(client, response):
    assert response.status_code == 202, response.text
    path = f"/v1/jobs/{response.json()['id']}"
    wait_for(lambda: client.get(path).json()["state"] not in ("waiting", "running"))
    return client.get(path).json()


def groups(job):
    return [{(f["picture"], f["face"]) for f in group} for group in job["result"]["people"]]


def test_pictures_are_grouped_into_people(lasting):
    # Two pictures of the same length are two pictures.
    job = result(lasting, submit(lasting, picture(1, 2), picture(2, 1), b"scribble", b"nobody"))
    assert (job["state"], job["pictures"], job["analyzed"]) == ("done", 4, 4)
    assert groups(job) == [{(0, 0), (1, 1)}, {(0, 1), (1, 0)}]
    assert job["result"]["skipped"] == [{"picture": 2, "reason": "not a picture"}]


def test_marks_override_similarity(lasting):
    pictures = picture(1), picture(1, note="x"), picture(2)
    apart = result(lasting, submit(lasting, *pictures, cannot_link="0#0=1#0"))
    assert {(0, 0), (1, 0)} not in groups(apart)
    together = result(lasting, submit(lasting, *pictures, must_link=["0#0=2#0", "0#0=1#0"]))
    assert groups(together) == [{(0, 0), (1, 0), (2, 0)}]


def test_a_mark_on_an_unknown_face_fails_the_job(lasting):
    job = result(lasting, submit(lasting, picture(1), must_link="0#0=0#7"))
    assert (job["state"], job["result"]) == ("failed", None)
    assert job["error"]["code"] == "bad_parameter"


@pytest.mark.parametrize("mark", ["0#0", "a=b", "0#0=0#0;", "-1#0=0#0"])
def test_marks_that_cannot_be_read_are_refused(lasting, mark):
    check_failure(submit(lasting, picture(1), must_link=mark), 422, "bad_parameter")


def test_a_job_is_cancelled_and_its_memory_freed(serve, scripted):
    client = serve()
    memory = client.app.state.service.memory
    before = memory._left
    scripted.gate.clear()
    running = submit(client, picture(1)).json()["id"]
    assert scripted.begun.acquire(timeout=30)
    waiting = submit(client, picture(1)).json()["id"]
    assert memory._left < before
    assert client.delete(f"/v1/jobs/{waiting}").json()["state"] == "cancelled"
    client.delete(f"/v1/jobs/{running}")
    scripted.gate.set()
    wait_for(lambda: client.get(f"/v1/jobs/{running}").json()["state"] == "cancelled")
    assert client.get(f"/v1/jobs/{running}").json()["result"] is None
    assert memory._left == before


def test_a_finished_job_is_forgotten_on_request(lasting):
    job = result(lasting, submit(lasting, picture(1)))
    assert lasting.delete(f"/v1/jobs/{job['id']}").status_code == 200
    check_failure(lasting.get(f"/v1/jobs/{job['id']}"), 404, "not_found")


def test_results_are_kept_for_a_while_and_not_without_end():
    import asyncio

    now = 0.0

    async def scenario():
        nonlocal now
        queue = JobQueue(Jobs(kept=2, seconds_kept=60.0), clock=lambda: now)
        queue.start()
        jobs = []
        for number in range(4):
            now += 1
            jobs.append(queue.add("me", 1, lambda _: {}, lambda: None))
            while jobs[number].state != "done":
                await asyncio.sleep(0)
        queue.check_room()
        kept = [job.id in queue._jobs for job in jobs]
        now += 61
        queue.check_room()
        left = len(queue._jobs)
        await queue.close()
        return kept, left

    assert asyncio.run(scenario()) == ([False, False, True, True], 0)


def test_a_program_for_compreface_finds_its_routes(serve):
    client = serve(compreface_gallery="people")
    client.post("/v1/galleries", json={"name": "people"})
    base = "/api/v1/recognition"
    for number, subject in ((1, "Ada"), (2, "Bob"), (3, "Bob")):
        added = client.post(
            f"{base}/faces", params={"subject": subject}, files={"file": picture(number)}
        )
        assert added.status_code == 201
        assert added.json()["subject"] == subject
    assert client.get(f"{base}/subjects").json() == {"subjects": ["Ada", "Bob"]}
    page = client.get(f"{base}/faces?page=1&size=2").json()
    assert [face["subject"] for face in page["faces"]] == ["Bob"]
    assert (page["total_elements"], page["total_pages"], page["page_number"]) == (3, 2, 1)
    found = client.post(f"{base}/recognize?prediction_count=2", files={"file": picture(2)}).json()
    (face,) = found["result"]
    assert face["box"] == {"probability": 0.9, "x_min": 2, "y_min": 2, "x_max": 12, "y_max": 12}
    assert [s["subject"] for s in face["subjects"]] == ["Bob", "Ada"]
    assert face["subjects"][0]["similarity"] == pytest.approx(1, abs=1e-4)
    assert client.delete(f"{base}/faces/{added.json()['image_id']}").status_code == 200
    assert client.delete(f"{base}/subjects/Ada").json() == {"subject": "Ada"}
    assert client.get(f"{base}/subjects").json() == {"subjects": ["Bob"]}
    files = {"source_image": picture(1), "target_image": picture(2, 1)}
    verified = client.post("/api/v1/verification/verify", files=files).json()["result"][0]
    assert verified["face_matches"][1]["similarity"] == pytest.approx(1, abs=1e-4)
    crowd = {"source_image": picture(1, 2), "target_image": picture(1)}
    check_failure(client.post("/api/v1/verification/verify", files=crowd), 422, "no_face")
    check_failure(client.post(f"{base}/recognize", files={"file": b"nobody"}), 422, "no_face")
    two = client.post(f"{base}/faces?subject=C", files={"file": picture(1, 2)})
    check_failure(two, 422, "no_face")
