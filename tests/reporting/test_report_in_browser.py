"""The report in a real browser: layout on phone, desktop and paper, sorting, figures, links."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

from skin_lesions.core.versions import NamedResults
from skin_lesions.evaluation.external import ExternalResults
from skin_lesions.reporting.figures.drawn import DrawnFigure
from skin_lesions.reporting.figures.registry import FIGURES
from skin_lesions.reporting.html_report import render_report
from support.browsers import CHROMIUM, CONTRAST, DESKTOP, PHONE
from support.external import external_results, stored_external_metrics
from support.report_inputs import (
    UNUSUAL_NAMES,
    VERSION,
    Study,
    fourteen_classes,
    twenty_three_classes,
)

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")


pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]


def external_sets(study: Study) -> NamedResults[ExternalResults]:
    """Make an external set with few classes and one with all classes."""
    return stored_external_metrics(
        external_results(study, "hospital_b", labels=study.labels[:3], noise=0.4),
        external_results(study, "phones.2", noise=0.2, internal=False, compared=0),
    )


def save_report(study: Study, folder: Path) -> Path:
    """Save the report with real figures."""
    pngs = {}
    for spec in FIGURES:
        path = folder / f"{spec.name}.png"
        DrawnFigure(study.draw(spec), {}).save(path, 150)
        pngs[spec.name] = path.read_bytes()
    page = folder / "report.html"
    inputs = replace(
        study.report_inputs(),
        model=study.model.with_version(VERSION),
        stored_external_metrics=external_sets(study),
    )
    page.write_text(render_report(**vars(inputs), **pngs), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def reports(tmp_path_factory) -> dict[str, Path]:
    return {
        "fourteen": save_report(fourteen_classes(synthetic=True), tmp_path_factory.mktemp("a")),
        "unusual": save_report(twenty_three_classes(unreadable=80), tmp_path_factory.mktemp("b")),
    }


@pytest.fixture
def open_report(browser, reports):
    """Open a report; at the end, check that it had no errors and loaded only itself."""
    messages, requests, contexts = [], [], []

    def open_page(name: str = "fourteen", **options) -> "playwright.Page":
        context = browser.new_context(reduced_motion="reduce", **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: messages.append(message.text))
        page.on("pageerror", lambda error: messages.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto(reports[name].as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert messages == []
    own = {path.as_uri() for path in reports.values()}
    assert {url.split("#")[0] for url in requests if not url.startswith("data:")} <= own


@pytest.mark.parametrize("name", ["fourteen", "unusual"])
@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_page_is_not_wider_than_the_screen(open_report, name, viewport):
    page = open_report(name, viewport=viewport)
    page.locator("summary").evaluate_all("all => all.forEach(s => s.parentElement.open = true)")
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width == viewport["width"]


@pytest.mark.parametrize("viewport", [PHONE, DESKTOP], ids=["phone", "desktop"])
def test_first_screen_has_metrics_split_classes_and_the_most_severe_finding(open_report, viewport):
    page = open_report(viewport=viewport)
    for selector, count in ((".card", 3), (".card .range", 3), (".fact", 4)):
        boxes = [element.bounding_box() for element in page.locator(selector).all()]
        assert len(boxes) == count
        assert max(box["y"] + box["height"] for box in boxes) <= viewport["height"]
    names = page.locator(".fact dt").all_text_contents()
    assert names[:3] == ["Split", "Classes", "Most severe of 4 findings"]
    assert names[3] == "Evaluations of the test split"


def column(page: "playwright.Page", number: int) -> list[str]:
    cells = page.locator(f"table.classes tbody tr > :nth-child({number})")
    return [text.strip() for text in cells.all_text_contents()]


def test_table_is_sorted_by_a_click_and_by_the_keyboard(open_report):
    page = open_report(viewport=DESKTOP)
    heading = page.locator("table.classes thead th").nth(3)
    heading.get_by_role("button").click()
    numbers = [int(text) for text in column(page, 4)]
    assert numbers == sorted(numbers, reverse=True)
    assert numbers != numbers[::-1]
    assert heading.get_attribute("aria-sort") == "descending"
    page.keyboard.press("Enter")  # the button has the focus
    assert [int(text) for text in column(page, 4)] == sorted(numbers)
    assert heading.get_attribute("aria-sort") == "ascending"
    names = page.locator("table.classes thead th").first
    names.get_by_role("button").focus()
    page.keyboard.press("Space")
    assert column(page, 1) == sorted(column(page, 1), key=str.casefold)
    assert heading.get_attribute("aria-sort") is None
    assert names.get_attribute("aria-sort") == "ascending"


@pytest.mark.parametrize("clicks", [1, 2])
def test_missing_values_are_last_in_both_directions(open_report, clicks):
    page = open_report("unusual", viewport=DESKTOP)
    button = page.locator("table.classes thead th").nth(5).get_by_role("button")
    for _ in range(clicks):
        button.click()
    recalls = column(page, 6)
    assert recalls[-1].startswith("–")
    assert column(page, 1)[-1].startswith(UNUSUAL_NAMES[0])
    values = [float(re.search(r"(\d+\.\d)\u00a0%", text)[1]) for text in recalls[:-1]]
    assert values == sorted(values, reverse=clicks == 1)


def test_columns_of_different_units_cannot_be_sorted(open_report):
    page = open_report(viewport=DESKTOP)
    metrics = page.get_by_role("region", name="All metrics")
    assert metrics.locator("th").count() > 10
    assert metrics.locator("button").count() == 0


def test_links_of_contents_and_headings_lead_to_their_heading(open_report):
    page = open_report(viewport=DESKTOP)
    links = page.locator("nav a, .anchor, .fact a")
    targets = {link.get_attribute("href") for link in links.all()}
    assert len(targets) > 20
    for target in targets:
        assert page.locator(target).count() == 1
    page.locator("nav a", has_text="Errors").click()
    assert page.url.endswith("#errors")
    assert abs(page.locator("#errors h2").bounding_box()["y"]) < 150


def test_figure_is_enlarged_by_tap_and_closed_by_the_button(open_report):
    page = open_report(viewport=PHONE, has_touch=True, is_mobile=True)
    figure = page.locator("#figure_confusion_matrix button")
    small = figure.locator("img").bounding_box()["width"]
    assert small <= PHONE["width"]
    figure.tap()
    large = page.locator("dialog[open] img")
    assert large.bounding_box()["width"] > 2 * small
    frame = page.locator("dialog .frame")
    assert frame.evaluate("frame => frame.scrollWidth > frame.clientWidth")
    page.locator("dialog").get_by_text("Close").tap()
    assert page.locator("dialog[open]").count() == 0


def test_figure_is_enlarged_and_closed_by_the_keyboard(open_report):
    page = open_report(viewport=DESKTOP)
    figure = page.locator("#figure_loss_curves button")
    assert figure.get_attribute("aria-label").startswith("Enlarge the figure: ")
    figure.focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog[open]").count() == 1
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert figure.evaluate("button => button === document.activeElement")


def test_wide_tables_have_a_hint_only_where_they_must_be_scrolled(open_report):
    page = open_report(viewport=PHONE)
    hint = page.locator(".table", has=page.locator("table.classes")).locator(".hint")
    hint.wait_for(state="visible")
    page.set_viewport_size({"width": 1700, "height": 900})
    hint.wait_for(state="hidden")
    area = page.locator(".scroll", has=page.locator("table.classes"))
    assert area.get_attribute("tabindex") == "0"


def test_first_column_stays_visible_while_a_table_is_scrolled(open_report):
    page = open_report(viewport=PHONE)
    area = page.locator(".scroll", has=page.locator("table.classes"))
    name = page.locator("table.classes tbody th").first
    before = name.bounding_box()["x"]
    area.evaluate("area => area.scrollTo(500, 0)")
    assert name.bounding_box()["x"] == pytest.approx(before, abs=1)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast_in_light_and_dark(open_report, scheme):
    page = open_report(viewport=DESKTOP, color_scheme=scheme)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == {"light": "rgb(255, 255, 255)", "dark": "rgb(21, 24, 28)"}[scheme]
    selectors = ["p", "h2", "a", "td", "th", ".detail", ".mark", ".badge", ".range", "dt", "code"]
    for selector in selectors:
        contrasts = page.locator(f"main {selector}").evaluate_all(f"all => all.map({CONTRAST})")
        assert contrasts, selector
        assert min(contrasts) >= 4.5, selector


def test_printed_page_has_all_content_and_no_controls(open_report):
    page = open_report(viewport={"width": 720, "height": 1000})
    page.emulate_media(media="print")
    assert not page.locator("nav").is_visible()
    assert not page.locator(".anchor").first.is_visible()
    example = page.locator(".finding details li").first
    assert example.bounding_box()["height"] > 5  # closed parts are printed too
    assert page.evaluate("document.documentElement.scrollWidth") <= 720


def test_page_is_complete_without_its_script(open_report):
    page = open_report(viewport=PHONE, java_script_enabled=False)
    assert page.locator("figure img").count() == len(FIGURES)
    assert page.locator("button").count() == 0
    assert page.locator("dialog").count() == 0
    assert not page.locator(".hint").first.is_visible()


def test_images_have_alternative_texts_and_are_decoded(open_report):
    page = open_report(viewport=DESKTOP)
    images = page.locator("figure img")
    assert all(len(image.get_attribute("alt")) > 10 for image in images.all())
    widths = images.evaluate_all("all => all.map(image => image.naturalWidth)")
    assert len(widths) == len(FIGURES)
    assert min(widths) > 500


def test_untrusted_names_run_no_script(open_report):
    page = open_report("unusual", viewport=DESKTOP)
    assert page.locator("script").count() == 1
    assert page.locator("table.classes tbody th").first.inner_text().startswith(UNUSUAL_NAMES[0])


def test_external_sets_are_listed_beside_the_internal_test(open_report):
    page = open_report(viewport=DESKTOP)
    page.locator("nav a", has_text="External validation").click()
    assert page.url.endswith("#external")
    overview = page.get_by_role("region", name="External sets, over the classes present")
    assert overview.locator("tbody th").all_text_contents() == ["hospital_b", "phones.2"]
    cells = overview.locator("tbody tr").first.locator("td").all_text_contents()
    assert cells[1].strip() == "3 of 14"
    names = overview.locator("thead th").all_text_contents()
    assert [name.strip() for name in names][-3:] == ["Balanced accuracy", "Internal", "Difference"]


def test_labels_and_subgroups_of_an_external_set_can_be_opened(open_report):
    page = open_report(viewport=PHONE)
    details = page.locator("#external details").first
    table = details.get_by_role("region", name="Labels of hospital_b")
    assert not table.is_visible()
    details.locator("summary").click()
    assert table.is_visible()
    assert "<b>scar</b>" in table.locator("tbody").inner_text()  # escaped
    assert "ignored" in table.locator("tbody").inner_text()
