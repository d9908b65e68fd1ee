"""A service on a port of this machine; pictures of people; looking at pages in a browser."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import uvicorn
from PIL import Image

from vultus.service import Settings, create_app

REPOSITORY = Path(__file__).resolve().parents[3]
SCREENSHOTS = REPOSITORY / "build" / "screenshots"
#: The looks that pages are seen in.
LOOKS = {
    "light": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1280, "height": 860}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 360, "height": 740}, "color_scheme": "light"},
}
#: A browser that talks to nobody but the page.
FLAGS = [
    "--no-sandbox",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",
]


def find_chromium() -> str | None:
    """Return the Chromium that ``VULTUS_CHROMIUM`` names or the path holds, or None."""
    named = os.environ.get("VULTUS_CHROMIUM")
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return named or next((found for found in map(shutil.which, names) if found), None)


@contextlib.contextmanager
def running(settings: Settings, analyzer: Any) -> Iterator[str]:
    """Run the service; give its address."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    # Whoever connects before the server accepts waits in the backlog.
    listener.listen(64)
    app = create_app(settings, analyzer=analyzer)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", http="h11", ws="none"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(30)
        listener.close()


def rendered_heads(folder: Path, people: int = 3, views: int = 2) -> list[Path]:
    """Render heads of synthetic people; return the pictures, person by person."""
    from vultus.worlds import PoseSpec, WorldSpec, generate

    made = []
    for person in range(people):
        spec = WorldSpec(size=224, people=(person,), pose=PoseSpec(yaw=(-12, 12)))
        (batch,) = generate(spec, seed=person, count=views, batch=views)
        for view, colour in enumerate(np.asarray(batch.colour)):
            made.append(folder / f"person-{person}-{view}.jpg")
            Image.fromarray(colour).save(made[-1], quality=92)
    return made


def jpeg(picture: Image.Image) -> bytes:
    """Return a picture as a JPEG file."""
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, "JPEG", quality=90)
    return stream.getvalue()


def settle(page: Any) -> None:
    """Wait until pictures are decoded and nothing moves."""
    page.evaluate("() => document.fonts.ready")
    page.evaluate("() => Promise.all([...document.images].map((i) => i.decode().catch(() => 0)))")


def look_at(page: Any, name: str, look: str) -> None:
    """Keep a screenshot of a page, which must not be wider than the screen."""
    settle(page)
    page.evaluate("scrollTo({top: 0, behavior: 'instant'})")
    too_wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert too_wide <= 0, f"{name} is {too_wide} px too wide"
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(SCREENSHOTS / f"{name}-{look}.png"), full_page=True)


def check_access(page: Any) -> None:
    """Run axe-core; nothing serious may be wrong."""
    if find_spec("axe_playwright_python") is None:
        return
    source = resources.files("axe_playwright_python") / "axe.min.js"
    page.evaluate(source.read_text(encoding="utf-8"))
    found = page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")
    wrong = [
        (v["id"], v["impact"], [node["target"] for node in v["nodes"]][:3])
        for v in found["violations"]
        if v["impact"] in ("serious", "critical", "moderate")
    ]
    assert wrong == []


def two_people(size: int = 320) -> bytes:
    """A wide picture, in which the scripted analyzer sees two faces."""
    picture = Image.linear_gradient("L").resize((size * 2, size)).convert("RGB")
    picture.paste((180, 140, 110), (60, 80, size - 60, size - 60))
    picture.paste((120, 90, 70), (size + 60, 80, 2 * size - 60, size - 60))
    return jpeg(picture)


TWO = {"name": "two.jpg", "mimeType": "image/jpeg", "buffer": two_people()}
