"""Store the OpenAPI document of the service: python tests/service/renew_openapi.py."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from test_service_system import SNAPSHOT, document

from vultus.gallery import Key

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        key_file = Path(folder) / "key"
        Key.generate().save(key_file)
        found = document(Path(folder) / "galleries", key_file)
    SNAPSHOT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
