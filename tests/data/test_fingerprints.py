import pandas as pd
import pytest

from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint

TABLE = pd.DataFrame(
    {
        "file": ["a", "b"],
        "image_id": ["0", "1"],
        "label": ["nv", "mel"],
        "split": ["train", "test"],
        "group_id": ["g0", "g1"],
        "age": [30, None],
    }
)


@pytest.mark.parametrize("fingerprint", [data_fingerprint, split_fingerprint])
def test_fingerprints_ignore_row_order_index_and_other_columns(fingerprint):
    other = TABLE.iloc[::-1].reset_index(drop=True).assign(age=99)
    assert fingerprint(other) == fingerprint(TABLE)


@pytest.mark.parametrize("column", ["file", "image_id", "label"])
def test_data_fingerprint_depends_on_images_and_labels(column):
    changed = TABLE.assign(**{column: ["x", "b"]})
    assert data_fingerprint(changed) != data_fingerprint(TABLE)


@pytest.mark.parametrize("column", ["file", "image_id", "label", "split", "group_id"])
def test_split_fingerprint_depends_on_images_labels_splits_and_groups(column):
    changed = TABLE.assign(**{column: TABLE[column].tolist()[::-1]})
    assert split_fingerprint(changed) != split_fingerprint(TABLE)
