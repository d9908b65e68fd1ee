"""Pictures in, faces out."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vultus.analysis import Analyzer, choose_subject, default_weights
from vultus.errors import ImageError, NoFaceError
from vultus.faces import Face
from vultus.images import save_image
from vultus.runtime import manifest


def face(x: float, size: float) -> Face:
    return Face([x, 0, x + size, size], 0.9, np.zeros((5, 2)))


def test_a_portrait_has_one_embedded_face(analyzer: Analyzer, astronaut: np.ndarray) -> None:
    (found,) = analyzer.analyze(astronaut)
    assert found.embedding.space == analyzer.embedder.space
    # Eileen Collins's nose is near (225, 120).
    assert np.abs(found.keypoints[2] - (225, 120)).max() < 15


def test_the_stream_agrees_with_single_calls(
    analyzer: Analyzer, astronaut: np.ndarray, grace_hopper: np.ndarray
) -> None:
    pictures = [astronaut, grace_hopper, np.zeros((40, 50, 3), np.uint8)] * 7
    results = list(analyzer.stream(pictures))
    assert [len(r.faces) for r in results] == [1, 1, 0] * 7
    assert (results[2].width, results[2].height) == (50, 40)
    for result, picture in zip(results[:2], pictures, strict=False):
        (alone,) = analyzer.analyze(picture)
        assert result.faces[0].embedding.similarity(alone.embedding) > 0.99999


def test_a_broken_picture_is_reported_in_its_place(
    analyzer: Analyzer, astronaut: np.ndarray
) -> None:
    good, bad, again = analyzer.stream([astronaut, b"not a picture", astronaut], keep_images=True)
    assert good.error is None
    assert again.error is None
    assert bad.error
    assert bad.faces == ()
    assert good.image is not None
    assert "error" in bad.to_dict()
    assert "error" not in good.to_dict()


def test_long_paths_are_kept_whole(
    analyzer: Analyzer, astronaut: np.ndarray, tmp_path: Path
) -> None:
    path = tmp_path / f"{'long' * 50}.png"
    save_image(path, astronaut)
    (result,) = analyzer.stream([path])
    assert result.source == str(path)


def test_the_subject_can_be_missing(analyzer: Analyzer) -> None:
    (result,) = analyzer.stream([np.zeros((64, 64, 3), np.uint8)], subject="largest")
    assert result.error == "no face was found"
    with pytest.raises(NoFaceError, match="no face was found"):
        analyzer.embed_subject(np.zeros((64, 64, 3), np.uint8))


def test_exif_rotation_does_not_change_the_template(
    analyzer: Analyzer, astronaut: np.ndarray
) -> None:
    turned = Image.fromarray(np.rot90(astronaut, 1))
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    turned.save(stream, "PNG", exif=exif)
    (upright,) = analyzer.analyze(astronaut)
    (restored,) = analyzer.analyze(stream.getvalue())
    assert restored.embedding.similarity(upright.embedding) > 0.9999


def test_unreadable_pictures_raise(analyzer: Analyzer) -> None:
    with pytest.raises(ImageError, match=r"nowhere\.jpg"):
        analyzer.detect("nowhere.jpg")


@pytest.mark.parametrize(
    ("subject", "expected"), [("largest", 0), ("central", 1)], ids=["largest", "central"]
)
def test_subjects(subject: str, expected: int) -> None:
    faces = [face(0, 40), face(45, 10), face(90, 10)]
    assert choose_subject(faces, (20, 100), subject, "a.jpg") is faces[expected]  # type: ignore[arg-type]


def test_only_refuses_company() -> None:
    with pytest.raises(NoFaceError, match=r"a\.jpg: 2 faces"):
        choose_subject([face(0, 40), face(45, 10)], (20, 100), "only", "a.jpg")
    alone = face(0, 40)
    assert choose_subject([alone], (20, 100), "only", "a.jpg") is alone


def test_default_weights_may_be_used_commercially() -> None:
    weights = manifest()
    assert default_weights()
    assert all(weights[name].commercial == "yes" for name in default_weights())
