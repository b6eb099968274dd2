from hashlib import sha256

import numpy as np
import pandas as pd
import pytest

from skin_lesions.data.groups import add_groups, attach_file_columns, group_images
from skin_lesions.reporting.figures import linked_image_pairs, titles
from skin_lesions.reporting.figures.linked_image_pairs import chosen_pairs
from skin_lesions.reporting.figures.style import ellipsize, text_width
from support.report_inputs import WEIRD, Noise, twenty_three


def table(**columns):
    """One row for each of these: file, content, label, shipped split, and maybe others."""
    n = len(next(iter(columns.values())))
    known = {
        "file": [f"{i}.jpg" for i in range(n)],
        "image_id": [sha256(bytes([i])).hexdigest() for i in range(n)],
        "label": ["nv"] * n,
        "original_split": ["train"] * n,
    }
    return pd.DataFrame(known | columns).assign(width=60, height=45)


def sheet(image_table, copies=(), per_kind=3):
    """copies: (a, b, kind, strength), of the images in the order of their first file."""
    pairs = pd.DataFrame(copies, columns=["a", "b", "kind", "strength"])
    groups, links = group_images(image_table, pairs)
    return linked_image_pairs(image_table, groups, links, Noise(), per_kind=per_kind)


def written(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts if text.get_text()]


def pairs(rows):
    """rows: (strength, splits differ, labels differ, group)."""
    names = ["strength", "across", "torn", "group_id_a"]
    made = pd.DataFrame(rows, columns=names)
    return made.assign(
        file_a=[f"{i:02}" for i in range(len(made))],
        file_b="x",
        original_split_a="train",
        original_split_b=np.where(made["across"], "test", "train"),
        label_a="nv",
        label_b=np.where(made["torn"], "mel", "nv"),
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
    ("n", "chosen"),
    [(1, [0.7]), (2, [0.7, 0.4]), (3, [0.7, 0.9, 0.4]), (4, [0.7, 0.8, 0.9, 0.4]), (9, None)],
)
def test_the_gravest_pairs_are_shown_with_the_strongest_and_the_weakest(n, chosen):
    shown = chosen_pairs(pairs(ROWS), n)
    assert shown["strength"].tolist() == (chosen or [0.7, 0.8, 0.6, 0.9, 0.5, 0.4])
    marks = dict(zip(shown["strength"], shown["mark"], strict=True))
    assert {s: mark for s, mark in marks.items() if mark}.items() <= {
        (0.9, "strongest"),
        (0.4, "weakest"),
    }


def test_where_all_are_equally_sure_none_is_strongest():
    shown = chosen_pairs(pairs([(1.0, 0, 0, "g")] * 3), 3)
    assert shown["mark"].tolist() == ["", "", ""]


def test_each_group_gives_one_pair_before_any_gives_a_second():
    rows = [(1.0, 1, 0, group) for group in "aaabbc"]
    assert chosen_pairs(pairs(rows), 3)["group_id_a"].tolist() == [*"abc"]
    assert chosen_pairs(pairs(rows), 5)["group_id_a"].tolist() == [*"abcab"]


def test_the_choice_does_not_depend_on_the_order_of_rows():
    inputs = twenty_three()
    groups, links = inputs.groups_and_links
    first = linked_image_pairs(inputs.image_table, groups, links, Noise(), per_kind=4)
    again = linked_image_pairs(
        inputs.image_table[::-1], groups[::-1], links[::-1], Noise(), per_kind=4
    )
    assert written(first) == written(again)


def test_names_labels_splits_and_sureness_stand_below_each_pair_and_contradictions_are_bold():
    image_table = table(label=["nv", "mel"], original_split=["train", "test"])
    made = sheet(image_table, [(0, 1, "changed", 0.6)])
    assert written(made) == [
        "Near-duplicates (transformed): 1 pair, 1 across splits, 1 under two labels",
        "0.jpg",
        "nv",
        "in train",
        "1.jpg",
        "mel",
        "in test",
        "strength 0.600, in one group",
    ]
    bold = {t.get_text() for t in made.axes[0].texts[1:] if t.get_fontweight() == "bold"}
    assert bold == {"nv", "mel", "in train", "in test"}


def test_a_label_that_both_have_stands_once_with_room_for_it():
    label = "pigmented benign keratosis (lichenoid)"
    shown = written(sheet(table(label=[label] * 2, lesion_id=["l"] * 2)))
    assert shown.count(f"both {label}") == 1


def test_what_agrees_is_not_bold_and_a_link_that_does_not_join_is_told():
    image_table = table(lesion_id=["a"] * 6 + ["b"] * 6, original_split=[None] * 12)
    made = sheet(image_table, [(0, 6, "changed", 0.6)])
    assert made.axes[0].texts[0].get_text() == "Near-duplicates (transformed): 1 pair, 1 not joined"
    bold = {t.get_text() for t in made.axes[0].texts if t.get_fontweight() == "bold"}
    assert bold - {"strength 0.600, not joined"} == {
        "Near-duplicates (transformed): 1 pair, 1 not joined",
        "Same lesion_id: 10 pairs",
    }
    assert "strength 0.600, not joined" in bold


def test_a_strength_is_never_rounded_up_to_certain():
    made = sheet(table(label=["nv", "nv"]), [(0, 1, "simple", 0.99996)])
    assert written(made)[-1] == "strength 0.999, in one group"


def test_every_pair_is_shown_once_and_equal_pictures_only_as_such():
    image_table = table(
        image_id=[c * 64 for c in "aabcd"],
        lesion_id=["x", "x", "x", "x", "y"],
        patient_id=["p"] * 5,
    )
    made = sheet(image_table, [(0, 1, "pixels", 1.0)], per_kind=9)
    assert [line for line in written(made) if ":" in line] == [
        "Identical pixels: 1 pair",
        "Same lesion_id: 1 pair",  # of 0 and 3; 0 and 1 are equal bytes, 0 and 2 equal pixels
        "Same patient_id: 2 pairs",
    ]
    files = [line for line in written(made) if line.endswith(".jpg")]
    assert files == ["0.jpg", "2.jpg", "0.jpg", "3.jpg", "0.jpg", "4.jpg"]


def test_without_links_the_title_says_so():
    made = sheet(table(label=["nv", "mel"]))
    assert not made.axes
    assert made.texts[0].get_text() == "No two files are linked by bytes, pixels, names or metadata"


def test_exact_copies_alone_are_counted_in_the_title():
    made = sheet(table(image_id=["a" * 64] * 2, label=["nv", "mel"]))
    assert not made.axes
    title = made.texts[0].get_text()
    assert title == "1 link between files: 0 across the shipped splits, 1 under two labels"


def test_the_title_is_silent_about_splits_where_there_are_none():
    image_table = table(label=["nv", "mel", "nv"], original_split=[None] * 3, lesion_id=["l"] * 3)
    groups, links = group_images(image_table)
    ends = attach_file_columns(links, add_groups(image_table, groups))
    assert titles.pairs(ends) == "2 links between files: 1 under two labels"


def test_pictures_keep_their_aspect_and_stand_on_one_line():
    image_table = table(lesion_id=["l", "l"]).assign(width=[60, 20], height=[30, 40])
    extents = [image.get_extent() for image in sheet(image_table).axes[0].images]
    aspects = [(right - left) / (low - top) for left, right, low, top in extents]
    assert aspects == pytest.approx([2.0, 0.5])
    assert extents[0][2] == extents[1][2]


@pytest.mark.parametrize(
    "name", [*WEIRD, "x" * 300, "w w" * 60, "\n\x1b[31m", "меланома" * 9, "a\u0301" * 40]
)
def test_any_name_fits_beside_its_mate(name):
    image_table = table(file=[f"train/{name}/{name}_{i}.jpg" for i in range(6)])
    image_table = image_table.assign(label=[name, name + "2"] * 3, lesion_id=["l", "l", "m"] * 2)
    made = sheet(image_table)
    made.set_dpi(150)  # as it is saved
    made.canvas.draw()
    boxes = [text.get_window_extent() for text in made.axes[0].texts]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert boxes[-1].x1 < made.bbox.width


def test_a_shortened_name_keeps_its_ends_and_fits():
    assert ellipsize("short", 200, 9.0) == "short"
    short = ellipsize("abcdef" * 20 + ".jpg", 80, 9.0)
    assert short.startswith("abc")
    assert short.endswith("f.jpg")
    assert 60 < text_width(short, 9.0) <= 80
