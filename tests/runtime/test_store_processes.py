"""The weight store and other processes: pip, and its own kind at the same time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_weights import PAYLOAD, files_of, make_store, make_weight

from vultus.errors import WeightsError
from vultus.runtime.manifest import DistributionMember, Weight

PROCESS = """
import sys, tiny_models_converter
from pathlib import Path
from vultus.runtime import Store, read_manifest
from vultus.runtime.converters import CONVERTERS, Converter
CONVERTERS["log"] = Converter("tiny_models_converter", "convert", ".out")
home, entries = Path(sys.argv[1]), read_manifest(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
print(Store(home, weights=entries, offline=True).resolve("net").read_bytes().decode())
"""

CONVERTER = """
import os
def convert(data):
    with open(os.environ["CONVERSIONS"], "a") as file:
        file.write("once ")
    return data.upper()
"""


def test_many_processes_fetch_and_convert_once(
    home: Path, installed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    site = installed.parent.parent
    (site / "tiny_models_converter.py").write_text(CONVERTER)
    entries = tmp_path / "weights.toml"
    digest = hashlib.sha256(PAYLOAD).hexdigest()
    entries.write_text(
        f"""
        [net]
        task = "recognition"
        sha256 = "{digest}"
        bytes = {len(PAYLOAD)}
        licence = "MIT"
        commercial = "yes"
        homepage = "https://example.org"
        data = "nothing"
        convert = "log"
        source = {{ kind = "distribution", distribution = "tiny-models", version = "1.0", \
member = "tiny_models/net.bin", archive = "wheel", archive_sha256 = ["{"0" * 64}"] }}
        """.replace("\\\n", "")
    )
    monkeypatch.setenv("CONVERSIONS", str(tmp_path / "conversions"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(site), *sys.path]))
    command = [sys.executable, "-c", PROCESS, str(home), str(entries)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    outputs = [process.communicate()[0].strip() for process in processes]
    assert outputs == [PAYLOAD.decode().upper()] * 3
    assert (tmp_path / "conversions").read_text() == "once "


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with one wheel, the only thing that pip may use; returns the wheel."""
    folder = tmp_path / "index"
    folder.mkdir()
    wheel = folder / "tiny_models-1.0-py3-none-any.whl"
    info = "tiny_models-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as bundle:
        bundle.writestr("tiny_models/net.bin", PAYLOAD)
        bundle.writestr(
            f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-models\nVersion: 1.0\n"
        )
        bundle.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        bundle.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    return wheel


def from_wheel(wheel: Path, **changes: str) -> Weight:
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    source = DistributionMember("tiny-models", "1.0", "tiny_models/net.bin", "wheel", (digest,))
    return make_weight(replace(source, **changes))  # type: ignore[arg-type]


def test_distribution_that_is_not_installed_comes_through_pip(home: Path, index: Path) -> None:
    store = make_store(home, from_wheel(index), offline=False)
    assert store.resolve("net").read_bytes() == PAYLOAD
    assert files_of(home) == [str(store.path("net").relative_to(home))]


def test_archive_of_another_hash_is_not_opened(home: Path, index: Path) -> None:
    weight = from_wheel(index)
    index.write_bytes(index.read_bytes() + b" ")
    with pytest.raises(WeightsError, match=r"pip could not download tiny-models==1\.0"):
        make_store(home, weight, offline=False).resolve("net")
    assert files_of(home) == []


def test_archive_without_the_member(home: Path, index: Path) -> None:
    weight = from_wheel(index, member="tiny_models/other.bin")
    with pytest.raises(WeightsError, match=r"no member 'tiny_models/other\.bin'"):
        make_store(home, weight, offline=False).resolve("net")
    assert files_of(home) == []


def test_member_of_another_hash(home: Path, index: Path) -> None:
    weight = replace(from_wheel(index), sha256="0" * 64)
    with pytest.raises(WeightsError, match="the manifest states"):
        make_store(home, weight, offline=False).resolve("net")
    assert files_of(home) == []
