import logging

import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib import font_manager

from skin_lesions.reporting.figures import fonts
from skin_lesions.reporting.html_report import render_report
from support.report_inputs import PNG, Study

RARE = "\U00012000\U00012001"  # cuneiform: no font of a common system has it


def write_font(path, family, characters):
    """Write a font whose glyphs are squares."""
    pen = TTGlyphPen(None)
    for point in ((0, 0), (0, 700), (700, 700), (700, 0)):
        (pen.lineTo if pen.points else pen.moveTo)(point)
    pen.closePath()
    names = [f"g{i}" for i in range(len(characters))]
    builder = FontBuilder(1000)
    builder.setupGlyphOrder([".notdef", *names])
    builder.setupCharacterMap(dict(zip(map(ord, characters), names, strict=True)))
    builder.setupGlyf({name: pen.glyph() for name in (".notdef", *names)})
    builder.setupHorizontalMetrics(dict.fromkeys((".notdef", *names), (800, 50)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def clear_caches():
    for function in (
        fonts.installed_fonts,
        fonts._supported_characters,
        fonts._warn_once,
        fonts.text_width,
    ):
        function.cache_clear()


@pytest.fixture
def system_fonts(monkeypatch):
    """Give the list of installed fonts, which a test can extend."""
    entries = list(font_manager.fontManager.ttflist)
    monkeypatch.setattr(font_manager.fontManager, "ttflist", entries)
    clear_caches()
    yield entries
    clear_caches()


@pytest.fixture
def only_dejavu(system_fonts):
    """Leave only fonts that are part of matplotlib."""
    system_fonts[:] = [entry for entry in system_fonts if "mpl-data" in entry.fname]
    return system_fonts


def test_installed_font_of_another_name_draws_the_names_of_its_script(tmp_path, only_dejavu):
    assert fonts.figure_name("中") != "中"
    write_font(tmp_path / "a.ttf", "Some Chinese Font", "中")
    font_manager.fontManager.addfont(tmp_path / "a.ttf")
    clear_caches()
    assert fonts.installed_fonts()[-1] == "Some Chinese Font"
    assert fonts.figure_name("中") == "中"
    drawn = Study(["中", "Melanoma"], [30, 30]).draw_all()  # warnings are errors
    assert "中" in [tick.get_text() for tick in drawn["class_counts"].axes[0].get_yticklabels()]


def test_fonts_that_add_no_script_and_broken_fonts_are_not_used(tmp_path, only_dejavu):
    write_font(tmp_path / "latin.ttf", "Latin Only", "abc")
    font_manager.fontManager.addfont(tmp_path / "latin.ttf")
    (tmp_path / "broken.ttf").write_bytes(b"no font")
    only_dejavu.append(font_manager.FontEntry(str(tmp_path / "broken.ttf"), name="Broken"))
    clear_caches()
    assert fonts.installed_fonts() == ["DejaVu Sans"]


def test_class_without_a_font_has_the_same_code_in_all_figures_and_one_warning(only_dejavu, caplog):
    labels = [RARE, "\U00012002", "Melanoma"]
    with caplog.at_level(logging.WARNING):
        drawn = Study(labels, [30, 40, 50]).draw_all()
    assert len([record for record in caplog.records if record.name == fonts.__name__]) == 1
    assert "No installed font" in caplog.text
    assert "Fix: install a font" in caplog.text
    code = fonts.figure_code(RARE)
    assert code.startswith("class ")
    assert code != fonts.figure_code(labels[1])
    for name in ("confusion_matrix", "per_class_recall", "class_counts"):
        names = [tick.get_text() for tick in drawn[name].axes[0].get_yticklabels()]
        assert sorted(names) == sorted([code, fonts.figure_code(labels[1]), "Melanoma"])


def test_titles_show_the_code_and_alternative_texts_the_name(only_dejavu):
    study = Study([RARE, "Melanoma"], [30, 90])
    page = render_report(**vars(study.report_inputs()), class_counts=PNG)
    assert f"{RARE} the fewest" in page
    drawn = study.draw_all()["class_counts"]
    title = " ".join(text.get_text() for text in drawn.texts)
    assert f"{fonts.figure_code(RARE)} the fewest" in title


def test_report_lists_the_name_of_each_code(only_dejavu):
    inputs = Study([RARE, "Melanoma"], [30, 90]).report_inputs()
    assert f"<li>{fonts.figure_code(RARE)}: {RARE}</li>" in render_report(**vars(inputs))
    drawable = Study(["Nevus", "Melanoma"], [30, 90]).report_inputs()
    assert "show codes for them" not in render_report(**vars(drawable))


@pytest.mark.parametrize(
    "name", ["Меланома", "Καρκίνωμα", "Kératose", "סרטן", "ميلانوما", "😀 nevus"]
)
def test_names_in_scripts_of_the_included_font_are_drawn(only_dejavu, name):
    assert fonts.figure_code(name) is None
    assert name in fonts.figure_name(name)


def test_text_after_a_right_to_left_name_stays_behind_it():
    # Without the marks, "name (12)" would be displayed as "(12) name".
    assert fonts.figure_name("ميلانوما") == "\u200eميلانوما\u200e"
    assert fonts.escape_missing_glyphs("…/ميل_1.jpg") == "\u200e…/ميل_1.jpg\u200e"
    assert fonts.figure_name("Melanoma") == "Melanoma"
