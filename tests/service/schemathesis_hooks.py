"""Real pictures and the names of what exists, for the requests that schemathesis makes."""

from __future__ import annotations

import os
from pathlib import Path

import schemathesis
from hypothesis import strategies as st

_PICTURES = [file.read_bytes() for file in sorted(Path(os.environ["VULTUS_PICTURES"]).iterdir())]
_PICTURE = st.sampled_from(_PICTURES) | st.binary(min_size=1, max_size=200)

schemathesis.openapi.media_type("image/*", _PICTURE)
schemathesis.openapi.media_type("application/octet-stream", _PICTURE)


@schemathesis.hook
def map_case(context, case):
    """Have every other request that is meant to be good ask for a gallery and people who are there.

    A gallery is not erased: the others need it.
    """
    parameters = case.path_parameters or {}
    good = case.meta is not None and case.meta.generation.mode.is_positive
    if good and case.operation.label != "DELETE /v1/galleries/{name}":
        there = {"name": "people", "person": "Ada"}
        for name in there.keys() & parameters.keys():
            if len(str(parameters[name])) % 2:
                parameters[name] = there[name]
    return case
