"""What people do in the console, in a real browser: pictures, comparisons, people, groups.

Needs what test_pages_browser.py needs. Subjects are public-domain portraits where the data folder
is there, and rendered heads where it is not.
"""

from __future__ import annotations

import io

import pytest
from live_pages import LOOKS, TWO, check_access, look_at, running
from PIL import Image

from vultus.service import Settings


@pytest.mark.parametrize("look", LOOKS)
def test_a_chosen_picture_is_analysed_at_once(visit, site, faces, look):
    page = visit(site, look)
    page.goto("/")
    page.set_input_files("#pick-file", str(faces[1]))
    page.wait_for_selector(".faces .card")
    assert page.locator("#photo-file").get_attribute("href").startswith("blob:")
    assert page.evaluate("document.activeElement.id") == "found"
    page.wait_for_selector("#said:has-text('1 face found')", state="attached")
    text = page.locator(".face").inner_text().lower()
    for words in ("head pose", "slightly turned to the picture's right", "quality", "reasons",
                  "slightly turned", "liveness", "bona fide", "expression", "valence", "+0.60",
                  "attributes", "52.4"):  # fmt: skip
        assert words in text, words
    check_access(page)
    look_at(page, "analyze", look)


def test_the_overlay_lies_on_the_picture_and_moves_with_the_list(visit, site):
    page = visit(site)
    page.goto("/")
    page.set_input_files("#pick-file", TWO)
    page.wait_for_selector(".faces .card >> nth=1")
    # Both in one breath: the page may still be scrolling to what was found.
    drawn, box = page.evaluate(
        """() => ["#photo-file", ".mark:nth-of-type(2) .box"].map(
             (selector) => document.querySelector(selector).getBoundingClientRect().toJSON())"""
    )
    # The second face: a quarter of the right half from its left edge.
    assert (box["x"] - drawn["x"]) / drawn["width"] == pytest.approx(0.625, abs=0.01)
    assert (box["y"] - drawn["y"]) / drawn["height"] == pytest.approx(0.2, abs=0.015)
    page.hover(".faces .card >> nth=1")
    assert page.locator(".mark.on").get_attribute("data-face") == "file-2"
    page.locator(".mark .hit").nth(0).click(force=True)
    assert page.evaluate("document.activeElement.id") == "face-file-1"
    assert page.locator(".mark.on").get_attribute("data-face") == "file-1"
    page.keyboard.press("Tab")
    assert page.locator(".mark.on").get_attribute("data-face") == "file-2"
    for layer, part in (("points", ".point"), ("boxes", ".box"), ("lines", ".outline")):
        assert page.locator(part).first.is_visible()
        page.uncheck(f"[data-layer={layer}]")
        assert not page.locator(part).first.is_visible()
    look_at(page, "analyze-two", "light")


def test_a_picture_is_dropped_and_pasted(visit, site, heads):
    page = visit(site)
    page.goto("/")
    page.wait_for_selector("html.js")
    for kind in ("drop", "paste"):
        page.evaluate(
            """async ([kind, bytes]) => {
              const data = new DataTransfer();
              const content = [new Uint8Array(bytes)];
              data.items.add(new File(content, kind + '.jpg', {type: 'image/jpeg'}));
              const options = {bubbles: true, cancelable: true};
              const event = kind === 'drop'
                ? new DragEvent('drop', {...options, dataTransfer: data})
                : new ClipboardEvent('paste', {...options, clipboardData: data});
              document.querySelector('[data-drop]').dispatchEvent(event);
            }""",
            [kind, list(heads[0].read_bytes())],
        )
        page.wait_for_selector(f".drop-shown:has-text('{kind}.jpg')")
        page.wait_for_selector(".faces .card")
        page.evaluate("document.getElementById('result').replaceChildren()")


def test_the_camera_gives_a_picture_and_is_let_go(visit, site):
    page = visit(site, permissions=["camera"])
    page.goto("/")
    page.click("[data-camera]")
    page.wait_for_selector("#camera-take:enabled")
    check_access(page)
    assert page.evaluate("document.getElementById('camera-view').srcObject.active")
    page.click("#camera-take")
    page.wait_for_selector(".faces .card")
    assert page.evaluate("document.getElementById('camera-view').srcObject") is None
    assert "camera.jpg" in page.locator(".drop-shown").inner_text()


def test_a_refused_camera_is_explained(visit, site):
    page = visit(site)
    page.goto("/")
    page.click("[data-camera]")
    page.wait_for_selector("#camera-problem:visible")
    assert "may not use the camera" in page.locator("#camera-problem").inner_text()
    assert not page.locator("#camera-take").is_visible()
    look_at(page, "camera-refused", "light")
    page.keyboard.press("Escape")
    assert not page.locator("#camera").is_visible()
    assert page.evaluate("document.activeElement.matches('[data-camera]')")


def test_a_picture_that_the_browser_cannot_show_comes_back_from_the_server(visit, site):
    page = visit(site)
    page.goto("/")
    stream = io.BytesIO()
    Image.linear_gradient("L").convert("RGB").save(stream, "TIFF")
    picture = {"name": "old.tiff", "mimeType": "image/tiff", "buffer": stream.getvalue()}
    page.set_input_files("#pick-file", picture)
    page.wait_for_selector(".faces .card")
    assert page.locator("#photo-file").get_attribute("href").startswith("data:image/jpeg")


@pytest.mark.parametrize("look", LOOKS)
def test_two_pictures_are_compared_and_the_decision_explained(visit, site, faces, look):
    page = visit(site, look)
    page.goto("/compare")
    page.set_input_files("#pick-first", str(faces[0]))
    page.set_input_files("#pick-second", str(faces[0]))
    page.click("button:has-text('Compare')")
    page.wait_for_selector(".verdict.same")
    assert page.locator("#verdict").inner_text() == "Taken for the same person"
    page.set_input_files("#pick-second", str(faces[3]))
    page.select_option("#fmr", label="1 in 10,000 at most")
    page.click("button:has-text('Compare')")
    page.wait_for_selector(".verdict.other")
    assert "1 in 10,000 pairs" in page.locator(".words").inner_text()
    assert page.locator("svg.plot").count() == 2
    assert "the threshold at 0.900" in page.locator("svg.plot desc").first.text_content()
    check_access(page)
    look_at(page, "compare-done", look)


def test_a_failure_is_told_in_place_and_the_page_stays(visit, site):
    page = visit(site, quiet=False)
    page.goto("/")
    page.set_input_files("#pick-file", {"name": "x.jpg", "mimeType": "image/jpeg", "buffer": b"no"})
    alert = page.locator(".result [role=alert]")
    alert.wait_for()
    assert "Request" in alert.inner_text()
    assert page.locator("h1").inner_text() == "See every face in a picture"
    check_access(page)
    look_at(page, "failure-in-place", "light")
    page.route("**/*", lambda route: route.abort())
    page.set_input_files("#pick-file", {"name": "y.jpg", "mimeType": "image/jpeg", "buffer": b"n"})
    page.wait_for_selector("text=could not be reached")


@pytest.mark.parametrize("look", ["light", "phone"])
def test_people_are_enrolled_found_changed_and_brought_back(visit, site, faces, look):
    page = visit(site, look)
    name = f"staff-{look}"
    page.goto("/galleries")
    page.fill("#name", name)
    page.click("text=Make it")
    page.wait_for_url(f"**/galleries/{name}")
    page.fill("#person", "Ada")
    page.set_input_files("#pick-enrol", [str(face) for face in faces[:2]])
    page.click("button:has-text('Enrol')")
    page.wait_for_selector(".told")
    assert "2 faces of Ada enrolled" in page.locator(".told").inner_text()
    page.fill("#person", "Grace")
    page.set_input_files("#pick-enrol", str(faces[4]))
    page.click("button:has-text('Enrol')")
    page.wait_for_selector("text=1 face of Grace enrolled")
    page.wait_for_selector(".people a:has-text('Grace')")
    assert "2 people, 3 faces" in page.locator(".intro").inner_text()
    page.set_input_files("#pick-file", str(faces[4]))
    page.wait_for_selector(".faces .card")
    assert page.locator(".face h3").inner_text() == "Grace"
    assert page.locator(".picture .tag").text_content() == "Grace"
    check_access(page)
    look_at(page, "identify", look)
    page.click(".people a:has-text('Ada')")
    page.wait_for_selector(".stored")
    page.check(".stored input >> nth=0")
    page.fill("#into", "Byron")
    page.click("button:has-text('Move')")
    page.wait_for_selector(".notice:has-text('1 face moved to “Byron”')")
    look_at(page, "person-moved", look)
    check_access(page)
    page.fill("#new", "Ada Lovelace")
    page.click("button:has-text('Rename')")
    page.wait_for_selector("h1:has-text('Ada Lovelace')")
    page.click("button:has-text('Delete Ada Lovelace')")
    page.wait_for_selector(".notice:has-text('deleted')")
    assert "Ada" not in page.locator(".people").inner_text()
    look_at(page, "deleted", look)
    page.click(".notice button")
    page.wait_for_selector(".people a:has-text('Ada Lovelace')")
    page.check("input[aria-label='Choose Byron']")
    page.check("input[aria-label='Choose Ada Lovelace']")
    page.fill("#into", "Ada King")
    page.click("button:has-text('Merge')")
    page.wait_for_selector(".notice:has-text('2 people are now one')")
    assert "Ada King" in page.locator(".people").inner_text()
    assert "2 faces" in page.locator(".people").inner_text()
    page.click("summary:has-text('Delete this gallery')")
    page.fill("#confirm", name)
    page.click("text=Delete for good")
    page.wait_for_url("**/galleries")
    assert name not in page.locator("main").inner_text()


@pytest.mark.parametrize("look", LOOKS)
def test_a_folder_is_grouped_watched_and_named(visit, site, faces, tmp_path, look):
    page = visit(site, look)
    folder = tmp_path / "photos" / "inner"
    folder.mkdir(parents=True)
    for number, face in enumerate([*faces[:4], faces[0]]):
        (folder / f"{number}.jpg").write_bytes(face.read_bytes())
    (folder.parent / "notes.txt").write_text("no picture")
    page.goto("/group")
    with page.expect_file_chooser() as asked:
        page.click("text=Choose a folder")
    asked.value.set_files(str(folder.parent))
    page.wait_for_selector(".drop-shown:has-text('5 pictures')")
    page.click("button:has-text('Group')")
    page.wait_for_selector(".clusters")
    assert page.url.rpartition("/")[0].endswith("/group")
    page.locator(".thumb canvas").nth(4).wait_for()
    assert page.locator(".cluster").first.locator("canvas").count() == 2
    assert page.locator(".thumb canvas").first.get_attribute("aria-label") == "Face in 0.jpg"
    check_access(page)
    look_at(page, "group-done", look)
    page.fill("#name-0", f"Someone {look}")
    page.select_option("#gallery", "people")
    page.click("button:has-text('Enrol')")
    page.wait_for_selector(".told")
    assert f"Someone {look}" in page.locator(".told").inner_text()
    page.reload()
    assert page.locator(".thumb-text").count() == 5


def test_the_real_networks_know_a_person_again(visit, analyzer, heads, tmp_path, key_file):
    settings = Settings(galleries=tmp_path / "g", gallery_key=key_file)
    with running(settings, analyzer) as site:
        page = visit(site)
        page.goto("/compare")
        page.set_input_files("#pick-first", str(heads[0]))
        page.set_input_files("#pick-second", str(heads[1]))
        page.click("button:has-text('Compare')")
        page.wait_for_selector(".verdict")
        same = float(page.locator(".verdict strong").first.inner_text())
        assert "LFW View 1" in page.locator(".words").inner_text()
        page.set_input_files("#pick-second", str(heads[4]))
        page.click("button:has-text('Compare')")
        page.wait_for_selector(f".verdict:not(:has-text('{same:.3f}'))")
        other = float(page.locator(".verdict strong").first.inner_text())
        assert same > other
        look_at(page, "compare-real", "light")
        page.goto("/models")
        assert "blazeface" in page.locator("main").inner_text()
        assert page.locator("section[aria-labelledby=loaded] .card").count() >= 2
        look_at(page, "models-real", "light")
        page.goto("/evaluation")
        assert page.locator("tbody tr").count() == 6
        look_at(page, "evaluation-real", "light")


def test_public_domain_portraits_are_found_by_the_real_networks(
    visit, analyzer, data_root, tmp_path, key_file
):
    folder = data_root / "congress_portraits"
    if not folder.is_dir():
        pytest.skip(f"no portraits in {folder}")
    portraits = sorted(folder.glob("*.jpg"))[2:14]
    with running(Settings(galleries=tmp_path / "g", gallery_key=key_file), analyzer) as site:
        page = visit(site)
        page.goto("/")
        page.set_input_files("#pick-file", str(portraits[1]))
        page.wait_for_selector(".faces .card")
        assert page.locator("#found").inner_text() == "1 face found"
        look_at(page, "analyze-real", "light")
        page.goto("/group")
        page.set_input_files("#pick-file", [str(p) for p in [*portraits, *portraits[:3]]])
        page.click("button:has-text('Group')")
        page.wait_for_selector(".clusters")
        assert page.locator("#state").inner_text() == "12 people in 15 pictures"
        page.locator(".thumb canvas").nth(14).wait_for()
        look_at(page, "group-real", "light")
