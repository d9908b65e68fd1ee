"""Visitors of the pages, with and without a browser."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from live_pages import FLAGS, LOOKS, find_chromium, jpeg, rendered_heads, running
from photo_analyzer import SPACE, PhotoAnalyzer
from PIL import Image
from starlette.testclient import TestClient
from visiting import Visitor

from vultus.evaluation.report import Report
from vultus.measure.intervals import wilson
from vultus.measure.scores import Score
from vultus.recognition.calibration import Calibration
from vultus.service import Settings
from vultus.service.keys import add_key

LOUD = ("error", "warning")


@pytest.fixture
def visitor(client: TestClient) -> Visitor:
    """Someone at a service without keys that has a gallery ``people``."""
    return Visitor(client)


@pytest.fixture(scope="module")
def settled(lasting: TestClient) -> Visitor:
    """Someone at a service with a gallery ``people``, for tests that change nothing."""
    assert lasting.post("/v1/galleries", json={"name": "people"}).status_code == 201
    return Visitor(lasting)


@pytest.fixture
def keys(tmp_path: Path) -> dict[str, str]:
    """Keys by scope, in the file ``keys.json``."""
    file = tmp_path / "keys.json"
    return {scope: add_key(file, scope, [scope])[1] for scope in ("read", "write", "admin")}


@pytest.fixture
def guarded(serve: Callable[..., TestClient], tmp_path: Path, keys: dict[str, str]) -> TestClient:
    """A client of a service that asks for keys and has a gallery ``people``."""
    client = serve(api_keys=tmp_path / "keys.json", audit_log=tmp_path / "audit.jsonl")
    made = client.post(
        "/v1/galleries", json={"name": "people"}, headers={"x-api-key": keys["admin"]}
    )
    assert made.status_code == 201
    return client


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    program = find_chromium()
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium, or name one with VULTUS_CHROMIUM")
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def heads(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three rendered people, two pictures each."""
    return rendered_heads(tmp_path_factory.mktemp("heads"))


@pytest.fixture(scope="module")
def faces(heads: list[Path], data_root_or_none: Path | None) -> list[Path]:
    """Pictures of six people: public-domain portraits, or rendered heads where there are none."""
    folder = data_root_or_none / "congress_portraits" if data_root_or_none else None
    found = sorted(folder.glob("*.jpg"))[2:8] if folder and folder.is_dir() else []
    return found or heads


@pytest.fixture(scope="module")
def data_root_or_none(request: pytest.FixtureRequest) -> Path | None:
    try:
        root: Path = request.getfixturevalue("data_root")
    except pytest.skip.Exception:
        return None
    return root


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, key_file: Path) -> Iterator[str]:
    """The address of a service that fills every field of a face, with a gallery and a report."""
    folder = tmp_path_factory.mktemp("site")
    report = Report(
        "folder",
        {"detector": "photo", "space": SPACE},
        {"TAR@FAR=0.01": wilson(93, 100), "EER": wilson(4, 100)},
        {"threshold": 0.55, "pictures": 400},
        list(_scores()),
    )
    report.write(folder / "evaluations" / "spring")
    measured = Calibration(
        space=SPACE, detector="photo", data="pictures of colours", n_people=80, n_faces=400,
        n_genuine=2000, n_impostor=200_000, thresholds=(0.3, 0.5, 0.7, 0.8, 0.9, 0.95),
        fmr=(0.4, 0.1, 0.01, 0.001, 0.0001, 0.00005), fnmr=(0.0, 0.005, 0.02, 0.05, 0.2, 0.4),
        command="none",
    )  # fmt: skip
    calibration = folder / "calibration.json"
    calibration.write_text(json.dumps(measured.to_dict()))
    settings = Settings(
        galleries=folder / "galleries",
        gallery_key=key_file,
        calibration=calibration,
        evaluations=folder / "evaluations",
    )
    with running(settings, PhotoAnalyzer()) as address:
        _enrol_people(address)
        yield address


@pytest.fixture
def visit(chromium: Any) -> Iterator[Callable[..., Any]]:
    """Return a maker of browser pages that must stay silent: no error, no foreign address."""
    contexts, said = [], []

    def make(site: str, look: str = "light", *, quiet: bool = True, **options: Any) -> Any:
        context = chromium.new_context(base_url=site, **(LOOKS[look] | options))
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(20_000)
        if quiet:
            page.on(
                "console", lambda m: said.append(m.text) if m.type in ("error", "warning") else None
            )
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda r: said.append(r.url) if not _own(r.url, site) else None)
        return page

    yield make
    for context in contexts:
        context.close()
    assert said == []


def _own(url: str, site: str) -> bool:
    return url.startswith((f"{site}/", "blob:", "data:"))


def _scores() -> Iterator[Score]:
    rng = np.random.default_rng(5)
    for n in range(600):
        same = n % 3 == 0
        yield Score(
            "folder", "eval", "verification", SPACE, f"r{n}", f"p{n}", f"s{n % 60}",
            f"s{n % 60}" if same else f"t{n % 50}",
            float(rng.normal(0.75 if same else 0.3, 0.12)), "genuine" if same else "impostor",
        )  # fmt: skip


def _enrol_people(site: str) -> None:
    picture = jpeg(Image.effect_noise((200, 240), 90))
    with httpx.Client(base_url=site, trust_env=False) as client:
        client.post("/v1/galleries", json={"name": "people"})
        for name in ("Ada Lovelace", "Grace Hopper", "Émilie du Châtelet", "Hedy Lamarr"):
            client.post(
                "/v1/galleries/people/faces",
                files=[("file", picture + name.encode())],
                data={"person": name},
            ).raise_for_status()
