"""Enrolling, identifying and grouping people of real portraits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from vultus.analysis import Analyzer
from vultus.errors import ConfigError
from vultus.gallery import Gallery, Key
from vultus.images import find_images, save_image
from vultus.people import cluster, enroll, identify, people_of, search_threshold
from vultus.verbs import calibration_of


@pytest.fixture
def gallery(tmp_path: Path, analyzer: Analyzer) -> Gallery:
    return Gallery.create(
        tmp_path / "gallery",
        space=analyzer.embedder.space,
        dim=analyzer.embedder.dim,
        key=Key.generate(),
    )


def test_folders_name_people(portraits: Path) -> None:
    named = people_of(find_images([portraits]))
    assert {name for _, name in named} == {"collins", "hopper"}


def test_enrolling_twice_changes_nothing(
    gallery: Gallery, analyzer: Analyzer, portraits: Path
) -> None:
    named = people_of(find_images([portraits]))
    first = enroll(gallery, named, analyzer=analyzer)
    again = enroll(gallery, named, analyzer=analyzer)
    assert (first.report.added, again.report.added, again.report.unchanged) == (5, 0, 5)
    assert gallery.persons() == {"collins": 2, "hopper": 3}


def test_pictures_without_a_face_are_reported(
    gallery: Gallery, analyzer: Analyzer, portraits: Path, tmp_path: Path
) -> None:
    save_image(tmp_path / "grey.png", np.full((80, 80, 3), 127, np.uint8))
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff junk")
    named = [(tmp_path / "grey.png", "x"), (tmp_path / "broken.jpg", "x")]
    done = enroll(
        gallery, [*named, (portraits / "hopper" / "small.jpg", "hopper")], analyzer=analyzer
    )
    assert done.report.added == 1
    assert [Path(name).name for name, _ in done.skipped] == ["grey.png", "broken.jpg"]


def test_open_set_identification(gallery: Gallery, analyzer: Analyzer, portraits: Path) -> None:
    known = portraits / "hopper" / "portrait.png"
    enroll(gallery, [(known, "Grace Hopper")], analyzer=analyzer)
    limit = search_threshold(calibration_of(analyzer), 1, fpir=0.01)
    assert limit.fpir is not None
    assert limit.fpir <= 0.01
    probes = [portraits / "hopper" / "mirrored.png", portraits / "collins" / "portrait.png"]
    (_, (hers,)), (_, (other,)) = identify(gallery, probes, limit, analyzer=analyzer)
    assert hers.person == "Grace Hopper"
    assert other.person is None
    assert other.to_dict()["decision"] == "unknown"
    assert other.candidates[0].person == "Grace Hopper", "the nearest is told all the same"


def test_clusters_are_people(analyzer: Analyzer, portraits: Path) -> None:
    grouped = cluster(find_images([portraits]), analyzer=analyzer)
    groups = [{Path(f.source).parent.name for f in group} for group in grouped.people()]
    assert groups == [{"hopper"}, {"collins"}]
    assert [len(group) for group in grouped.people()] == [3, 2]


def test_marks_rule(analyzer: Analyzer, portraits: Path) -> None:
    pictures = find_images([portraits])
    names = {f"{p.parent.name}/{p.stem}": f"{p}#0" for p in pictures}
    grouped = cluster(
        pictures,
        must_link=[(names["collins/portrait"], names["hopper/portrait"])],
        cannot_link=[(names["hopper/portrait"], names["hopper/small"])],
        analyzer=analyzer,
    )
    person = {
        f"{Path(f.source).parent.name}/{Path(f.source).stem}": f.person for f in grouped.faces
    }
    assert person["collins/portrait"] == person["hopper/portrait"]
    assert person["hopper/portrait"] != person["hopper/small"]


def test_faces_of_one_picture_stay_apart(
    analyzer: Analyzer, grace_hopper: np.ndarray, tmp_path: Path
) -> None:
    both = np.concatenate([grace_hopper, grace_hopper[:, ::-1]], axis=1)
    save_image(tmp_path / "twice.png", both)
    grouped = cluster([tmp_path / "twice.png"], analyzer=analyzer)
    assert [f.person for f in grouped.faces] == [0, 1]
    name = tmp_path / "twice.png"
    joined = cluster([name], must_link=[(f"{name}#0", f"{name}#1")], analyzer=analyzer)
    assert [f.person for f in joined.faces] == [0, 0]


def test_marks_of_unknown_faces_are_refused(analyzer: Analyzer, portraits: Path) -> None:
    with pytest.raises(ConfigError, match=r"nobody\.jpg#0"):
        cluster(find_images([portraits]), must_link=[("nobody.jpg#0", "x#1")], analyzer=analyzer)
