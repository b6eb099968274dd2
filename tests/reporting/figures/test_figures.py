import warnings
from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from skin_lesions.reporting import figures
from skin_lesions.reporting.figures import style, titles
from skin_lesions.reporting.figures.class_counts import counts_by_split
from skin_lesions.reporting.figures.sample_images import chosen_images
from support.report_inputs import FOURTEEN, WEIRD, Inputs, fourteen, twenty_three, two

STUDIES = {
    "fourteen": fourteen,
    "synthetic": lambda: fourteen(synthetic=True),
    "two": two,
    "twenty_three": twenty_three,
}
NAMES = list(figures.__all__)
# Each class is named in these, as a tick label or above its images.
BY_CLASS = ["confusion_matrix", "per_class_recall", "class_counts", "sample_images"]


@cache
def study(name: str) -> Inputs:
    return STUDIES[name]()


@cache
def drawn(figure: str, of: str) -> Figure:
    """Draw as the pipeline does: a warning, such as a missing glyph, is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        made = draw(figure, study(of))
        made.canvas.draw()
    return made


def draw(figure: str, inputs: Inputs) -> Figure:
    arguments = {
        "confusion_matrix": lambda: (inputs.metrics,),
        "per_class_recall": lambda: (inputs.metrics,),
        "calibration_curve": lambda: (inputs.predictions, inputs.metrics),
        "loss_curves": lambda: (inputs.training_history, inputs.metrics),
        "class_counts": lambda: (inputs.image_table, inputs.split_table),
        "shortcut_probes": lambda: (inputs.audit_findings, inputs.image_table),
    }
    if figure == "linked_image_pairs":
        tables = inputs.image_table, *inputs.groups_and_links
        return figures.linked_image_pairs(*tables, inputs.pixels, per_kind=4)
    if figure == "sample_images":
        return figures.sample_images(inputs.image_table, inputs.pixels, per_class=4)
    return getattr(figures, figure)(*arguments[figure]())


def texts(figure: Figure) -> list[Text]:
    """All that is drawn; matplotlib also keeps the labels of ticks beyond the axis."""
    beyond = {
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    written = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    return [text for text in written if text not in beyond]


def words(figure: Figure) -> list[str]:
    return [text.get_text().replace("\u00a0", " ") for text in texts(figure)]


def labels(figure: Figure, axis: str) -> list[Text]:
    axes = figure.axes[0]
    ticks = axes.get_yticklabels() if axis == "y" else axes.get_xticklabels()
    return [tick for tick in ticks if tick.get_text()]


@pytest.mark.parametrize("figure", NAMES)
@pytest.mark.parametrize("of", STUDIES)
def test_nothing_written_lies_outside_the_figure(figure, of):
    made = drawn(figure, of)
    width, height = made.canvas.get_width_height()
    for text in texts(made):
        box = text.get_window_extent()
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1
        assert inside, (text.get_text(), box)


@pytest.mark.parametrize("figure", BY_CLASS)
@pytest.mark.parametrize("of", STUDIES)
def test_every_class_is_named(figure, of):
    shown = " | ".join(words(drawn(figure, of)))
    for label in study(of).labels:
        assert style.class_name(label) in shown


@pytest.mark.parametrize("figure", ["confusion_matrix", "per_class_recall", "class_counts"])
@pytest.mark.parametrize("of", STUDIES)
def test_class_names_do_not_overlap(figure, of):
    boxes = [tick.get_window_extent() for tick in labels(drawn(figure, of), "y")]
    assert len(boxes) == len(study(of).labels)
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))


@pytest.mark.parametrize("of", STUDIES)
def test_names_below_the_confusion_matrix_do_not_overlap(of):
    ticks = labels(drawn("confusion_matrix", of), "x")
    assert len(ticks) == len(study(of).labels)
    for left, right in pairwise(ticks):
        step = right.get_transform().transform(right.get_position())[0]
        step -= left.get_transform().transform(left.get_position())[0]
        if left.get_rotation() == 0:
            assert left.get_window_extent().x1 < right.get_window_extent().x0
        else:  # parallel lines: what counts is how far apart they run
            angle = np.radians(left.get_rotation())
            assert step * np.sin(angle) > left.get_fontsize() * left.figure.dpi / 72


@pytest.mark.parametrize("of", STUDIES)
def test_cells_of_the_confusion_matrix_hold_their_numbers(of):
    axes = drawn("confusion_matrix", of).axes[0]
    width = axes.transData.transform((1, 0))[0] - axes.transData.transform((0, 0))[0]
    height = axes.transData.transform((0, 0))[1] - axes.transData.transform((0, 1))[1]
    for count, share in zip(axes.texts[::2], axes.texts[1::2], strict=True):
        upper, lower = count.get_window_extent(), share.get_window_extent()
        assert count.xy == share.xy
        assert max(upper.width, lower.width) < width
        assert upper.y1 - lower.y0 < height
        assert lower.y1 <= upper.y0 + 2


@pytest.mark.parametrize("of", STUDIES)
def test_confusion_matrix_shows_every_count_and_its_share_of_the_row(of):
    confusion = study(of).metrics["test"]["confusion"]
    counts = np.array(confusion["counts"])
    shown = {}
    cells = drawn("confusion_matrix", of).axes[0].texts
    for count, share in zip(cells[::2], cells[1::2], strict=True):
        shown[count.xy] = (count.get_text(), share.get_text())
    assert shown == {
        (column, row): (str(counts[row, column]), titles.percent(counts[row, column] / total))
        for row, total in enumerate(counts.sum(axis=1))
        for column in np.flatnonzero(counts[row])
    }


def test_confusion_title_names_the_most_frequent_error():
    confusion = {"classes": ["Melanocytic nevi", "Melanoma"], "counts": [[50, 10], [9, 31]]}
    said = titles.confusion({"test": {"confusion": confusion}}).replace(titles.NBSP, " ")
    assert said == (
        "Test: 81 % right (81 of 100); most often Melanocytic nevi is taken for Melanoma (10 of 60)"
    )


def test_no_error_is_named_where_there_is_none():
    confusion = {"classes": ["a", "b"], "counts": [[5, 0], [0, 3]]}
    said = titles.confusion({"test": {"confusion": confusion}}).replace(titles.NBSP, " ")
    assert said == "Test: 100 % right (8 of 8)"


@pytest.mark.parametrize(
    ("share", "said"),
    [(0.0, "0 %"), (0.004, "<1 %"), (0.714, "71 %"), (0.996, ">99 %"), (1.0, "100 %")],
)
def test_percent_rounds_neither_up_to_all_nor_down_to_none(share, said):
    assert titles.percent(share).replace(titles.NBSP, " ") == said


@pytest.mark.parametrize("figure", NAMES)
def test_figures_of_generated_images_say_so(figure):
    assert style.SYNTHETIC_NOTICE in words(drawn(figure, "synthetic"))
    assert style.SYNTHETIC_NOTICE not in words(drawn(figure, "fourteen"))


@pytest.mark.parametrize("figure", BY_CLASS)
def test_dollar_signs_are_drawn_not_typeset(figure):
    named = [text for text in texts(drawn(figure, "twenty_three")) if "x$^2$" in text.get_text()]
    assert named
    assert not any(text.get_parse_math() for text in named)


def test_names_that_no_font_has_stay_different():
    names = [
        style.escape_missing_glyphs(name)
        for name in ("\U000f0000", "\U000f0001", "a\nb", "Melanoma é")
    ]
    assert names == ["\\U000f0000", "\\U000f0001", "a\\nb", "Melanoma é"]


def test_recall_shows_interval_and_numbers_of_each_class():
    recall = study("fourteen").metrics["test"]["per_class"]["Melanoma"]
    value, low, high = (round(100 * recall["recall"][key]) for key in ("value", "low", "high"))
    said = f"{value} %, {recall['correct']} of {recall['support']} [{low} to {high}]"
    assert said in words(drawn("per_class_recall", "fourteen"))


def test_recall_is_sorted_and_untested_classes_come_last():
    names = [tick.get_text() for tick in labels(drawn("per_class_recall", "twenty_three"), "y")]
    per_class = study("twenty_three").metrics["test"]["per_class"]
    by_name = {style.class_name(label): row["recall"]["value"] for label, row in per_class.items()}
    values = [by_name[name] for name in names]
    assert values[-1] is None
    assert values[:-1] == sorted(values[:-1], reverse=True)
    assert "no test images" in words(drawn("per_class_recall", "twenty_three"))


def test_recall_title_takes_the_larger_of_equal_classes():
    row = {"correct": 2, "support": 2, "recall": {"value": 1.0}}
    large = {"correct": 9, "support": 9, "recall": {"value": 1.0}}
    small = {"correct": 0, "support": 4, "recall": {"value": 0.0}}
    said = titles.recall({"test": {"per_class": {"a": row, "b": large, "c": small}}})
    assert said.replace(titles.NBSP, " ") == (
        "Test: b is found most often (100 %, 9 of 9), c least often (0 %, 0 of 4)"
    )


@pytest.mark.parametrize("epochs", [1, 2, 8, 60])
def test_loss_curves_show_every_epoch_and_mark_the_kept_one(epochs):
    inputs = two(epochs=epochs)
    history = inputs.training_history
    made = draw("loss_curves", inputs)
    left = made.axes[0]
    curves = {tuple(line.get_ydata()) for line in left.lines if len(line.get_xdata()) == epochs}
    assert tuple(history["train_loss"]) in curves
    assert tuple(history["val_loss"]) in curves
    kept = int(history.loc[history["best"], "epoch"].iloc[0])
    assert f"kept: epoch {kept}" in words(made)
    assert left.get_ylim()[1] > history[["train_loss", "val_loss"]].to_numpy().max()


def test_loss_title_names_the_kept_epoch_and_the_lowest_loss():
    history = two(epochs=3).training_history.assign(
        best=[False, True, False],
        val_loss=[0.9, 0.8, 0.7],
        val_accuracy=[0.1, 0.7, 0.6],
        val_balanced_accuracy=[0.1, 0.64, 0.6],
    )
    assert titles.loss(history).replace(titles.NBSP, " ") == (
        "Epoch 2 of 3 is kept: validation accuracy 70 %, balanced accuracy 64 %; "
        "epoch 3 has the lowest validation loss"
    )


def test_class_counts_add_up_to_the_files_of_the_table():
    inputs = study("fourteen")
    axes = drawn("class_counts", "fourteen").axes[0]
    lengths = Counter()
    for bars in axes.containers:
        for row, bar in enumerate(bars):
            lengths[row] += bar.get_width()
    files = inputs.image_table["label"].value_counts()
    names = [tick.get_text() for tick in labels(drawn("class_counts", "fourteen"), "y")]
    assert [lengths[row] for row in range(len(names))] == [files[name] for name in names]
    assert f"n {files['Melanoma']:,}" in words(drawn("class_counts", "fourteen"))


def test_files_that_the_split_leaves_out_are_counted_as_not_used():
    inputs = study("two")
    counts = counts_by_split(inputs.image_table, inputs.split_table)
    assert counts["not used"].sum() == len(inputs.image_table) - len(inputs.split_table)
    assert "not used" not in counts_by_split(inputs.split_table, inputs.split_table)


def test_very_unequal_classes_get_a_logarithmic_axis():
    inputs = Inputs(["Melanocytic nevi", "Melanoma"], [900, 12])
    assert draw("class_counts", inputs).axes[0].get_xscale() == "log"
    assert drawn("class_counts", "fourteen").axes[0].get_xscale() == "linear"


def image_table(**columns) -> pd.DataFrame:
    table = pd.DataFrame({"image_id": list("abcdef"), "label": "Melanoma", **columns})
    return table.assign(file=table["image_id"] + ".jpg", width=30, height=10)


def test_samples_take_each_lesion_once_while_there_are_others():
    table = image_table(lesion_id=["x", "x", "x", "y", "y", "z"])
    assert chosen_images(table, 3)["image_id"].tolist() == ["a", "d", "f"]
    assert sorted(chosen_images(table, 5)["image_id"]) == ["a", "b", "d", "e", "f"]


def test_samples_take_each_picture_once_and_do_not_depend_on_the_order_of_rows():
    table = pd.concat([image_table(), image_table()], ignore_index=True)
    chosen = chosen_images(table, 4)["image_id"].tolist()
    assert chosen == ["a", "b", "c", "d"]
    assert chosen_images(table[::-1], 4)["image_id"].tolist() == chosen


def test_sample_sheet_restores_the_aspect_of_each_picture():
    square = np.zeros((8, 8, 3), np.uint8)
    table = image_table()
    made = figures.sample_images(table, dict.fromkeys("abcdef", square), per_class=6)
    extents = [image.get_extent() for image in made.axes[0].images]
    assert len(extents) == 6
    aspects = [(right - left) / (low - top) for left, right, low, top in extents]
    assert aspects == pytest.approx([3.0] * 6)


@pytest.mark.parametrize(("classes", "per_class"), [(2, 6), (14, 6), (23, 6), (25, 1), (25, 20)])
def test_sample_sheets_are_neither_tall_nor_flat_and_names_fit(classes, per_class):
    names = (FOURTEEN + WEIRD + [f"class {i}" for i in range(9)])[:classes]
    numbers = [30] * (classes - 1) + [1]  # the last class has one image
    inputs = Inputs(names, numbers)
    made = figures.sample_images(inputs.image_table, inputs.pixels, per_class=per_class)
    width, height = made.get_size_inches()
    assert 1.0 < width / height < 1.6
    made.canvas.draw()
    boxes = [text.get_window_extent() for text in made.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert len(made.axes[0].images) == min(per_class, 30) * (classes - 1) + 1


def test_calibration_curve_shows_confidence_against_share_right():
    inputs = study("two")
    test = inputs.predictions[inputs.predictions["split"] == "test"]
    confidence = test[["p_Benign", "p_Melanoma"]].max(axis=1)
    curve = drawn("calibration_curve", "two").axes[1].lines[1]
    bars = drawn("calibration_curve", "two").axes[0].patches
    assert sum(bar.get_height() for bar in bars) == len(test)
    # Bins hold about equally many images, so the mean of the points is about that of the images.
    assert np.mean(curve.get_xdata()) == pytest.approx(confidence.mean(), abs=0.03)
    right = (test["label"] == test["predicted"]).mean()
    assert np.mean(curve.get_ydata()) == pytest.approx(right, abs=0.03)


@pytest.mark.parametrize("size", [9.0, 13.0])
def test_long_titles_are_broken_into_lines_that_fit(size):
    text = titles.confusion(study("fourteen").metrics) * 2
    lines = style.wrap_text(style.escape_missing_glyphs(text), 400, size, "bold")
    assert " ".join(lines) == style.escape_missing_glyphs(text)
    assert all(style.text_width(line, size, "bold") <= 400 for line in lines)


def test_shortcuts_show_every_probe_beside_its_chance():
    inputs = study("fourteen")
    made = drawn("shortcut_probes", "fourteen")
    done = [p for p in inputs.audit_findings["shortcut_probes"] if p["balanced_accuracy"]["value"]]
    assert len(made.axes) == 2
    points = [line for axes in made.axes for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in points] == [
        probe["balanced_accuracy"]["value"] for probe in done
    ]
    dashed = [line for axes in made.axes for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == [1 / 14, 1 / 14]


def test_shortcuts_draw_six_panels_at_most_and_count_the_others():
    inputs = study("two")
    probe = next(inputs.shortcuts())
    probes = [probe | {"scope": f"within {i}"} for i in range(9)]
    made = figures.shortcut_probes({"shortcut_probes": probes}, inputs.image_table)
    assert len(made.axes) == 6
    assert "3 more panels stand in audit_findings.json" in " ".join(words(made))


def probed(value, low, chance=0.25, scope="all", name="border"):
    accuracy = {"value": value, "low": low, "high": value, "n": 9}
    return {"scope": scope, "name": name, "balanced_accuracy": accuracy, "chance": chance}


def test_shortcut_title_counts_what_beats_chance_and_names_the_most():
    probes = [probed(0.5, 0.4), probed(0.4, 0.3, name="sex"), probed(0.26, 0.2, name="site")]
    probes += [probed(0.9, 0.8, scope="within a")]
    assert titles.shortcuts(probes) == (
        "2 of 3 things that a model could cheat with beat chance; the most: border, balanced accuracy "
        "0.500 (chance 0.250)"
    )
    assert (
        titles.shortcuts(probes[2:3])
        == "None of 1 things that a model could cheat with beats chance"
    )
    assert "could not be probed" in titles.shortcuts([])
