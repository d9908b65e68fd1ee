"""The converted face network against dlib itself."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from vultus.geometry import template
from vultus.recognition import Embedder, EmbedderSpec
from vultus.runtime import Store
from vultus.runtime.manifest import DistributionMember
from vultus.runtime.sources import installed_path

WEIGHT = "dlib-resnet29"


@pytest.fixture(scope="session")
def dat() -> Path:
    """Dlib's own file; the tests are skipped where it is not installed."""
    source = Store(offline=True).weight(WEIGHT).source
    assert isinstance(source, DistributionMember)
    path = installed_path(source)
    if path is None:
        pytest.skip(f"{source.requirement} is not installed")
    return path


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that has the face network: the user's, or one filled from the distribution."""
    if Store(offline=True).verify(WEIGHT) == "ok":
        return Store(offline=True)
    store = Store(tmp_path_factory.mktemp("home"), offline=True)
    source = store.weight(WEIGHT).source
    assert isinstance(source, DistributionMember)
    if installed_path(source) is None:
        pytest.skip(f"{WEIGHT} is not in the cache and {source.requirement} is not installed")
    return store


@pytest.fixture(scope="session")
def spec(store: Store) -> EmbedderSpec:
    weight = store.weight(WEIGHT)
    assert weight.input is not None
    return EmbedderSpec(WEIGHT, store.resolve(WEIGHT), "dlib150", weight.input, weight.digest)


@pytest.fixture(scope="session")
def native(dat: Path) -> object:
    dlib = pytest.importorskip("dlib")
    return dlib.face_recognition_model_v1(str(dat))


def native_embeddings(native: object, chips: np.ndarray) -> np.ndarray:
    found = [native.compute_face_descriptor(chip) for chip in chips]  # type: ignore[attr-defined]
    return np.array(found, np.float64)


@pytest.fixture(scope="session")
def embedder(spec: EmbedderSpec) -> Embedder:
    return Embedder(spec, threads=1)


def astronaut_chips(picture: np.ndarray) -> np.ndarray:
    """The face at six scales and places, and noise, black and white."""
    side = template("dlib150").size
    chips = []
    for x, y, size in [(150, 20, 150), (170, 40, 110), (120, 0, 220), (160, 30, 140), (0, 0, 512)]:
        chips.append(cv2.resize(picture[y : y + size, x : x + size], (side, side)))
    rng = np.random.default_rng(0)
    chips.append(rng.integers(0, 256, (side, side, 3)).astype(np.uint8))
    chips += [np.zeros((side, side, 3), np.uint8), np.full((side, side, 3), 255, np.uint8)]
    return np.stack(chips)


def test_facts(embedder: Embedder) -> None:
    assert embedder.dim == 128
    assert embedder.space == "dlib-resnet29@55533b28a958/dlib150"


@pytest.mark.parametrize("provider", ["cpu", "openvino"])
def test_raw_embeddings_equal_dlib_on_a_portrait(
    native: object, spec: EmbedderSpec, astronaut: np.ndarray, provider: str
) -> None:
    if provider == "openvino":
        pytest.importorskip("openvino")
    chips = astronaut_chips(astronaut)
    ours = Embedder(spec, provider, 1).predict_raw(chips)
    expected = native_embeddings(native, chips)
    assert np.linalg.norm(expected[0] - expected[5]) > 0.3
    np.testing.assert_allclose(ours, expected, atol=1e-5, rtol=0)


def test_raw_embeddings_equal_dlib_on_real_faces(
    native: object, embedder: Embedder, data_root: Path
) -> None:
    pictures = sorted((data_root / "lfw_view1" / "images").rglob("*.jpg"))[::400]
    if not pictures:
        pytest.skip("no LFW pictures in the data folder")
    # Deep-funneled LFW: the face fills the middle of 250 x 250 pixels.
    chips = np.stack(
        [cv2.resize(cv2.imread(str(p))[50:200, 50:200, ::-1], (150, 150)) for p in pictures]
    )
    expected = native_embeddings(native, chips)
    np.testing.assert_allclose(embedder.predict_raw(chips), expected, atol=1e-5, rtol=0)


def test_a_face_alone_and_in_a_batch_gives_the_same(
    embedder: Embedder, astronaut: np.ndarray
) -> None:
    chips = astronaut_chips(astronaut)
    together = embedder.predict(chips)
    alone = np.concatenate([embedder.predict(chip[None]) for chip in chips])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)


def test_bf16_stays_close(spec: EmbedderSpec, embedder: Embedder, astronaut: np.ndarray) -> None:
    openvino = pytest.importorskip("openvino")
    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this processor has no bf16")
    chips = astronaut_chips(astronaut)[:5]
    fast = Embedder(spec, "openvino", 1, precision="bf16").predict(chips)
    assert (fast * embedder.predict(chips)).sum(1).min() > 0.9999
