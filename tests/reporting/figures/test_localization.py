"""The figures of localization show the scores, boxes and images of the results."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.text import Text

from skin_lesions.evaluation.localization import WorstImage
from skin_lesions.metrics.intervals import Estimate, unavailable
from skin_lesions.reporting.figures.localization import (
    draw_localization,
    draw_worst_localizations,
    title,
    worst_title,
)
from skin_lesions.reporting.figures.style import TEST
from support.localization import localization_estimate as estimate
from support.localization import localization_results as results
from support.localization import localization_scores as scores


def worst_images(n, **changes):
    entry = WorstImage(
        image_id="",
        file="folder/" + 9 * "long_name_" + ".jpg",
        source="web",
        iou=0.0,
        true=((0.1, 0.1, 0.3, 0.5), (0.6, 0.6, 0.9, 0.9)),
        predicted=(0.5, 0.25, 1.0, 0.75),
        mean_box=(0.3, 0.3, 0.7, 0.7),
    )
    return [
        entry.model_copy(update={"image_id": f"i{i}", "iou": i / 100, **changes}) for i in range(n)
    ]


def pixels(n, shape=(30, 60)):
    return {f"i{i}": np.full((*shape, 3), 10 * i, np.uint8) for i in range(n)}


def visible(figure):
    figure.canvas.draw()
    return [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]


def strings(figure):
    return [text.get_text().replace("\u00a0", " ") for text in visible(figure)]


def assert_texts_are_inside(figure):
    # matplotlib also has labels of ticks outside of the axis, which it does not draw.
    not_drawn = {
        tick.label1
        for axes in figure.axes
        for tick in axes.xaxis.get_major_ticks()
        if not min(axes.get_xlim()) <= tick.get_loc() <= max(axes.get_xlim())
    }
    width, height = figure.canvas.get_width_height()
    for text in set(visible(figure)) - not_drawn:
        box = text.get_window_extent()
        inside = box.x0 > -1 and box.y0 > -1 and box.x1 < width + 1 and box.y1 < height + 1
        assert inside, (text.get_text(), box)


def test_title_states_whether_the_trained_method_is_better_than_a_fixed_box():
    better = "Test: the trained network is better than a fixed box (mean IoU 0.72 and 0.52, gain "
    assert title(results()) == better + "0.20 [0.15 to 0.25])"
    assert "is no better than a fixed box" in title(results(gain=0.01))
    assert "is worse than a fixed box" in title(results(gain=-0.1))


def test_title_without_a_fixed_box_has_only_the_mean_iou():
    found = results()
    dense = found.methods["dense"].model_copy(update={"gain": unavailable("no fixed box")})
    alone = found.model_copy(update={"methods": {"dense": dense}})
    assert title(alone) == "Test: the trained network has a mean IoU of 0.72"
    absent = found.model_copy(update={"trained": "cam"})
    assert title(absent) == "Test: the class activation map was not evaluated"
    assert absent.gain.reason == "the method cam was not evaluated"


def test_each_panel_has_points_intervals_and_thresholds():
    figure = draw_localization(results(sources=["dermoscopy", "smartphone"]))
    panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
    titles = [axes.get_title(loc="left") for axes in panels]
    assert titles[0] == "All test images: 40 images, 38 groups"
    assert [name.split(":")[0] for name in titles[1:]] == ["dermoscopy", "smartphone"]
    for axes in panels:
        vertical = [line.get_xdata()[0] for line in axes.lines if line.get_linestyle() == "--"]
        assert vertical == [0.5, 0.7]
        points = [line for line in axes.lines if line.get_marker() == "o"]
        assert [float(p.get_xdata()[0]) for p in points] == [0.72, 0.52]
        assert [to_hex(p.get_color()).upper() == TEST for p in points] == [True, False]
        segments = [lines.get_segments()[0][:, 0] for lines in axes.collections]
        assert np.array(segments) == pytest.approx(np.array([[0.67, 0.77], [0.47, 0.57]]))
    assert "0.72 [0.67 to 0.77], 80 % ≥ 0.5, 60 % ≥ 0.7" in strings(figure)
    assert_texts_are_inside(figure)


def test_few_images_and_missing_intervals_are_marked():
    found = results(images=20)
    point = Estimate(value=0.3, low=None, high=None, n=20, reason="one group")
    methods = found.methods | {"whole_image": scores(point, estimate(-0.4), 20)}
    figure = draw_localization(found.model_copy(update={"methods": methods}))
    assert "open: fewer than 30 images" in strings(figure)
    assert "0.30, 80 % ≥ 0.5, 60 % ≥ 0.7" in strings(figure)
    assert "open: fewer than 30 images" not in strings(draw_localization(results()))


def test_at_most_eight_panels_are_drawn_and_the_others_are_counted():
    figure = draw_localization(results(sources=[f"source {i}" for i in range(10)]))
    assert len([axes for axes in figure.axes if axes.get_title(loc="left")]) == 8
    assert any("3 more sources are in localization.json" in text for text in strings(figure))


def test_boxes_are_drawn_at_their_fractions_of_the_image():
    figure = draw_worst_localizations(results(worst=worst_images(1)), pixels(1))
    axes = figure.axes[0]
    left, right, bottom, top = axes.images[0].get_extent()
    assert (right - left) / (bottom - top) == pytest.approx(2.0)  # not stretched
    drawn = [patch.get_bbox() for patch in axes.patches[1:]]  # after the background
    fractions = [
        ((b.x0 - left) / (right - left), (b.y0 - top) / (bottom - top), b.width / (right - left))
        for b in drawn
    ]
    expected = [(0.3, 0.3, 0.4), (0.1, 0.1, 0.2), (0.6, 0.6, 0.3), (0.5, 0.25, 0.5)]
    assert np.array(fractions) == pytest.approx(np.array(expected))


def test_gallery_has_at_most_twelve_images_with_iou_and_file():
    found = results(worst=worst_images(14))
    figure = draw_worst_localizations(found, pixels(14, (60, 30)))
    assert len(figure.axes[0].images) == 12
    assert {f"IoU 0.{i:02}" for i in range(12)} <= set(strings(figure))
    assert worst_title(found) == (
        "Test: 12 images with the lowest IoU of the trained network (0.00 to 0.11)"
    )
    assert any(text.startswith("long_") and text.endswith(".jpg") for text in strings(figure))
    assert_texts_are_inside(figure)


def test_image_without_a_box_says_so_and_the_legend_has_only_what_is_drawn():
    found = results(worst=worst_images(2, predicted=None, mean_box=None))
    figure = draw_worst_localizations(found, pixels(2))
    assert strings(figure).count("no box") == 2
    assert "fixed box" not in strings(figure)
    assert "predicted mask" not in strings(figure)
    assert len(figure.axes[0].patches) == 2 * 3  # background and two true boxes


def test_mask_outline_is_closed_and_at_the_border_of_the_mask():
    mask = np.zeros((30, 60), bool)
    mask[:15, 30:] = True  # touches the border of the image
    figure = draw_worst_localizations(
        results(worst=worst_images(2)), pixels(2), {"i0": mask, "i1": np.zeros((30, 60), bool)}
    )
    axes = figure.axes[0]
    [outline] = axes.collections
    [polygon] = outline.get_paths()[0].to_polygons(closed_only=True)
    left, right, bottom, top = axes.images[0].get_extent()
    x = (polygon[:, 0] - left) / (right - left)
    y = (polygon[:, 1] - top) / (bottom - top)
    assert (x.min(), x.max()) == pytest.approx((0.5, 1.0), abs=0.01)
    assert (y.min(), y.max()) == pytest.approx((0.0, 0.5), abs=0.02)
    assert "predicted mask" in strings(figure)


def test_gallery_without_images_says_so():
    found = results()
    figure = draw_worst_localizations(found, {})
    assert "No test images with boxes" in strings(figure)
    assert_texts_are_inside(figure)
