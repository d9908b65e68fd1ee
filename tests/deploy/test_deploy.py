"""What is deployed: linted by hadolint, read by the compose specification, closed by default.

Nothing is built or started here: that takes a container engine.
"""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from vultus.service.settings import Settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile in order: name in capitals, and the rest in one line."""
    text = re.sub(r"\\\n", " ", (DEPLOY / "Dockerfile").read_text())
    lines = [line.strip() for line in text.splitlines()]
    pairs = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [(name.upper(), rest) for name, rest in pairs]


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())


@pytest.fixture(scope="module")
def service(compose) -> dict[str, Any]:
    (service,) = compose["services"].values()
    return service


def last(instructions: list[tuple[str, str]], name: str) -> str:
    return [rest for found, rest in instructions if found == name][-1]


def hadolint(*words: str) -> subprocess.CompletedProcess[str]:
    beside = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    program = beside or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint is not installed; it comes with the extra dev")
    return subprocess.run([program, *words], capture_output=True, text=True)


def test_hadolint_finds_nothing_in_the_dockerfile():
    done = hadolint("--no-color", str(DEPLOY / "Dockerfile"))
    assert (done.returncode, done.stdout) == (0, "")


def test_hadolint_would_find_something(tmp_path):
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM python\nRUN cd /tmp && pip install vultus\nUSER root\n")
    done = hadolint("--format", "json", str(bad))
    assert done.returncode == 1
    assert {"DL3006", "DL3042", "DL3002"} <= {found["code"] for found in json.loads(done.stdout)}


def test_the_compose_file_is_one_by_the_specification(compose):
    specification = pytest.importorskip("compose_spec", reason="compose-spec is not installed")
    text = (DEPLOY / "compose.yaml").read_text()
    read = specification.PyCompose.from_yaml(text)
    read.validate()
    read.to_spec()
    assert read.service_names() == list(compose["services"])
    with pytest.raises(Exception, match=r"(?i)unknown field|invalid|error"):
        specification.PyCompose.from_yaml(text.replace("read_only: true", "read_only: [perhaps]"))


def test_the_image_does_not_run_as_root(instructions):
    user = last(instructions, "USER")
    assert re.fullmatch(r"\d+", user), "a number: Kubernetes cannot tell that a name is not root"
    assert int(user) >= 10000
    assert f"--uid {user}" in last(instructions, "RUN")
    # Nothing follows as root.
    assert [name for name, _ in instructions].index("USER") > max(
        place for place, (name, _) in enumerate(instructions) if name in ("RUN", "COPY")
    )


def test_the_base_image_has_a_version(instructions):
    image, _, tag = last(instructions, "FROM").partition(":")
    assert image == "python"
    assert re.match(r"3\.1[1-3]\b", tag)


def test_what_the_dockerfile_copies_is_there(instructions):
    copied = [rest.split()[:-1] for name, rest in instructions if name == "COPY"]
    for path in (path for paths in copied for path in paths):
        assert (ROOT / path).exists(), path


def test_health_is_asked_at_a_route_that_needs_no_key(instructions):
    check = last(instructions, "HEALTHCHECK")
    assert "--interval=" in check
    assert "--timeout=" in check
    address = re.search(r"http://127\.0\.0\.1:(\d+)(/v1/\w+)", check)
    assert address
    assert address[2] == "/v1/ready"
    assert address[1] == last(instructions, "EXPOSE") == str(Settings(galleries=Path()).port)
    assert "curl" not in check, "the image has no curl"


@pytest.mark.parametrize("status", [200, 503])
def test_the_check_of_health_tells_ready_from_not_ready(instructions, status):
    """The command of the image, asked of a server of this process."""
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    class Ready(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/v1/ready" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    command = json.loads(last(instructions, "HEALTHCHECK").partition("CMD")[2])
    with HTTPServer(("127.0.0.1", 0), Ready) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        script = command[-1].replace(":8080/", f":{server.server_port}/")
        done = subprocess.run([sys.executable, *command[1:-1], script], capture_output=True)
        server.shutdown()
    assert (done.returncode == 0) is (status == 200)


def test_the_command_of_the_image_is_one_that_the_program_knows(instructions):
    from typer.testing import CliRunner

    from vultus.cli.app import app

    words = json.loads(last(instructions, "CMD"))
    assert words[:2] == ["vultus", "serve"]
    known = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "200"}).output
    for option in (word for word in words if word.startswith("--")):
        assert option in known, option
    # Beyond the loopback interface, as a container needs, a key is asked for.
    assert words[words.index("--host") + 1] == "0.0.0.0"
    assert "--api-keys" in words
    assert "--open" not in words


def test_the_container_can_change_nothing_but_its_volume(compose, service):
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "no-new-privileges:true" in service["security_opt"]
    assert not service.get("privileged")
    assert service["tmpfs"] == ["/tmp"]
    written = [v for v in service["volumes"] if not v.endswith(":ro")]
    assert written == [f"{name}:/data" for name in compose["volumes"]]


def test_the_container_is_bounded_and_reached_from_this_machine_alone(service):
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    # Requests at work may finish before the engine kills the process.
    seconds = int(service["stop_grace_period"].removesuffix("s"))
    assert seconds > Settings(galleries=Path()).shutdown_seconds


def test_secrets_and_data_are_where_the_command_looks(instructions, service):
    words = json.loads(last(instructions, "CMD"))
    inside = [volume.split(":")[1] for volume in service["volumes"]]
    for option in ("--key", "--api-keys", "--galleries", "--audit-log"):
        place = Path(words[words.index(option) + 1])
        assert any(place.is_relative_to(mounted) for mounted in inside), option


def test_the_unit_of_systemd_is_confined():
    unit = configparser.ConfigParser(strict=False, allow_no_value=True, interpolation=None)
    unit.optionxform = str
    unit.read_string((DEPLOY / "vultus.service").read_text())
    service = unit["Service"]
    assert service["User"] not in ("", "root")
    assert service["NoNewPrivileges"] == "yes"
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""
    assert service["MemoryMax"]
    assert int(service["TimeoutStopSec"]) > Settings(galleries=Path()).shutdown_seconds
