"""The weight store: verified, atomic, offline when asked, licences respected."""

from __future__ import annotations

import io
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_weights import PAYLOAD, files_of, make_store, make_weight

from vultus.errors import ConfigError, WeightsError
from vultus.runtime import Store, resolve
from vultus.runtime.converters import CONVERTERS, Converter
from vultus.runtime.manifest import PackagedFile
from vultus.runtime.sources import copy_stream

CALLS: list[int] = []


def shout(data: bytes) -> bytes:
    """Converter of these tests: counts its calls."""
    CALLS.append(len(data))
    return data.upper()


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
