"""A disk that is full and files that are damaged: a clear answer, and nothing else is harmed."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from pathlib import Path

import pytest
from failure_shape import check_failure
from scripted_analyzer import picture

PEOPLE = "/v1/galleries/people"
FACES = f"{PEOPLE}/faces"
IDENTIFY = f"{PEOPLE}/identify?threshold=0.9"


def enrol(client, person, data):
    return client.post(FACES, files={"file": data}, data={"person": person})


def name_of(client, data):
    (face,) = client.post(IDENTIFY, files={"file": data}).json()["faces"]
    return face["person"]


def check_full(client, photos, tmp_path):
    """Assert that nothing can be changed, and that everything can be read."""
    stored = client.get(FACES).json()
    for response in (
        enrol(client, "Collins", photos("collins")),
        client.patch(f"{PEOPLE}/persons/Hopper", json={"person": "Grace"}),
        client.post("/v1/galleries", json={"name": "others"}),
        client.delete(f"{PEOPLE}/persons/Anders"),
    ):
        failure = check_failure(response, 507, "insufficient_storage")
        assert "room" in failure["message"]
        assert str(tmp_path) not in response.text
    assert client.get(FACES).json() == stored
    assert name_of(client, photos("hopper", 5)) == "Hopper"
    assert client.get("/v1/galleries").json()["items"] == ["people"]
    assert client.get("/v1/ready").json()["ready"] is True


def check_free_again(client, photos):
    """Assert that everything works."""
    assert client.delete(f"{PEOPLE}/persons/Anders").json() == {"faces": 1}
    assert enrol(client, "Collins", photos("collins")).status_code == 201
    assert name_of(client, photos("collins", 5)) == "Collins"
    assert client.post("/v1/galleries", json={"name": "others"}).status_code == 201
    assert client.get(PEOPLE).json()["faces"] == 2


def begin(client, photos):
    """Make a gallery of two people."""
    assert client.post("/v1/galleries", json={"name": "people"}).status_code == 201
    assert enrol(client, "Hopper", photos("hopper")).status_code == 201
    # A comment behind the first marker makes it another picture.
    other = photos("collins")[:2] + b"\xff\xfe\x00\x03a" + photos("collins")[2:]
    assert enrol(client, "Anders", other).status_code == 201


def apart(*command: str) -> list[str]:
    """Return a command that runs in a space of mounts of its own; skip where there is none."""
    words = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--user", "--map-root-user"])]
    if shutil.which("unshare") is None:
        pytest.skip("a small disk needs unshare, of util-linux")
    tried = subprocess.run(
        [*words, "mount", "-t", "tmpfs", "none", "/tmp"], capture_output=True, text=True
    )
    if tried.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {tried.stderr.strip()}")
    return [*words, "sh", "-c", *command]


def fill(file: Path) -> None:
    """Write until the disk is full."""
    with file.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


def test_a_full_disk_refuses_changes_and_harms_nothing(start_server, tmp_path, photos):
    """The galleries lie on a disk of 1 MB that only the server's process sees."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = f'mount -t tmpfs -o size=1m none "{folder}" && exec "$0" "$@"'
    server = start_server(folder / "galleries", wrapper=apart(mount))
    # Another process finds the disk through the server's own view of the files.
    disk = Path(f"/proc/{server.process.pid}/root") / folder.relative_to("/")
    with server.client() as client:
        begin(client, photos)
        filler = disk / "filler"
        with pytest.raises(OSError, match="No space"):
            fill(filler)
        check_full(client, photos, tmp_path)
        filler.unlink()
        check_free_again(client, photos)
    server.stop()
    assert not any("Traceback" in line for line in server.log)


def test_a_limit_on_the_size_of_files_refuses_changes_and_harms_nothing(
    start_server, tmp_path, photos
):
    if not hasattr(resource, "prlimit"):
        pytest.skip("the limit of another process can be set on Linux alone")
    server = start_server(tmp_path / "galleries")
    with server.client() as client:
        begin(client, photos)
        _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (64, hard))
        check_full(client, photos, tmp_path)
        resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
        check_free_again(client, photos)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_where_the_audit_log_has_no_room_nothing_is_done(serve):
    client = serve()
    client.post("/v1/galleries", json={"name": "people"})
    full = serve(audit_log=Path("/dev/full"))
    for response in (
        full.post(FACES, files={"file": picture(1)}, data={"person": "Ada"}),
        full.post(IDENTIFY, files={"file": picture(1)}),
        full.delete(PEOPLE),
    ):
        failure = check_failure(response, 507, "insufficient_storage")
        assert "audit log" in failure["message"]
    assert client.get(PEOPLE).json()["faces"] == 0


def test_a_line_that_a_full_disk_cut_off_does_not_swallow_the_next(serve, tmp_path):
    log = tmp_path / "audit.jsonl"
    log.write_text('{"time": "2026-01-01", "acti')
    client = serve(audit_log=log)
    assert client.post("/v1/galleries", json={"name": "people"}).status_code == 201
    lines = log.read_text().splitlines()
    assert [line[:8] for line in lines] == ['{"time":'] * 3
    assert lines[-1].endswith('"gallery":"people"}')


def data_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*.lance") if file.is_file())


@pytest.mark.parametrize("harm", ["header", "data cut", "data garbled", "manifests gone"])
def test_a_damaged_gallery_is_told_and_harms_no_other(serve, tmp_path, harm):
    client = serve()
    for name in ("people", "others"):
        client.post("/v1/galleries", json={"name": name})
        files = {"file": picture(1)}
        client.post(f"/v1/galleries/{name}/faces", files=files, data={"person": "Ada"})
    folder = tmp_path / "galleries" / "people"
    match harm:
        case "header":
            (folder / "gallery.json").write_text('{"format": 1, "space": ')
        case "data cut":
            for file in data_files(folder):
                file.write_bytes(file.read_bytes()[:100])
        case "data garbled":
            for file in data_files(folder):
                file.write_bytes(bytes(len(file.read_bytes())))
        case "manifests gone":
            for manifests in folder.rglob("_versions"):
                shutil.rmtree(manifests)
    # What was read before may be in memory still: ask a process that has read nothing.
    fresh = serve()
    for response in (
        fresh.post(IDENTIFY, files={"file": picture(1)}),
        fresh.post(FACES, files={"file": picture(2)}, data={"person": "Bo"}),
        fresh.get(f"{PEOPLE}/persons"),
    ):
        check_failure(response, 503, "gallery_unavailable")
        assert str(tmp_path) not in response.text
    other = fresh.post("/v1/galleries/others/identify?threshold=0.9", files={"file": picture(1)})
    assert [face["person"] for face in other.json()["faces"]] == ["Ada"]
    assert fresh.get("/v1/ready").json()["ready"] is True
