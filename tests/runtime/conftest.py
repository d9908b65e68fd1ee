"""Fixtures for the weight store: an empty home, and an installed distribution."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_weights import PAYLOAD


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("VULTUS_HOME", "VULTUS_OFFLINE", "VULTUS_ALLOW_LICENSES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed distribution that must not be imported; returns its data file."""
    site = tmp_path / "site"
    package = site / "tiny_models"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    (package / "net.bin").write_bytes(PAYLOAD)
    info = site / "tiny_models-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-models\nVersion: 1.0\n")
    monkeypatch.syspath_prepend(str(site))
    return package / "net.bin"
