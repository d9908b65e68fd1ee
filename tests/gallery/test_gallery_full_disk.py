"""A disk without room: the error says so, and the gallery is as it was."""

from __future__ import annotations

import errno
import resource
import signal

import numpy as np
import pytest

from vultus.errors import GalleryFullError
from vultus.faces import Embedding
from vultus.gallery import Enrolment, Gallery, Key
from vultus.gallery.header import is_full


def face(person: str, seed: int) -> Enrolment:
    vector = np.random.default_rng(seed).standard_normal(16, np.float32)
    return Enrolment(person, Embedding(vector, "space"), "picture", f"{seed}")


@pytest.fixture
def small_files():
    """Return a switch of the limit on the size of a file that this process writes."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Beyond the limit the system sends a signal, which would end the process.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size or old[0], old[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, old)
    signal.signal(signal.SIGXFSZ, handler)


def test_without_room_every_change_is_refused_whole(tmp_path, small_files):
    key = Key.generate()
    gallery = Gallery.create(tmp_path / "g", space="space", dim=16, key=key)
    gallery.enroll([face("Ada", 1), face("Bo", 2)])
    small_files(64)
    changes = [
        lambda: gallery.enroll([face("Cy", 3)]),
        lambda: gallery.remove(person="Ada"),
        lambda: gallery.rename("Ada", "Eve"),
        lambda: gallery.rekey(Key.generate()),
        lambda: Gallery.create(tmp_path / "h", space="space", dim=16, key=key),
    ]
    for change in changes:
        with pytest.raises(GalleryFullError):
            change()
    assert gallery.persons() == {"Ada": 1, "Bo": 1}
    assert gallery.search([face("Ada", 1).template], 1)[0][0].person == "Ada"
    small_files(None)
    assert gallery.enroll([face("Cy", 3)]).added == 1
    assert gallery.remove(person="Ada") == 1
    assert Gallery.open(tmp_path / "g", key).verify().problems == ()
    assert len(Gallery.create(tmp_path / "h", space="space", dim=16, key=key)) == 0


@pytest.mark.parametrize(
    ("error", "full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EFBIG, "File too large"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (RuntimeError("lance error: No space left on device (os error 28), /src/x.rs"), True),
        (RuntimeError("lance error: Permission denied (os error 13)"), False),
        (RuntimeError("28"), False),
    ],
)
def test_what_counts_as_full(error, full):
    assert is_full(error) is full
