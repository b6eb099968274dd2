import pandas as pd
import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.image_table import build_image_table

READABLE = {"width": 600, "height": 450, "format": "JPEG", "reason": None}
UNREADABLE = {"width": None, "height": None, "format": None, "reason": "the file is empty"}


def manifest(files, labels=None, ids=None, problems=None):
    n = len(files)
    return pd.DataFrame(
        {
            "file": files,
            "image_id": ids or [f"id of {file}" for file in files],
            "bytes": range(n),
            "problem": problems or [None] * n,
            "label": labels or ["mel"] * n,
            "original_split": None,
            "source": "here",
            "filename_key": None,
            "age": 50.0,
        }
    )


def decode_results(**by_id):
    return pd.DataFrame.from_dict(by_id, orient="index").rename_axis("image_id")


def build(table, readable, max_unreadable_fraction=1.0):
    by_id = {i: READABLE if i in readable else UNREADABLE for i in table["image_id"].dropna()}
    return build_image_table(table, decode_results(**by_id), max_unreadable_fraction)


def test_every_file_is_in_the_table_or_in_the_quarantine_with_a_reason():
    table = manifest(
        ["a", "b", "c", "d"],
        labels=["mel", "mel", None, "nv"],
        ids=["1", "2", "3", None],
        problems=[None, None, None, "could not be opened: Permission denied"],
    )
    images, quarantine = build(table, {"1", "3"})
    assert images["file"].tolist() == ["a"]
    assert dict(quarantine.itertuples(index=False, name=None)) == {
        "b": "the file is empty",
        "c": "the metadata contain no label for this file",
        "d": "could not be opened: Permission denied",
    }


def test_exact_duplicates_have_equal_properties_and_metadata_columns_are_last():
    images, quarantine = build(manifest(["a", "b"], ids=["1", "1"]), {"1"})
    assert images["width"].tolist() == [600, 600]
    assert images.columns[-1] == "age"
    assert "problem" not in images
    assert quarantine.columns.tolist() == ["file", "reason"]
    assert quarantine.empty


@pytest.mark.parametrize(
    ("max_unreadable_fraction", "is_error"), [(0.2, True), (0.25, False), (0.3, False)]
)
def test_too_many_unreadable_files_are_an_error(max_unreadable_fraction, is_error):
    table = manifest(["a", "b", "c", "d"])
    readable = {"id of a", "id of b", "id of c"}
    if not is_error:
        assert len(build(table, readable, max_unreadable_fraction)[0]) == 3
        return
    with pytest.raises(
        InputError, match=r"25.0% are unreadable, .* 1 x the file is empty. First: d"
    ):
        build(table, readable, max_unreadable_fraction)


def test_files_without_a_label_do_not_count_as_unreadable():
    table = manifest(["a", "b", "c"], labels=["mel", None, None])
    images, quarantine = build(table, set(table["image_id"]), max_unreadable_fraction=0.0)
    assert (len(images), len(quarantine)) == (1, 2)


def test_no_usable_file_is_an_error_for_any_limit():
    with pytest.raises(InputError, match="2 of 2 files cannot be used"):
        build(manifest(["a", "b"]), set())
    with pytest.raises(InputError, match="2 x the metadata contain no label"):
        build(manifest(["a", "b"], labels=[None, None]), {"id of a", "id of b"})


def test_control_characters_in_file_names_are_escaped(caplog):
    table = manifest(["ok", "\x1b[2J\r\nall is well\u202e.jpg"])
    build(table, {"id of ok"})
    assert "\\x1b[2J\\r\\nall is well\\u202e.jpg" in caplog.text
    with pytest.raises(InputError) as error:
        build(manifest(["\x1b[2J", "b"]), set())
    assert "\x1b" not in str(error.value)
