"""Where Vultus keeps what it fetches."""

from __future__ import annotations

import os
from pathlib import Path


def default_home() -> Path:
    """Return ``VULTUS_HOME``, or the user's cache folder for Vultus."""
    home = os.environ.get("VULTUS_HOME")
    if home:
        return Path(home).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("vultus", False)
