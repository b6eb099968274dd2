from hashlib import sha256

import numpy as np
import pandas as pd
import pytest

from skin_lesions.data.groups import add_groups, attach_file_columns, group_images
from skin_lesions.reporting.figures import linked_image_pairs
from skin_lesions.reporting.figures.linked_image_pairs import select_pairs
from skin_lesions.reporting.figures.style import ellipsize, text_width
from support.report_inputs import (
    UNUSUAL_NAMES,
    twenty_three_classes,
    two_classes,
    with_frame,
)


def table(**columns):
    """Make an image table; columns are lists with one value per file."""
    n = len(next(iter(columns.values())))
    defaults = {
        "file": [f"{i}.jpg" for i in range(n)],
        "image_id": [sha256(bytes([i])).hexdigest() for i in range(n)],
        "label": ["nv"] * n,
        "original_split": ["train"] * n,
    }
    return pd.DataFrame(defaults | columns).assign(width=60, height=45)


def draw(image_table, pairs=(), per_kind=3):
    """pairs: (a, b, kind, strength); a and b number the images in the order of their first file."""
    near_duplicates = pd.DataFrame(pairs, columns=["a", "b", "kind", "strength"])
    groups, links = group_images(image_table, near_duplicates)
    return draw_links(image_table, groups, links, per_kind)


def draw_links(image_table, groups, links, per_kind):
    study = two_classes()
    study.image_table = with_frame(study.image_table, image_table)
    study.groups_and_links = groups, links
    return study.draw(linked_image_pairs.FIGURE, examples=per_kind)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def pair_table(rows):
    """rows: (strength, splits differ, labels differ, group)."""
    names = ["strength", "across", "conflicting", "group_id_a"]
    pairs = pd.DataFrame(rows, columns=names)
    return pairs.assign(
        file_a=[f"{i:02}" for i in range(len(pairs))],
        file_b="x",
        original_split_a="train",
        original_split_b=np.where(pairs["across"], "test", "train"),
        label_a="nv",
        label_b=np.where(pairs["conflicting"], "mel", "nv"),
    )


ROWS = [
    (0.9, 0, 0, "g"),
    (0.8, 1, 0, "g"),
    (0.7, 1, 1, "g"),
    (0.6, 0, 1, "g"),
    (0.5, 0, 0, "g"),
    (0.4, 0, 0, "g"),
]


@pytest.mark.parametrize(
    ("n", "expected"),
    [(1, [0.7]), (2, [0.7, 0.4]), (3, [0.7, 0.9, 0.4]), (4, [0.7, 0.8, 0.9, 0.4]), (9, None)],
)
def test_most_severe_pairs_are_selected_with_the_strongest_and_the_weakest(n, expected):
    selected = select_pairs(pair_table(ROWS), n)
    assert selected["strength"].tolist() == (expected or [0.7, 0.8, 0.6, 0.9, 0.5, 0.4])
    marks = dict(zip(selected["strength"], selected["mark"], strict=True))
    assert {s: mark for s, mark in marks.items() if mark}.items() <= {
        (0.9, "strongest"),
        (0.4, "weakest"),
    }


def test_no_pair_is_strongest_if_all_have_equal_strength():
    selected = select_pairs(pair_table([(1.0, 0, 0, "g")] * 3), 3)
    assert selected["mark"].tolist() == ["", "", ""]


def test_each_group_contributes_one_pair_before_any_contributes_a_second():
    rows = [(1.0, 1, 0, group) for group in "aaabbc"]
    assert select_pairs(pair_table(rows), 3)["group_id_a"].tolist() == [*"abc"]
    assert select_pairs(pair_table(rows), 5)["group_id_a"].tolist() == [*"abcab"]


def test_selection_does_not_depend_on_the_order_of_rows():
    study = twenty_three_classes()
    image_table, (groups, links) = study.image_table.frame, study.groups_and_links
    first = draw_links(image_table, groups, links, per_kind=4)
    reversed_rows = draw_links(image_table[::-1], groups[::-1], links[::-1], per_kind=4)
    assert texts(first) == texts(reversed_rows)


def test_captions_have_names_labels_splits_and_strength_and_conflicts_are_bold():
    image_table = table(label=["nv", "mel"], original_split=["train", "test"])
    figure = draw(image_table, [(0, 1, "changed", 0.6)])
    assert texts(figure) == [
        "Near-duplicates (transformed): 1 pair, 1 across splits, 1 with conflicting labels",
        "0.jpg",
        "nv",
        "in train",
        "1.jpg",
        "mel",
        "in test",
        "strength 0.600, in one group",
    ]
    bold = {t.get_text() for t in figure.axes[0].texts[1:] if t.get_fontweight() == "bold"}
    assert bold == {"nv", "mel", "in train", "in test"}


def test_common_label_is_written_once_below_both_images():
    label = "pigmented benign keratosis (lichenoid)"
    displayed = texts(draw(table(label=[label] * 2, lesion_id=["l"] * 2)))
    assert displayed.count(f"both {label}") == 1


def test_only_conflicts_and_links_between_two_groups_are_bold():
    image_table = table(lesion_id=["a"] * 6 + ["b"] * 6, original_split=[None] * 12)
    figure = draw(image_table, [(0, 6, "changed", 0.6)])
    assert (
        figure.axes[0].texts[0].get_text()
        == "Near-duplicates (transformed): 1 pair, 1 in two groups"
    )
    bold = {t.get_text() for t in figure.axes[0].texts if t.get_fontweight() == "bold"}
    assert bold - {"strength 0.600, in two groups"} == {
        "Near-duplicates (transformed): 1 pair, 1 in two groups",
        "Same lesion_id: 10 pairs",
    }
    assert "strength 0.600, in two groups" in bold


def test_strength_is_never_rounded_up_to_one():
    figure = draw(table(label=["nv", "nv"]), [(0, 1, "simple", 0.99996)])
    assert texts(figure)[-1] == "strength 0.999, in one group"


def test_every_pair_is_displayed_once_and_pixel_identical_pairs_only_as_such():
    image_table = table(
        image_id=[c * 64 for c in "aabcd"],
        lesion_id=["x", "x", "x", "x", "y"],
        patient_id=["p"] * 5,
    )
    figure = draw(image_table, [(0, 1, "pixels", 1.0)], per_kind=9)
    assert [line for line in texts(figure) if ":" in line] == [
        "Identical pixels: 1 pair",
        "Same lesion_id: 1 pair",  # of 0 and 3; 0 and 1 are equal bytes, 0 and 2 equal pixels
        "Same patient_id: 2 pairs",
    ]
    files = [line for line in texts(figure) if line.endswith(".jpg")]
    assert files == ["0.jpg", "2.jpg", "0.jpg", "3.jpg", "0.jpg", "4.jpg"]


def test_title_states_that_there_are_no_links():
    figure = draw(table(label=["nv", "mel"]))
    assert not figure.axes
    assert (
        figure.texts[0].get_text() == "No two files are linked by bytes, pixels, names or metadata"
    )


def test_exact_duplicates_are_only_counted_in_the_title():
    figure = draw(table(image_id=["a" * 64] * 2, label=["nv", "mel"]))
    assert not figure.axes
    title = figure.texts[0].get_text()
    assert title == "1 link between files: 0 across the original splits, 1 with conflicting labels"


def test_title_does_not_mention_splits_if_there_are_none():
    image_table = table(label=["nv", "mel", "nv"], original_split=[None] * 3, lesion_id=["l"] * 3)
    groups, links = group_images(image_table)
    pairs = attach_file_columns(links, add_groups(image_table, groups))
    assert linked_image_pairs.title(pairs) == "2 links between files: 1 with conflicting labels"


def test_images_have_their_original_aspect_ratio_and_a_common_bottom_line():
    image_table = table(lesion_id=["l", "l"]).assign(width=[60, 20], height=[30, 40])
    extents = [image.get_extent() for image in draw(image_table).axes[0].images]
    aspects = [(right - left) / (low - top) for left, right, low, top in extents]
    assert aspects == pytest.approx([2.0, 0.5])
    assert extents[0][2] == extents[1][2]


@pytest.mark.parametrize(
    "name", [*UNUSUAL_NAMES, "x" * 300, "w w" * 60, "\n\x1b[31m", "меланома" * 9, "a\u0301" * 40]
)
def test_any_name_fits_beside_the_name_of_the_other_image(name):
    image_table = table(file=[f"train/{name}/{name}_{i}.jpg" for i in range(6)])
    image_table = image_table.assign(label=[name, name + "2"] * 3, lesion_id=["l", "l", "m"] * 2)
    figure = draw(image_table)
    figure.set_dpi(150)  # as it is saved
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in figure.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert boxes[-1].x1 < figure.bbox.width


def test_shortened_name_has_both_ends_and_fits():
    assert ellipsize("short", 200, 9.0) == "short"
    short = ellipsize("abcdef" * 20 + ".jpg", 80, 9.0)
    assert short.startswith("abc")
    assert short.endswith("f.jpg")
    assert 60 < text_width(short, 9.0) <= 80
