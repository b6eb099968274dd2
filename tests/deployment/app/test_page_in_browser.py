"""The page in a real browser: results, messages, layout on phone and desktop, and privacy."""

import csv
import importlib.util
import io

import numpy as np
import pytest
from PIL import Image

from skin_lesions.deployment.bundle import read_bundle
from skin_lesions.deployment.decisions import Postprocessor
from support.app_process import started_page
from support.browsers import CHROMIUM, CONTRAST, DESKTOP, PHONE
from support.color_predictor import CERTAIN, UNCERTAIN, UNKNOWN, image_file

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

# A warning of Gradio, when it closes the connection of an event.
GRADIO_WARNING = "Method not implemented."

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
    pytest.mark.skipif(
        importlib.util.find_spec("gradio") is None, reason="the extra app is not installed"
    ),
]


def file(name, data):
    return {"name": name, "mimeType": "application/octet-stream", "buffer": data}


def huge_image() -> bytes:
    """Make a small file with more pixels than are allowed."""
    content = io.BytesIO()
    Image.new("1", (12_000, 9_000)).save(content, "PNG")
    return content.getvalue()


GOOD = [
    file("certain.png", image_file(CERTAIN)),
    file("uncertain.jpg", image_file(UNCERTAIN, file_format="JPEG")),
    file("unknown.png", image_file(UNKNOWN)),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with started_page(tmp_path_factory.mktemp("page")) as started:
        yield started


@pytest.fixture
def open_page(server, browser):
    """Open the page and upload files; at the end, check messages, requests and files."""
    messages, requests, contexts = [], [], []

    def open_with(*files, viewport=DESKTOP, **options) -> "playwright.Page":
        context = browser.new_context(viewport=viewport, reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(server.url)
        upload(page, files, expected=len(files))
        return page

    yield open_with
    for context in contexts:
        context.close()
    assert [text for text in messages if text != GRADIO_WARNING] == []
    assert requests
    assert [url for url in requests if not url.startswith((server.url, "data:"))] == []
    assert [path for path in server.temporary.rglob("*") if path.is_file()] == []


def upload(page, files, *, expected):
    """Upload files, and wait until the page shows as many results as expected.

    The button that removes all images appears in a later update than the results.
    """
    chooser = page.locator("#upload input[type=file]")
    chooser.wait_for(state="attached")
    if files:
        chooser.set_input_files(list(files))
    playwright.expect(page.locator(".card")).to_have_count(expected)
    if expected:
        playwright.expect(page.locator("#remove")).to_be_visible()


def card(page, name):
    return page.locator(".card", has=page.get_by_title(name))


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_page_is_not_wider_than_the_screen(open_page, viewport):
    name = f"{'long name ' * 20}{'x' * 100}.png"
    page = open_page(*GOOD, file(name, image_file()), file("a.txt", b"x"), viewport=viewport)
    page.locator("summary").evaluate_all("all => all.forEach(s => s.parentElement.open = true)")
    for selector in ("html", "main", ".card", ".banner"):
        right = page.locator(selector).evaluate_all(
            "all => all.map(e => e.getBoundingClientRect().right)"
        )
        assert max(right) <= viewport["width"], selector


def test_warnings_and_drop_zone_are_on_the_first_screen_of_a_phone(open_page):
    page = open_page(viewport=PHONE)
    for locator in (
        page.get_by_text("Research software, not a medical device"),
        page.get_by_text("Do not use it for diagnosis"),
        page.get_by_text("trained on synthetic images"),
        page.get_by_text("Drop images here"),
    ):
        box = locator.bounding_box()
        assert box["y"] + box["height"] <= PHONE["height"]


def test_results_show_class_probability_set_and_referral(open_page):
    page = open_page(*GOOD)
    certain = card(page, "certain.png")
    assert certain.locator(".predicted").inner_text().startswith("Melanoma")
    assert certain.locator(".chip").all_inner_texts() == ["Melanoma"]
    assert certain.locator(".verdict").count() == 0
    bars = certain.locator(".track span").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().width)"
    )
    assert bars[0] > 20 * max(bars[1:])
    assert "Refer to a clinician" in card(page, "uncertain.jpg").inner_text()
    assert "Not a known class" in card(page, "unknown.png").inner_text()


def test_files_without_an_image_are_reported_in_the_page(open_page, tmp_path):
    files = {
        "notes.txt": (b"A mole on the left arm", "not an image in a known format"),
        "script.svg": (b"<svg onload='alert(1)'/>", "not an image in a known format"),
        "broken.jpg": (image_file(file_format="JPEG")[:400], "damaged or truncated"),
        "huge.png": (huge_image(), "12000 x 9000 pixels exceed the limit of 100,000,000 pixels"),
        "large.tif": (bytes(30_000_001), "the limit is 30 MB"),
    }
    for name, (data, _) in files.items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "good.png").write_bytes(image_file())
    page = open_page(*tmp_path.iterdir())
    for name, (_, reason) in files.items():
        text = card(page, name).inner_text()
        assert "No result" in text
        assert reason in text
    assert card(page, "good.png").locator(".predicted").count() == 1


def test_image_and_map_are_shown_and_the_slider_changes_the_opacity(open_page):
    page = open_page(GOOD[0])
    images = page.locator(".stack img")
    assert images.evaluate_all("all => all.map(image => image.naturalWidth)")[0] == 60
    boxes = [image.bounding_box() for image in images.all()]
    assert boxes[0] == pytest.approx(boxes[1], abs=1)
    slider = page.get_by_label("Opacity of the class activation map")
    for value in (0, 80):
        slider.fill(str(value))
        opacity = page.locator(".map").evaluate("e => getComputedStyle(e).opacity")
        assert float(opacity) == value / 100
        assert page.locator("output").inner_text() == f"{value}\u00a0%"


def test_table_is_downloaded_with_a_row_for_each_file(open_page):
    page = open_page(*GOOD, file("=1+1.txt", b"x"))
    with page.expect_download() as download:
        page.get_by_text("Download the table").click()
    text = download.value.path().read_text(encoding="utf-8-sig")
    rows = {row["file"]: row for row in csv.DictReader(io.StringIO(text))}
    assert list(rows) == ["certain.png", "uncertain.jpg", "unknown.png", "'=1+1.txt"]
    assert rows["certain.png"]["predicted"] == "Melanoma"
    assert rows["uncertain.jpg"]["refer_reason"] == "uncertain"
    assert rows["'=1+1.txt"]["error"]


def test_later_images_come_first_and_all_images_can_be_removed(open_page):
    page = open_page(GOOD[0])
    upload(page, GOOD[1:2], expected=2)
    assert page.locator(".card .file").all_inner_texts() == ["uncertain.jpg", "certain.png"]
    assert page.locator("table tbody tr").count() == 2
    page.get_by_role("button", name="Remove all images").click()
    playwright.expect(page.locator(".card")).to_have_count(0)
    playwright.expect(page.get_by_role("button", name="Remove all images")).to_be_hidden()
    upload(page, GOOD[2:], expected=1)


def test_results_of_one_browser_are_not_shown_in_another(open_page):
    open_page(GOOD[0])
    other = open_page()
    assert other.locator(".card").count() == 0


@pytest.mark.slow
def test_page_of_a_bundle_has_its_predictions_maps_and_boxes(lesion_bundle, browser, tmp_path):
    pytest.importorskip("onnxruntime", reason="the extra app is not installed")
    folder, *_ = lesion_bundle
    with started_page(tmp_path, bundle=folder) as started:
        page = browser.new_page()
        page.goto(started.url)
        upload(page, GOOD, expected=len(GOOD))
        with page.expect_download() as download:
            page.get_by_text("Download the table").click()
        text = download.value.path().read_text(encoding="utf-8-sig")
        assert page.locator(".map").count() + page.get_by_text("No region raises").count() == 3
        shown = page.locator(".lesions .box").first
        playwright.expect(shown).to_be_visible()
        place, stack = shown.bounding_box(), page.locator(".stack").first.bounding_box()
        page.get_by_label("Box").first.uncheck()
        playwright.expect(shown).to_be_hidden()
        mask = page.locator(".lesions img").first
        playwright.expect(mask).to_be_hidden()
        page.get_by_label("Soft mask").first.check()
        playwright.expect(mask).to_be_visible()
        page.close()
    predictor = read_bundle(folder)
    pixels = np.stack([predictor.read(good["buffer"]) for good in GOOD])
    expected = Postprocessor(predictor.description).predictions(predictor.outputs(pixels))
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["predicted"] for row in rows] == [found.predicted for found in expected]
    for row, found in zip(rows, expected, strict=True):
        assert float(row["p_mel"]) == pytest.approx(found.probabilities[1], abs=1e-5)
    size = Image.open(io.BytesIO(GOOD[0]["buffer"])).size
    left = (place["x"] - stack["x"]) / stack["width"]
    assert left == pytest.approx(float(rows[0]["lesion_x0"]) / size[0], abs=0.01)


@pytest.mark.slow
def test_metadata_of_the_form_apply_to_the_next_images(browser, tmp_path):
    with started_page(tmp_path, WITH_METADATA="1") as started:
        page = browser.new_page()
        page.goto(started.url)
        upload(page, GOOD[:1], expected=1)
        page.get_by_label("age").fill("85")
        page.get_by_label("site").click()
        page.get_by_role("option", name="head/neck").click()
        upload(page, GOOD[1:2], expected=2)
        hints = page.locator(".card").evaluate_all(
            "all => all.map(card => card.querySelector('.hint').textContent.trim())"
        )
        page.close()
    assert hints == [
        "From the image and: age 85, site head/neck",
        "From the image alone, without metadata",
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_light_and_dark(open_page, scheme):
    page = open_page(*GOOD, file("a.txt", b"x"), color_scheme=scheme)
    background = page.locator(".gradio-container").evaluate(
        "e => getComputedStyle(e).backgroundColor"
    )
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[scheme]
    selectors = ["h1", "h2", ".model", ".banner p", "summary", ".limits", ".file", ".label"]
    selectors += [".verdict strong", ".verdict p", ".predicted", ".confidence", ".chip", ".name"]
    selectors += [".value", "figcaption", "output", ".download", "th", "td", ".mark", "#remove"]
    selectors += ["#upload .wrap"]
    for selector in selectors:
        contrasts = page.locator(selector).evaluate_all(f"all => all.map({CONTRAST})")
        assert contrasts, selector
        assert min(contrasts) >= 4.5, selector
