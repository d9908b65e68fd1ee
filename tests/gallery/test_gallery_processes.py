"""Several processes at one gallery, some of which are killed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gallery_worker as worker
import numpy as np
import pytest

from vultus.errors import GalleryError
from vultus.gallery import Gallery


class Workers:
    """Starts processes, and ends those that are still running."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []

    def start(self, task: str, seed: int = 0) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, worker.__file__, task, str(self.folder), str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process


@pytest.fixture
def gallery(tmp_path: Path) -> Gallery:
    return Gallery.create(
        tmp_path / "gallery", space=worker.SPACE, dim=worker.DIM, key=worker.key(0)
    )


@pytest.fixture
def workers(gallery: Gallery) -> Iterator[Workers]:
    started = Workers(gallery.path)
    yield started
    for process in started.started:
        process.kill()
        process.communicate()


def kill_after(process: subprocess.Popen[str], lines: int) -> str:
    """Kill a process when it has said so many lines, and return the last one."""
    assert process.stdout is not None
    line = ""
    for _ in range(lines):
        line = process.stdout.readline()
    process.kill()
    process.wait()
    return line


def finished(process: subprocess.Popen[str]) -> list[str]:
    """Wait for a process to end well and return what it said."""
    out, errors = process.communicate()
    assert process.returncode == 0, errors
    return out.splitlines()


def check_complete(gallery: Gallery) -> None:
    assert gallery.verify().ok
    assert [face.face_id for face in gallery.faces()] == sorted(
        item.face_id for item in worker.faces()
    )
    assert set(gallery.persons().values()) == {4}
    found = gallery.search([item.template for item in worker.faces()], 1)
    assert [match.person for (match,) in found] == [item.person for item in worker.faces()]


def test_killed_enrolments_lose_and_double_nothing(gallery: Gallery, workers: Workers) -> None:
    rng = np.random.default_rng(11)
    reader = workers.start("read")
    here = 0
    # The last face of a batch is said just before its commit; others while the next one is read.
    for lines in (worker.BATCH * 3, worker.BATCH * 9 + int(rng.integers(16)), worker.BATCH * 20):
        kill_after(workers.start("enroll"), lines)
        assert gallery.verify().ok
        stored = len(gallery)
        assert stored % worker.BATCH == 0
        assert stored >= here
        here = stored
    assert 0 < here < worker.FACES
    *_, last = finished(workers.start("enroll"))
    assert last == f"added {worker.FACES - here}"
    check_complete(gallery)
    seen = [int(line) for line in finished(reader)]
    assert seen == sorted(seen)
    assert seen[-1] == worker.FACES


def test_two_writers_at_once_store_each_face_once(gallery: Gallery, workers: Workers) -> None:
    writers = [workers.start("enroll", seed) for seed in (1, 2)]
    added = [int(finished(process)[-1].split()[1]) for process in writers]
    assert sum(added) == worker.FACES
    check_complete(gallery)


def test_a_killed_rekeying_leaves_one_key_that_opens(gallery: Gallery, workers: Workers) -> None:
    gallery.enroll(worker.faces(), batch=worker.FACES)
    number = 0
    for lines in (3, 6):
        said = int(kill_after(workers.start("rekey", number), lines))
        opened = []
        for candidate in range(said + 3):
            try:
                opened.append((candidate, Gallery.open(gallery.path, worker.key(candidate))))
            except GalleryError as error:
                # Whatever else goes wrong fails the test.
                if "wrong key" not in str(error):
                    raise
        ((number, survivor),) = opened
        assert number >= said - 1
        check_complete(survivor)
        assert len(list(gallery.path.glob("*.lance"))) == 1
