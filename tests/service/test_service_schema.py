"""The OpenAPI document is kept: schemathesis makes requests from it, and checks every answer.

A real server with the default networks is asked. ``VULTUS_SCHEMATHESIS`` sets how many examples are
tried for each operation, ``VULTUS_SCHEMATHESIS_SEED`` where to begin.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = int(os.environ.get("VULTUS_SCHEMATHESIS", "3"))
SEED = os.environ.get("VULTUS_SCHEMATHESIS_SEED", "1")
HERE = Path(__file__).parent


@pytest.mark.timeout(3600)
def test_answers_are_as_described(start_server, tmp_path, photos):
    config = tmp_path / "service.toml"
    config.write_text("[rates]\nper_minute = 0\nfailures_per_minute = 1e6\n")
    server = start_server(
        tmp_path / "galleries", "--compreface-gallery", "people", "--config", str(config)
    )
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for who in ("hopper", "collins"):
        (pictures / who).write_bytes(photos(who))
    with server.client() as client:
        client.post("/v1/galleries", json={"name": "people"})
        files = {"file": photos("hopper", 3)}
        client.post("/v1/galleries/people/faces", files=files, data={"person": "Ada"})
    document = f"{server.address}/v1/openapi.json"
    command = [sys.executable, "-m", "schemathesis.cli"]
    options = ["--max-examples", str(EXAMPLES), "--seed", SEED, "--continue-on-failure",
               "--request-timeout", "60", "--suppress-health-check", "all",
               "--no-color"]  # fmt: skip
    done = subprocess.run(
        [*command, "--config-file", str(HERE / "schemathesis.toml"), "run", document, *options],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ
        | {
            "VULTUS_PICTURES": str(pictures),
            "SCHEMATHESIS_HOOKS": "schemathesis_hooks",
            "PYTHONPATH": str(HERE),
        },
    )
    assert done.returncode == 0, done.stdout + done.stderr
    tested = re.search(r"Tested: (\d+)", done.stdout)
    assert tested, done.stdout
    assert int(tested[1]) == len([1 for methods in paths_of(server).values() for _ in methods]), (
        done.stdout
    )
    with server.client() as client:
        assert client.get("/v1/ready").json()["ready"] is True
    server.stop()
    assert not [event for event in server.events() if event["level"] == "error"]


def paths_of(server):
    with server.client() as client:
        return client.get("/v1/openapi.json").json()["paths"]
