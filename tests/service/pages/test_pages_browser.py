"""The pages in a real browser: accessible, light, without scripts, by keyboard, signed in.

Needs Playwright and a Chromium (``apt-get install chromium``, or one named by
``VULTUS_CHROMIUM``); skipped without them. Screenshots go to ``build/screenshots``.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from live_pages import LOOKS, TWO, check_access, look_at, running
from photo_analyzer import PhotoAnalyzer

from vultus.service import Settings
from vultus.service.keys import add_key

MOST = 300_000
PATHS = {
    "start": "/",
    "compare": "/compare",
    "galleries": "/galleries",
    "gallery": "/galleries/people",
    "group": "/group",
    "evaluation": "/evaluation",
    "report": "/evaluation/spring",
    "models": "/models",
    "card": "/models/dlib-resnet29",
    "failure": "/nothing",
}


def test_axe_is_at_hand():
    """Without it, the checks of accessibility below check nothing."""
    if find_spec("axe_playwright_python") is None:
        pytest.skip("pip install axe-playwright-python")


@pytest.mark.parametrize("look", LOOKS)
def test_every_page_is_accessible_fits_and_is_light(visit, site, look):
    page = visit(site, look, quiet=False)
    weights: dict[str, int] = {}
    page.on("response", lambda r: weights.__setitem__(r.url, len(r.body())) if r.ok else None)
    for name, path in PATHS.items():
        weights.clear()
        page.goto(path)
        page.wait_for_load_state("networkidle")
        look_at(page, name, look)
        check_access(page)
        assert 10_000 < sum(weights.values()) < MOST, name


@pytest.mark.parametrize("name", [name for name in PATHS if name != "failure"])
def test_pages_read_without_scripts(visit, site, name):
    page = visit(site, java_script_enabled=False)
    page.goto(PATHS[name])
    assert page.locator("h1").is_visible()
    assert page.locator("main").inner_text().strip()
    assert not page.locator(".js-only:visible").count()
    assert page.locator("nav[aria-label=Main] a").count() == 6


def test_a_picture_is_analysed_without_scripts(visit, site, heads):
    page = visit(site, java_script_enabled=False)
    page.goto("/")
    page.set_input_files("#pick-file", str(heads[0]))
    page.click("button:has-text('Analyze')")
    assert page.locator("#found").inner_text() == "1 face found"
    assert page.locator("#photo-file").get_attribute("href").startswith("data:image/jpeg")
    assert len(page.content()) < MOST
    look_at(page, "analyze-no-scripts", "light")


def test_the_keyboard_reaches_everything_in_order(visit, site):
    page = visit(site)
    page.goto("/compare")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    assert page.locator(".skip").bounding_box()["y"] >= 0
    seen = []
    for _ in range(40):
        page.keyboard.press("Tab")
        at = page.evaluate(
            """() => {
              const e = document.activeElement;
              const shown = e.matches('.drop-input') ? e.nextElementSibling : e;
              const style = getComputedStyle(shown);
              return [e.tagName, e.id || e.textContent.trim(), style.outlineStyle !== 'none'];
            }"""
        )
        if at[0] == "BODY":
            break
        seen.append(at)
    assert all(visible for _, _, visible in seen), seen
    names = [name for _, name, _ in seen]
    order = ["Vultus", "Analyze", "Compare", "pick-first", "pick-second", "fmr", "subject"]
    places = [names.index(name) for name in order]
    assert places == sorted(places)
    page.goto("/compare")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_the_look_is_switched_and_kept(visit, site):
    page = visit(site)
    page.goto("/models")
    paper = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(paper)
    page.click("[data-look]")
    page.wait_for_selector("html[data-theme=dark]")
    assert page.evaluate(paper) != light
    page.goto("/evaluation")
    assert page.locator("html").get_attribute("data-theme") == "dark"


def test_signing_in_and_what_a_reader_sees(visit, tmp_path, key_file):
    keys = tmp_path / "keys.json"
    key = add_key(keys, "reader", ["read"])[1]
    admin = add_key(keys, "admin", ["admin"])[1]
    settings = Settings(galleries=tmp_path / "g", gallery_key=key_file, api_keys=keys)
    with running(settings, PhotoAnalyzer()) as site:
        page = visit(site, quiet=False)
        page.goto("/galleries")
        assert page.url.endswith("/sign-in?next=/galleries")
        assert page.evaluate("document.activeElement.id") == "key"
        page.keyboard.type("vk_wrong")
        page.keyboard.press("Enter")
        page.wait_for_selector("[role=alert]")
        check_access(page)
        for look, screen in LOOKS.items():
            page.set_viewport_size(screen["viewport"])
            page.emulate_media(color_scheme=screen["color_scheme"])
            look_at(page, "sign-in", look)
        page.fill("#key", key)
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('Galleries')")
        assert page.locator("text=Make a gallery").count() == 0
        assert "vultus_session" not in page.evaluate("document.cookie")
        page.goto("/")
        page.set_input_files("#pick-file", TWO)
        page.wait_for_selector(".faces .card")
        page.click("text=Sign out")
        page.wait_for_selector("h1:has-text('Sign in')")
        page.fill("#key", admin)
        page.keyboard.press("Enter")
        page.wait_for_selector("h1:has-text('See every face')")
        page.goto("/galleries")
        assert page.locator("text=Make a gallery").count() == 1
        # The session ends under an open page: what is sent next says so in place.
        page.goto("/")
        page.context.clear_cookies(name="vultus_session")
        page.set_input_files("#pick-file", TWO)
        page.wait_for_selector(".result a:has-text('Sign in')")


def test_another_site_cannot_use_the_service_of_this_machine(visit, site):
    page = visit(site, quiet=False)
    page.goto("/")
    token = page.locator("input[name=csrf]").first.input_value()
    # Another port counts as the same site for cookies: the stolen token and the cookie are good.
    form = f"""<form method="post" action="{site}/galleries"><input name="csrf" value="{token}">
      <input name="name" value="evil"><button>Win a prize</button></form>"""
    page.route(
        "http://127.0.0.1:1/**", lambda route: route.fulfill(body=form, content_type="text/html")
    )
    page.goto("http://127.0.0.1:1/")
    with page.expect_response(lambda answer: answer.request.method == "POST") as answer:
        page.click("text=Win a prize")
    assert "vultus_visit" in answer.value.request.all_headers()["cookie"]
    assert answer.value.status == 403
    page.goto(site + "/galleries")
    assert "evil" not in page.locator("main").inner_text()
