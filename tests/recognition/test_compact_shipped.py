"""The compact recogniser as shipped: chosen by name, calibrated, kept apart from the other one."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vultus import verbs
from vultus.analysis import Analyzer
from vultus.cli.pictures import make_analyzer
from vultus.errors import GalleryError, WeightsError
from vultus.gallery import Gallery, Key
from vultus.recognition import Embedder
from vultus.runtime import manifest, resolve

NAME = "compact-recogniser"


@pytest.fixture(scope="module")
def compact() -> Embedder:
    return Embedder(NAME, threads=1)


@pytest.fixture
def compact_analyzer(analyzer: Analyzer, compact: Embedder) -> Analyzer:
    return Analyzer(detector=analyzer.detector, embedder=compact, threads=1)


def test_it_is_small_free_and_in_the_package(compact: Embedder) -> None:
    weight = manifest()[NAME]
    assert resolve(NAME, offline=True).stat().st_size == weight.bytes < 3_000_000
    assert weight.commercial == "yes"
    assert compact.dim == 256
    assert compact.space == f"{NAME}@{weight.digest}/retail128"


def test_a_face_and_its_spoiled_copy_are_one_person_and_two_faces_are_two(
    compact_analyzer: Analyzer, astronaut: np.ndarray, grace_hopper: np.ndarray
) -> None:
    small = cv2.resize(astronaut, None, fx=0.3, fy=0.3, interpolation=cv2.INTER_AREA)
    calibration = verbs.calibration_of(compact_analyzer)
    assert calibration is not None
    assert "trained on" in calibration.data
    found = {
        name: verbs.verify(astronaut, other, analyzer=compact_analyzer, calibration=calibration)
        for name, other in (("copy", small), ("other", grace_hopper))
    }
    assert found["copy"].same
    assert not found["other"].same
    assert found["copy"].threshold.fmr <= 1e-3


def test_the_command_line_and_the_service_choose_it_by_name(tmp_path: Path) -> None:
    assert make_analyzer("cpu", 1, recognizer=NAME).embedder.name == NAME
    assert make_analyzer("cpu", 1).embedder.name == NAME
    with pytest.raises(WeightsError, match="no network for recognition; known: compact"):
        make_analyzer("cpu", 1, recognizer="age-sex")
    core = pytest.importorskip("vultus.service.core")
    settings = pytest.importorskip("vultus.service.settings")
    chosen = core.make_analyzer(settings.Settings(galleries=tmp_path, recognizer=NAME))
    assert chosen.embedder.name == NAME


def test_a_gallery_of_the_other_recogniser_is_refused(tmp_path: Path, compact: Embedder) -> None:
    key = Key.generate()
    Gallery.create(tmp_path / "g", key=key, space="dlib-resnet29@55533b28a958/dlib150", dim=128)
    with pytest.raises(GalleryError, match=r"dlib-resnet29.*compact-recogniser"):
        Gallery.open(tmp_path / "g", key, space=compact.space)
