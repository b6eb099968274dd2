import warnings
from collections import Counter
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.text import Text

from skin_lesions.evaluation.scorecard import (
    ClassMetrics,
    ConfusionMatrix,
    RangeByChance,
    Scorecard,
)
from skin_lesions.metrics.calibration import confidence_bins
from skin_lesions.metrics.intervals import Estimate, proportion
from skin_lesions.reporting.figures import (
    calibration_curve,
    confusion_matrix,
    decision_curve,
    fonts,
    loss_curves,
    per_class_recall,
    sample_images,
    shortcut_probes,
    style,
    subgroups,
)
from skin_lesions.reporting.figures.class_counts import file_counts_by_split
from skin_lesions.reporting.figures.registry import FIGURES
from skin_lesions.reporting.figures.sample_images import select_images
from skin_lesions.reporting.formatting import NBSP, whole_percent
from support.report_inputs import (
    DIAGNOSIS_NAMES,
    UNUSUAL_NAMES,
    Study,
    fourteen_classes,
    probe,
    twenty_three_classes,
    two_classes,
    with_frame,
)

STUDIES = {
    "fourteen": fourteen_classes,
    "synthetic": lambda: fourteen_classes(synthetic=True),
    "two": two_classes,
    "twenty_three": twenty_three_classes,
}
SPECS = {figure.name: figure for figure in FIGURES}
# Figures that name each class, as a tick label or above its images.
CLASS_FIGURES = ["confusion_matrix", "per_class_recall", "class_counts", "sample_images"]


@cache
def inputs_of(name: str) -> Study:
    return STUDIES[name]()


@cache
def cached_figure(figure: str, study: str) -> Figure:
    """Draw a figure. Warnings such as a missing glyph are errors, as in the pipeline."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn = inputs_of(study).draw(SPECS[figure])
        drawn.canvas.draw()
    return drawn


def texts(figure: Figure) -> list[Text]:
    """Return all texts that are drawn; matplotlib also has labels of ticks outside the axis."""
    outside = {
        tick.label1
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
    }
    visible = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    return [text for text in visible if text not in outside]


def strings(figure: Figure) -> list[str]:
    return [text.get_text().replace("\u00a0", " ") for text in texts(figure)]


def labels(figure: Figure, axis: str) -> list[Text]:
    axes = figure.axes[0]
    ticks = axes.get_yticklabels() if axis == "y" else axes.get_xticklabels()
    return [tick for tick in ticks if tick.get_text()]


@pytest.mark.parametrize("figure", SPECS)
@pytest.mark.parametrize("study", STUDIES)
def test_all_texts_are_inside_the_figure(figure, study):
    drawn = cached_figure(figure, study)
    width, height = drawn.canvas.get_width_height()
    for text in texts(drawn):
        box = text.get_window_extent()
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1
        assert inside, (text.get_text(), box)


@pytest.mark.parametrize("figure", CLASS_FIGURES)
@pytest.mark.parametrize("study", STUDIES)
def test_every_class_is_named(figure, study):
    displayed = " | ".join(strings(cached_figure(figure, study)))
    for label in inputs_of(study).labels:
        assert style.class_name(label) in displayed


@pytest.mark.parametrize("figure", ["confusion_matrix", "per_class_recall", "class_counts"])
@pytest.mark.parametrize("study", STUDIES)
def test_class_names_do_not_overlap(figure, study):
    boxes = [tick.get_window_extent() for tick in labels(cached_figure(figure, study), "y")]
    assert len(boxes) == len(inputs_of(study).labels)
    assert all(above.y0 >= below.y1 for above, below in pairwise(boxes))


@pytest.mark.parametrize("study", STUDIES)
def test_names_below_the_confusion_matrix_do_not_overlap(study):
    ticks = labels(cached_figure("confusion_matrix", study), "x")
    assert len(ticks) == len(inputs_of(study).labels)
    for left, right in pairwise(ticks):
        step = right.get_transform().transform(right.get_position())[0]
        step -= left.get_transform().transform(left.get_position())[0]
        if left.get_rotation() == 0:
            assert left.get_window_extent().x1 < right.get_window_extent().x0
        else:  # rotated names: the distance between the parallel lines counts
            angle = np.radians(left.get_rotation())
            assert step * np.sin(angle) > left.get_fontsize() * left.figure.dpi / 72


@pytest.mark.parametrize("study", STUDIES)
def test_numbers_fit_the_cells_of_the_confusion_matrix(study):
    axes = cached_figure("confusion_matrix", study).axes[0]
    width = axes.transData.transform((1, 0))[0] - axes.transData.transform((0, 0))[0]
    height = axes.transData.transform((0, 0))[1] - axes.transData.transform((0, 1))[1]
    for count, fraction in zip(axes.texts[::2], axes.texts[1::2], strict=True):
        upper, lower = count.get_window_extent(), fraction.get_window_extent()
        assert count.xy == fraction.xy
        assert max(upper.width, lower.width) < width
        assert upper.y1 - lower.y0 < height
        assert lower.y1 <= upper.y0 + 2


@pytest.mark.parametrize("study", STUDIES)
def test_confusion_matrix_has_every_count_and_its_fraction_of_the_row(study):
    counts = np.array(inputs_of(study).metrics.test.confusion.counts)
    displayed = {}
    cells = cached_figure("confusion_matrix", study).axes[0].texts
    for count, fraction in zip(cells[::2], cells[1::2], strict=True):
        displayed[count.xy] = (count.get_text(), fraction.get_text())
    assert displayed == {
        (column, row): (str(counts[row, column]), whole_percent(counts[row, column] / total))
        for row, total in enumerate(counts.sum(axis=1))
        for column in np.flatnonzero(counts[row])
    }


def with_test_metrics(**changes) -> Scorecard:
    """Return a scorecard with other entries in the metrics of the test images."""
    metrics = inputs_of("two").metrics
    return metrics.model_copy(update={"test": metrics.test.model_copy(update=changes)})


def test_confusion_title_names_the_most_frequent_error():
    confusion = ConfusionMatrix(
        classes=("Melanocytic nevi", "Melanoma"), counts=((50, 10), (9, 31))
    )
    title = confusion_matrix.title(with_test_metrics(confusion=confusion))
    assert title.replace(NBSP, " ") == (
        "Test: 81 % correct (81 of 100). "
        "Most frequent error: Melanocytic nevi predicted as Melanoma (10 of 60)"
    )


def test_confusion_title_names_no_error_if_there_is_none():
    confusion = ConfusionMatrix(classes=("a", "b"), counts=((5, 0), (0, 3)))
    title = confusion_matrix.title(with_test_metrics(confusion=confusion))
    assert title.replace(NBSP, " ") == "Test: 100 % correct (8 of 8)"


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.0, "0 %"), (0.004, "<1 %"), (0.714, "71 %"), (0.996, ">99 %"), (1.0, "100 %")],
)
def test_whole_percent_is_never_rounded_up_to_all_or_down_to_none(fraction, expected):
    assert whole_percent(fraction).replace(NBSP, " ") == expected


def artists(figure: Figure) -> list[Line2D | LineCollection | Patch | Text]:
    """Return what is drawn with a color: no frames, ticks, grid, backgrounds and legends."""
    excluded = {figure.patch}
    for axes in figure.findobj(Axes):
        excluded |= {axes.patch, *axes.spines.values()}
    for axis in figure.findobj(Axis):
        excluded |= set(axis.findobj(Line2D))
    for text in figure.findobj(Text):
        excluded |= {text.get_bbox_patch()}
    for legend in figure.legends:
        excluded |= set(legend.findobj())
    kinds = (Line2D, LineCollection, Patch, Text)
    return [a for a in figure.findobj() if isinstance(a, kinds) and a not in excluded]


def colors_of(artist: Line2D | LineCollection | Patch | Text) -> set[str]:
    """Return the colors of an artist, without transparency."""
    if isinstance(artist, LineCollection):
        return {to_hex(color) for color in artist.get_colors()}
    if isinstance(artist, Patch):
        return {to_hex(artist.get_facecolor())}
    if isinstance(artist, Line2D):
        return {to_hex(artist.get_color()), to_hex(artist.get_markerfacecolor())}
    return {to_hex(artist.get_color())}


# Background, lines between cells, frame around an image.
NEUTRAL = {to_hex(color) for color in (style.INK, style.GRAY, "white", "black", "#E1E4E8")}
NEUTRAL |= {"#f1f3f5"}
MEANING = {
    "train": style.TRAIN,
    "training": style.TRAIN,
    "val": style.VAL,
    "validation": style.VAL,
    "validation, balanced accuracy": style.VAL,
    "test": style.TEST,
    "test images": style.TEST,
    "slice of the test images": style.TEST,
    "act if the model says so": style.TEST,
    **{f"test images, strength {strength}": style.TEST for strength in (1, 2, 3)},
    "not used": style.NOT_USED,
    "malignant": style.MALIGNANT,
    "name of a malignant class": style.MALIGNANT,
    "benign, premalignant or unknown": style.NOT_MALIGNANT,
    "correct": style.CORRECT,
    "error": style.WRONG,
}


@pytest.mark.parametrize("study", ["two", "fourteen", "twenty_three"])
@pytest.mark.parametrize("figure", SPECS)
def test_legend_explains_every_color(figure, study):
    drawn = cached_figure(figure, study)
    used = set().union(*map(colors_of, artists(drawn))) - NEUTRAL
    if figure == "confusion_matrix":  # the cells are an image
        used |= {to_hex(style.CORRECT), to_hex(style.WRONG)}
    explained = {
        color
        for legend in drawn.legends
        for handle in legend.legend_handles
        for color in colors_of(handle)
    }
    assert used <= explained


@pytest.mark.parametrize("figure", SPECS)
def test_color_has_the_same_meaning_in_all_figures(figure):
    for legend in cached_figure(figure, "fourteen").legends:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            colors = colors_of(handle) - NEUTRAL
            assert colors <= {to_hex(MEANING.get(text.get_text(), style.INK))}, text


def test_meanings_have_different_colors():
    colors = [MEANING[name] for name in ("train", "val", "test", "not used", "malignant")]
    colors += [style.NOT_MALIGNANT, style.CORRECT, style.WRONG, style.INK, style.GRAY]
    assert len(set(colors)) == len(colors)


@pytest.mark.parametrize("study", ["two", "fourteen"])
def test_malignant_classes_have_the_color_and_the_marker_of_the_legend(study):
    drawn = cached_figure("per_class_recall", study)
    points = {
        int(line.get_ydata()[0]): (to_hex(line.get_color()), line.get_marker())
        for line in drawn.axes[0].lines
        if len(line.get_ydata()) == 1
    }
    malignant = {"Melanoma", "Basal cell carcinoma", "Squamous cell carcinoma"}
    for row, name in enumerate(labels(drawn, "y")):
        marked = name.get_text() in malignant
        assert points[row] == (
            (style.MALIGNANT.lower(), "D") if marked else (style.NOT_MALIGNANT.lower(), "o")
        )
        assert to_hex(name.get_color()) == (style.MALIGNANT if marked else style.INK).lower()


@pytest.mark.parametrize("colors", [confusion_matrix.CORRECT_COLORS, confusion_matrix.WRONG_COLORS])
def test_numbers_are_readable_on_every_color_of_the_confusion_matrix(colors):
    for fraction in np.linspace(0, 1, 1001):
        background = colors(fraction)
        assert style.contrast(style.text_color_on(background), background) >= 4.5


@pytest.mark.parametrize("study", STUDIES)
def test_cells_have_the_text_color_of_their_background(study):
    axes = cached_figure("confusion_matrix", study).axes[0]
    cells = axes.images[0].get_array()
    for text in axes.texts:
        column, row = text.xy
        assert style.contrast(text.get_color(), cells[row, column]) >= 4.5


def test_every_gray_background_has_a_readable_text_color():
    for level in np.linspace(0, 1, 256):
        background = (level, level, level)
        assert style.contrast(style.text_color_on(background), background) >= 4.5


def test_contrast_agrees_with_published_ratios():
    # https://webaim.org/resources/contrastchecker
    assert style.contrast("black", "white") == pytest.approx(21)
    assert style.contrast("#777777", "#FFFFFF") == pytest.approx(4.48, abs=0.005)
    assert style.contrast("#FFFFFF", "#0000FF") == pytest.approx(8.59, abs=0.005)


@pytest.mark.parametrize("figure", ["class_counts", "sample_images", "explanations"])
def test_classes_that_the_user_declares_malignant_are_colored(figure):
    study = two_classes()
    study.malignancy = study.malignancy.model_copy(update={"malignant_classes": ("Benign",)})
    drawn = study.draw(SPECS[figure])
    drawn.canvas.draw()
    colors = {
        name: {to_hex(t.get_color()) for t in texts(drawn) if t.get_text().startswith(name)}
        for name in study.labels
    }
    assert colors["Benign"] == {style.MALIGNANT.lower()}
    assert style.MALIGNANT.lower() not in colors["Melanoma"]


@pytest.mark.parametrize("color", [style.INK, style.GRAY, style.MALIGNANT])
def test_text_colors_are_readable_on_white(color):
    assert style.contrast(color, "white") >= style.MIN_CONTRAST


@pytest.mark.parametrize("figure", SPECS)
def test_figures_of_synthetic_images_have_a_notice(figure):
    assert style.SYNTHETIC_NOTICE in strings(cached_figure(figure, "synthetic"))
    assert style.SYNTHETIC_NOTICE not in strings(cached_figure(figure, "fourteen"))


@pytest.mark.parametrize("figure", CLASS_FIGURES)
def test_dollar_signs_are_not_parsed_as_math(figure):
    with_dollar = [
        text for text in texts(cached_figure(figure, "twenty_three")) if "x$^2$" in text.get_text()
    ]
    assert with_dollar
    assert not any(text.get_parse_math() for text in with_dollar)


def test_names_without_glyphs_remain_different():
    names = [
        fonts.escape_missing_glyphs(name)
        for name in ("\U000f0000", "\U000f0001", "a\nb", "Melanoma é")
    ]
    assert names == ["\\U000f0000", "\\U000f0001", "a\\nb", "Melanoma é"]


def test_recall_has_interval_and_counts_of_each_class():
    row = inputs_of("fourteen").metrics.test.per_class["Melanoma"]
    recall = row["recall"]
    value, low, high = (round(100 * number) for number in (recall.value, recall.low, recall.high))
    expected = f"{value} %, {row.correct} of {row.support} [{low} to {high}]"
    assert expected in strings(cached_figure("per_class_recall", "fourteen"))


def drawn_intervals(axes) -> dict[int, tuple[float, float]]:
    """Return low and high of the horizontal interval in each row."""
    segments = [segment for lines in axes.collections for segment in lines.get_segments()]
    return {round(a[1]): (a[0], b[0]) for a, b in segments}


def test_drawn_recalls_and_intervals_equal_the_metrics():
    axes = cached_figure("per_class_recall", "fourteen").axes[0]
    per_class = inputs_of("fourteen").metrics.test.per_class
    points = {
        int(line.get_ydata()[0]): line.get_xdata()[0]
        for line in axes.lines
        if len(line.get_xdata()) == 1
    }
    for row, tick in enumerate(axes.get_yticklabels()):
        recall = per_class[tick.get_text()]["recall"]
        assert points[row] == recall.value
        assert drawn_intervals(axes)[row] == pytest.approx((recall.low, recall.high))


def test_drawn_scores_of_the_probes_have_their_interval_chance_and_ceiling():
    inputs = inputs_of("fourteen")
    axes = cached_figure("shortcut_probes", "fourteen").axes[0]
    probes = [probe for probe in inputs.audit_findings.shortcut_probes if probe.scope == "all"]
    for row, expected in enumerate(probes[:-1]):  # the last one has no result
        accuracy = expected.balanced_accuracy
        assert drawn_intervals(axes)[row] == pytest.approx((accuracy.low, accuracy.high))
        marks = {
            line.get_marker(): line
            for line in axes.lines
            if len(line.get_xdata()) == 1 and line.get_ydata()[0] == row
        }
        assert marks["o"].get_xdata()[0] == accuracy.value
        is_filled = marks["o"].get_markerfacecolor() != "white"
        assert is_filled == (accuracy.low > expected.chance)
        if expected.ceiling < 1:
            assert marks["|"].get_xdata()[0] == expected.ceiling
    assert axes.lines[0].get_xdata()[0] == pytest.approx(1 / 14)


def test_recall_is_sorted_and_untested_classes_are_last():
    names = [
        tick.get_text() for tick in labels(cached_figure("per_class_recall", "twenty_three"), "y")
    ]
    per_class = inputs_of("twenty_three").metrics.test.per_class
    by_name = {style.class_name(label): row["recall"].value for label, row in per_class.items()}
    values = [by_name[name] for name in names]
    assert values[-1] is None
    assert values[:-1] == sorted(values[:-1], reverse=True)
    assert "no test images" in strings(cached_figure("per_class_recall", "twenty_three"))


def class_metrics(correct: int, support: int) -> ClassMetrics:
    recall = Estimate(value=correct / support, low=0.0, high=1.0, n=support)
    return ClassMetrics(support=support, correct=correct, recall=recall)


def test_recall_title_names_the_larger_of_two_classes_with_equal_recall():
    per_class = {
        "a": class_metrics(correct=2, support=2),
        "b": class_metrics(correct=9, support=9),
        "c": class_metrics(correct=0, support=4),
    }
    title = per_class_recall.title(with_test_metrics(per_class=per_class))
    assert title.replace(NBSP, " ") == (
        "Test: recall is highest for b (100 %, 9 of 9) and lowest for c (0 %, 0 of 4)"
    )


@pytest.mark.parametrize("epochs", [1, 2, 8, 60])
def test_loss_curves_have_every_epoch_and_mark_the_selected_one(epochs):
    inputs = two_classes(epochs=epochs)
    history = inputs.training_history
    drawn = inputs.draw(loss_curves.FIGURE)
    left = drawn.axes[0]
    curves = {tuple(line.get_ydata()) for line in left.lines if len(line.get_xdata()) == epochs}
    assert tuple(history["train_loss"]) in curves
    assert tuple(history["val_loss"]) in curves
    selected = int(history.loc[history["best"], "epoch"].iloc[0])
    assert f"selected: epoch {selected}" in strings(drawn)
    assert left.get_ylim()[1] > history[["train_loss", "val_loss"]].to_numpy().max()


def test_loss_title_names_the_selected_epoch_and_the_lowest_loss():
    history = two_classes(epochs=3).training_history.assign(
        best=[False, True, False],
        train_loss=[0.4, 0.5, 0.6],
        val_loss=[0.9, 0.8, 0.7],
        val_accuracy=[0.1, 0.7, 0.6],
        val_balanced_accuracy=[0.1, 0.64, 0.6],
    )
    assert loss_curves.title(history).replace(NBSP, " ") == (
        "Epoch 2 of 3 was selected: validation accuracy 70 %, balanced accuracy 64 %. "
        "Epoch 3 has the lowest validation loss"
    )


def test_class_counts_sum_to_the_files_of_the_table():
    inputs = inputs_of("fourteen")
    axes = cached_figure("class_counts", "fourteen").axes[0]
    lengths = Counter()
    for bars in axes.containers:
        for row, bar in enumerate(bars):
            lengths[row] += bar.get_width()
    files = inputs.image_table.frame["label"].value_counts()
    names = [tick.get_text() for tick in labels(cached_figure("class_counts", "fourteen"), "y")]
    assert [lengths[row] for row in range(len(names))] == [files[name] for name in names]
    assert f"n {files['Melanoma']:,}" in strings(cached_figure("class_counts", "fourteen"))


def test_files_excluded_by_the_split_are_counted_as_not_used():
    files, used = inputs_of("two").image_table.frame, inputs_of("two").split_table.frame
    assert file_counts_by_split(files, used)["not used"].sum() == len(files) - len(used)
    assert "not used" not in file_counts_by_split(used, used)


def test_very_unequal_classes_have_a_logarithmic_axis():
    inputs = Study(["Melanocytic nevi", "Melanoma"], [900, 12])
    assert inputs.draw(SPECS["class_counts"]).axes[0].get_xscale() == "log"
    assert cached_figure("class_counts", "fourteen").axes[0].get_xscale() == "linear"


def image_table(**columns) -> pd.DataFrame:
    table = pd.DataFrame({"image_id": list("abcdef"), "label": "Melanoma"}).assign(**columns)
    return table.assign(file=table["image_id"] + ".jpg", width=30, height=10)


def test_samples_use_each_lesion_once_as_long_as_there_are_others():
    table = image_table(lesion_id=["x", "x", "x", "y", "y", "z"])
    assert select_images(table, 3)["image_id"].tolist() == ["a", "d", "f"]
    assert sorted(select_images(table, 5)["image_id"]) == ["a", "b", "d", "e", "f"]


def test_samples_use_each_image_once_and_do_not_depend_on_the_order_of_rows():
    table = pd.concat([image_table(), image_table()], ignore_index=True)
    selected = select_images(table, 4)["image_id"].tolist()
    assert selected == ["a", "b", "c", "d"]
    assert select_images(table[::-1], 4)["image_id"].tolist() == selected


def test_sample_images_have_their_original_aspect_ratio():
    study = two_classes()
    image_ids = [character * 64 for character in "abcdef"]
    study.image_table = with_frame(study.image_table, image_table(image_id=image_ids))
    drawn = study.draw(sample_images.FIGURE, examples=6)
    extents = [image.get_extent() for image in drawn.axes[0].images]
    assert len(extents) == 6
    aspects = [(right - left) / (low - top) for left, right, low, top in extents]
    assert aspects == pytest.approx([3.0] * 6)


@pytest.mark.parametrize(("classes", "per_class"), [(2, 6), (14, 6), (23, 6), (25, 1), (25, 20)])
def test_sample_images_have_a_landscape_format_and_names_fit(classes, per_class):
    names = (DIAGNOSIS_NAMES + UNUSUAL_NAMES + [f"class {i}" for i in range(9)])[:classes]
    images_per_class = [30] * (classes - 1) + [1]  # the last class has one image
    drawn = Study(names, images_per_class).draw(sample_images.FIGURE, examples=per_class)
    width, height = drawn.get_size_inches()
    assert 1.0 < width / height < 1.6
    drawn.canvas.draw()
    boxes = [text.get_window_extent() for text in drawn.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert len(drawn.axes[0].images) == min(per_class, 30) * (classes - 1) + 1


@pytest.fixture(scope="module")
def calibration():
    """The figure, and confidence, correctness and group of each test image.

    96 images are in 9 bins. The groups have several images.
    """
    study = Study(["Benign", "Melanoma", "Nevus"], [160, 160, 160])
    rows = study.predictions.frame
    rows = rows.assign(group_id=[f"g{i // 3}" for i in range(len(rows))])
    study.predictions = with_frame(study.predictions, rows)
    test = rows[rows["split"] == "test"]
    confidence = test[["p_Benign", "p_Melanoma", "p_Nevus"]].to_numpy().max(axis=1)
    correct = (test["label"] == test["predicted"]).to_numpy()
    drawn = study.draw(SPECS["calibration_curve"])
    return drawn, confidence, correct, test["group_id"].to_numpy()


def test_calibration_curve_has_mean_confidence_and_accuracy_of_each_bin(calibration):
    drawn, confidence, correct, _ = calibration
    curve = drawn.axes[1].lines[1]
    bins = confidence_bins(confidence)
    expected = [correct[bins == b].mean() for b in range(9)]
    assert curve.get_ydata() == pytest.approx(expected)
    assert curve.get_xdata() == pytest.approx([confidence[bins == b].mean() for b in range(9)])


def test_intervals_of_the_calibration_curve_use_the_groups(calibration):
    drawn, confidence, correct, group = calibration
    bins = confidence_bins(confidence)
    for b, lines in enumerate(drawn.axes[1].collections):
        ((x, low), (_, high)) = lines.get_segments()[0]
        estimate = proportion(correct[bins == b], group[bins == b])
        assert (low, high) == pytest.approx((estimate.low, estimate.high))
        assert x == pytest.approx(confidence[bins == b].mean())
    grouped = [proportion(correct[bins == b], group[bins == b]).n_effective for b in range(9)]
    assert min(grouped) < np.bincount(bins).min()


def test_histogram_above_the_calibration_curve_counts_the_test_images(calibration):
    drawn, confidence, _, _ = calibration
    counts = [bar.get_height() for bar in drawn.axes[0].patches]
    expected, _ = np.histogram(confidence, bins=np.linspace(0, 1, 41))
    assert counts == expected.tolist()


def test_diagonal_of_the_calibration_curve_is_perfect_calibration(calibration):
    diagonal = calibration[0].axes[1].lines[0]
    assert list(diagonal.get_xdata()) == list(diagonal.get_ydata()) == [0, 1]


def test_calibration_title_has_the_error_of_the_test_images():
    error = Estimate(value=0.0432, low=0.01, high=0.1, n=9)
    by_chance = RangeByChance(median=0.02, low=0.0123, high=0.0345)
    metrics = with_test_metrics(expected_calibration_error=error)
    calibration = metrics.test.calibration.model_copy(update={"error_by_chance": by_chance})
    test = metrics.test.model_copy(update={"calibration": calibration})
    assert calibration_curve.title(metrics.model_copy(update={"test": test})) == (
        "Test: calibration error 4.3 percentage points (1.2 to 3.5 by chance)"
    )


@pytest.mark.parametrize("size", [9.0, 13.0])
def test_long_titles_are_wrapped_into_lines_that_fit(size):
    text = confusion_matrix.title(inputs_of("fourteen").metrics) * 2
    lines = style.wrap_text(fonts.escape_missing_glyphs(text), 400, size, "bold")
    assert " ".join(lines) == fonts.escape_missing_glyphs(text)
    assert all(fonts.text_width(line, size, "bold") <= 400 for line in lines)


def test_lines_of_a_wrapped_text_have_about_equal_length():
    lines = style.wrap_text("one two three four five six seven eight", 150, 9.0)
    lengths = [len(line) for line in lines]
    assert len(lines) == 2
    assert max(lengths) - min(lengths) <= len("three")


def test_word_that_is_wider_than_the_figure_is_broken():
    lines = style.wrap_text("Most frequent error: " + "W" * 200, 400, 13.0, "bold")
    assert "".join(lines).replace(" ", "").endswith("W" * 200)
    assert all(fonts.text_width(line, 13.0, "bold") <= 400 for line in lines)


def test_shortcut_probes_have_a_point_for_every_probe_and_a_line_for_chance():
    inputs = inputs_of("fourteen")
    drawn = cached_figure("shortcut_probes", "fourteen")
    accuracies = [p.balanced_accuracy.value for p in inputs.audit_findings.shortcut_probes]
    assert len(drawn.axes) == 2
    points = [line for axes in drawn.axes for line in axes.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in points] == [a for a in accuracies if a is not None]
    dashed = [line for axes in drawn.axes for line in axes.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata()[0] for line in dashed] == [1 / 14, 1 / 14]


def test_shortcut_probes_have_at_most_six_panels_and_count_the_others():
    study = two_classes()
    probes = [probe_result(0.5, 0.4, scope=f"within {i}") for i in range(9)]
    study.audit_findings = study.audit_findings.model_copy(update={"shortcut_probes": probes})
    drawn = study.draw(shortcut_probes.FIGURE)
    assert len(drawn.axes) == 6
    assert "3 more panels are in audit_findings.json" in " ".join(strings(drawn))


def probe_result(value, low, scope="all", name="border"):
    accuracy = Estimate(value=value, low=low, high=value, n=9)
    return probe(name=name, kind="border", classes=4, scope=scope, accuracy=accuracy, ceiling=1.0)


def test_shortcut_title_counts_the_probes_above_chance_and_names_the_best():
    probes = [
        probe_result(0.5, 0.4),
        probe_result(0.4, 0.3, name="sex"),
        probe_result(0.26, 0.2, name="site"),
    ]
    probes += [probe_result(0.9, 0.8, scope="within a")]
    assert shortcut_probes.title(probes) == (
        "2 of 3 shortcut probes beat chance. Best: border, balanced accuracy 0.500 (chance 0.250)"
    )
    assert shortcut_probes.title(probes[2:3]) == "None of 1 shortcut probes beats chance"
    assert "could not be probed" in shortcut_probes.title([])


def test_points_of_classes_with_few_images_are_open_and_explained():
    drawn = cached_figure("per_class_recall", "fourteen")
    per_class = fourteen_classes().metrics.test.per_class
    names = [name.get_text() for name in labels(drawn, "y")]
    points = [line for line in drawn.axes[0].lines if len(line.get_ydata()) == 1]
    for line in points:
        few = per_class[names[int(line.get_ydata()[0])]].support < 30
        assert (to_hex(line.get_markerfacecolor()) == "#ffffff") == few
    legend = [text.get_text() for text in drawn.legends[0].get_texts()]
    assert "open: fewer than 30 images" in legend


def test_rows_of_classes_with_few_images_are_marked_in_the_confusion_matrix():
    drawn = cached_figure("confusion_matrix", "fourteen")
    metrics = fourteen_classes().metrics
    supports = [metrics.test.per_class[name].support for name in metrics.test.confusion.classes]
    counts = [tick.get_text() for tick in drawn.axes[0].child_axes[0].get_yticklabels()]
    assert counts == [f"n {n}*" if n < 30 else f"n {n}" for n in supports]
    assert "* Fewer than 30 images" in " ".join(text.get_text() for text in drawn.texts)


def test_decision_curve_draws_the_net_benefit_of_the_model_and_of_acting_always():
    study = fourteen_classes()
    curve = study.malignancy.test.decision_curve
    treat_all, _, model = cached_figure("decision_curve", "fourteen").axes[0].lines
    thresholds = [entry.threshold_probability for entry in curve]
    np.testing.assert_allclose(model.get_xdata(), thresholds)
    np.testing.assert_allclose(model.get_ydata(), [entry.model.value for entry in curve])
    np.testing.assert_allclose(treat_all.get_ydata(), [entry.treat_all.value for entry in curve])


def test_title_of_the_decision_curve_counts_thresholds_with_a_shown_benefit():
    malignancy = fourteen_classes().malignancy
    better = [
        entry.threshold_probability
        for entry in malignancy.test.decision_curve
        if min(entry.model.low, entry.model_minus_treat_all.low) > 0
    ]
    assert 0 < len(better) < 50
    text = decision_curve.title(malignancy)
    assert f"at {len(better)} of 50 threshold probabilities" in text
    assert "no decision curve" in decision_curve.title(two_classes().malignancy)


def test_subgroups_draw_each_slice_with_its_interval():
    found = fourteen_classes().slices
    drawn = cached_figure("subgroups", "fourteen")
    for axes, column in zip(drawn.axes, found.columns, strict=True):
        points = [line for line in axes.lines if len(line.get_ydata()) == 1]
        values = [entry.balanced_accuracy.value for entry in column.slices]
        assert [line.get_xdata()[0] for line in points] == pytest.approx(values)
        assert [tick.get_text() for tick in axes.get_yticklabels()] == [
            entry.value for entry in column.slices
        ]


def test_title_of_the_subgroups_names_the_largest_gap_that_is_shown():
    found = fourteen_classes().slices
    assert subgroups.title(found) == (
        "Test: no gap between subgroups is distinguishable from 0 "
        f"(corrected for {found.comparisons} comparisons)"
    )
    column = next(column for column in found.columns if column.gaps)
    shown = column.gaps[0].model_copy(update={"is_shown": True})
    changed = column.model_copy(update={"gaps": (shown, *column.gaps[1:])})
    text = subgroups.title(found.model_copy(update={"columns": (changed,)}))
    assert f"above 0 (corrected): 1 of {len(column.gaps)}." in text
    assert f"{shown.higher} {whole_percent(shown.of_higher)}" in text
