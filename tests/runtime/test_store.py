"""The weight store: verified, atomic, offline when asked, licences respected."""

from __future__ import annotations

import hashlib
import io
import sys
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from vultus.errors import ConfigError, WeightsError
from vultus.runtime import Store, resolve
from vultus.runtime.converters import CONVERTERS, Converter
from vultus.runtime.manifest import DistributionMember, PackagedFile, Weight
from vultus.runtime.sources import copy_stream

PAYLOAD = b"weights of a very small network" * 100

CALLS: list[int] = []


def shout(data: bytes) -> bytes:
    """Converter of these tests: counts its calls."""
    CALLS.append(len(data))
    return data.upper()


def make_weight(source: object = None, payload: bytes = PAYLOAD, **changes: object) -> Weight:
    source = source or DistributionMember(
        "tiny-models", "1.0", "tiny_models/net.bin", "wheel", ("0" * 64,)
    )
    weight = Weight(
        id="net",
        task="recognition",
        source=source,  # type: ignore[arg-type]
        sha256=hashlib.sha256(payload).hexdigest(),
        bytes=len(payload),
        licence="CC0-1.0",
        commercial="yes",
        homepage="https://example.org",
        data="nothing",
    )
    return replace(weight, **changes)  # type: ignore[arg-type]


def make_store(home: Path, weight: Weight, **options: object) -> Store:
    return Store(home, weights={weight.id: weight}, **{"offline": True} | options)  # type: ignore[arg-type]


def files_of(home: Path) -> list[str]:
    """Names of everything kept, but for the locks."""
    found = [p.relative_to(home) for p in home.rglob("*") if p.is_file()]
    return sorted(str(p) for p in found if p.parts[0] != "locks")


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


@pytest.fixture
def shouting(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    monkeypatch.setitem(CONVERTERS, "shout", Converter(__name__, "shout", ".loud"))  # type: ignore[arg-type]


def test_member_of_an_installed_distribution_is_copied_without_import(
    home: Path, installed: Path
) -> None:
    store = make_store(home, make_weight())
    assert store.verify("net") == "absent"
    path = store.resolve("net")
    assert path == store.path("net")
    assert path.read_bytes() == PAYLOAD
    assert path.suffix == ".bin"
    assert store.verify("net") == "ok"
    assert "tiny_models" not in sys.modules


def test_second_resolve_needs_no_source(home: Path, installed: Path) -> None:
    store = make_store(home, make_weight())
    path = store.resolve("net")
    installed.unlink()
    assert store.resolve("net") == path


def test_wrong_installed_bytes_are_not_used(home: Path, installed: Path) -> None:
    installed.write_bytes(PAYLOAD[:-1] + b"?")
    with pytest.raises(WeightsError, match=r"pip install tiny-models==1\.0") as caught:
        make_store(home, make_weight()).resolve("net")
    assert "vultus models get net" in str(caught.value)
    assert files_of(home) == []


def test_offline_never_starts_pip(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VULTUS_OFFLINE", "1")
    monkeypatch.setattr("subprocess.run", lambda *a, **k: pytest.fail("a process was started"))
    store = make_store(home, make_weight(), offline=None)
    with pytest.raises(WeightsError, match="network is off"):
        store.resolve("net")
    with pytest.raises(WeightsError, match="network is off"):
        store.fetch("net")


def test_offline_must_be_a_yes_or_no(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VULTUS_OFFLINE", "perhaps")
    with pytest.raises(ConfigError, match="VULTUS_OFFLINE"):
        Store(home)


@pytest.mark.parametrize("damage", [PAYLOAD[:-1], b"", PAYLOAD[:-1] + b"?", PAYLOAD + b"?"])
def test_damaged_file_is_refused_and_fetch_replaces_it(
    home: Path, installed: Path, damage: bytes
) -> None:
    store = make_store(home, make_weight())
    path = store.resolve("net")
    path.write_bytes(damage)
    assert store.verify("net") == "damaged"
    with pytest.raises(WeightsError, match=r"damaged.*vultus models get net"):
        store.resolve("net")
    assert path.read_bytes() == damage
    assert store.fetch("net").read_bytes() == PAYLOAD
    assert store.verify("net") == "ok"


def test_converted_file_is_verified_by_its_own_digest(
    home: Path, installed: Path, shouting: None
) -> None:
    store = make_store(home, make_weight(convert="shout"))
    path = store.resolve("net")
    assert path.suffix == ".loud"
    assert path.read_bytes() == PAYLOAD.upper()
    store.resolve("net")
    assert len(CALLS) == 1
    path.write_bytes(PAYLOAD)
    assert store.verify("net") == "damaged"
    store.fetch("net")
    assert store.verify("net") == "ok"


@pytest.mark.parametrize("text", [None, b"", b"\xff\xff", b"0" * 64])
def test_converted_file_without_a_proper_digest_counts_as_damaged(
    home: Path, installed: Path, shouting: None, text: bytes | None
) -> None:
    store = make_store(home, make_weight(convert="shout"))
    path = store.resolve("net")
    digest = path.with_name(path.name + ".sha256")
    digest.unlink()
    if text is not None:
        digest.write_bytes(text)
    assert store.verify("net") == "damaged"


def test_failed_conversion_leaves_nothing(
    home: Path, installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(
        CONVERTERS, "bad", Converter("vultus.runtime.dlib_onnx", "convert_metric_network", ".onnx")
    )  # type: ignore[arg-type]
    with pytest.raises(WeightsError, match="malformed dlib file"):
        make_store(home, make_weight(convert="bad")).resolve("net")
    assert files_of(home) == []


def test_many_threads_fetch_and_convert_once(home: Path, installed: Path, shouting: None) -> None:
    weight = make_weight(convert="shout")
    start = threading.Barrier(6)
    paths: list[Path] = []

    def work() -> None:
        start.wait()
        paths.append(make_store(home, weight).resolve("net"))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(paths)) == 1
    assert len(paths) == 6
    assert len(CALLS) == 1


def test_packaged_file_is_used_in_place(home: Path) -> None:
    import vultus

    payload = (Path(vultus.__file__).parent / "py.typed").read_bytes()
    weight = make_weight(PackagedFile("py.typed"), payload)
    path = make_store(home, weight).resolve("net")
    assert path == Path(vultus.__file__).parent / "py.typed"
    assert files_of(home) == []
    with pytest.raises(WeightsError, match="damaged"):
        make_store(home, replace(weight, sha256="0" * 64)).resolve("net")
    absent = replace(weight, source=PackagedFile("no/such.onnx"))
    with pytest.raises(WeightsError, match="reinstall vultus"):
        make_store(home, absent).resolve("net")


@pytest.mark.parametrize(
    ("commercial", "argument", "variable", "allowed"),
    [
        ("yes", None, None, True),
        ("no", None, None, False),
        ("unclear", None, None, False),
        ("no", ["CC-BY-NC-4.0"], None, True),
        ("no", ["cc-by-nc-4.0"], None, True),
        ("no", "CC-BY-NC-4.0", None, True),
        ("no", ["MIT"], None, False),
        ("no", None, "MIT, CC-BY-NC-4.0", True),
        ("no", None, "MIT", False),
        ("unclear", ["all"], None, True),
    ],
)
def test_licences(
    home: Path,
    installed: Path,
    monkeypatch: pytest.MonkeyPatch,
    commercial: str,
    argument: object,
    variable: str | None,
    allowed: bool,
) -> None:
    if variable is not None:
        monkeypatch.setenv("VULTUS_ALLOW_LICENSES", variable)
    weight = make_weight(licence="CC-BY-NC-4.0", commercial=commercial)
    store = make_store(home, weight, allow_licenses=argument)
    if allowed:
        assert store.resolve("net").is_file()
        return
    for call in (store.resolve, store.fetch):
        with pytest.raises(WeightsError, match=r"CC-BY-NC-4\.0") as caught:
            call("net")
        assert "VULTUS_ALLOW_LICENSES" in str(caught.value)
    assert files_of(home) == []


def test_default_manifest_and_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VULTUS_HOME", str(tmp_path / "elsewhere"))
    assert Store().path("dlib-resnet29").is_relative_to(tmp_path / "elsewhere")
    with pytest.raises(WeightsError, match=r"unknown weight 'nothing'.*dlib-resnet29"):
        resolve("nothing")


def test_home_that_cannot_be_written(home: Path, installed: Path) -> None:
    home.write_text("a file where the folder should be")
    with pytest.raises(WeightsError, match="VULTUS_HOME"):
        make_store(home, make_weight()).resolve("net")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_reported() -> None:
    with pytest.raises(WeightsError, match=r"(?i)no space left.*VULTUS_HOME"):
        copy_stream(io.BytesIO(PAYLOAD), Path("/dev/full"), len(PAYLOAD))


def test_disk_that_fills_up_leaves_nothing(
    home: Path, installed: Path, monkeypatch: pytest.MonkeyPatch, shouting: None
) -> None:
    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(WeightsError, match="No space left"):
        make_store(home, make_weight(convert="shout")).resolve("net")
    assert files_of(home) == []


def test_progress_counts_up_to_the_size(home: Path, installed: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    make_store(home, make_weight()).fetch("net", lambda done, total: seen.append((done, total)))
    assert seen[-1] == (len(PAYLOAD), len(PAYLOAD))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


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
