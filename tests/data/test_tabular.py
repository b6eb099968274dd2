"""Encoding of clinical metadata as numbers."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from skin_lesions.core.errors import InputError
from skin_lesions.data.tabular import (
    CategoricalColumn,
    MetadataEncoder,
    NumericColumn,
    fit_encoder,
    infer_type,
)
from support.clinical import clinical_table

COLUMNS = ["age", "sex", "site"]
NOTES = ["dark mole that grows", "grows and itches at night", "itches, very dark, round"]


def notes(n: int) -> pd.DataFrame:
    return clinical_table(n).assign(note=[None if i % 4 == 3 else NOTES[i % 3] for i in range(n)])


def test_mean_of_known_training_values_is_zero_and_missing_values_are_zeros():
    table = notes(200)
    encoder = fit_encoder(table, [*COLUMNS, "note"], {})
    assert [column.kind for column in encoder.columns] == [
        *("numeric", "text", "categorical", "categorical")
    ]
    for name, column in encoder.encode(table).columns.items():
        assert column.known.sum() == table[name].notna().sum()
        np.testing.assert_allclose(column.values[column.known].mean(axis=0), 0, atol=1e-12)
        assert not column.values[~column.known].any()
        assert column.values[column.known].any(axis=1).all()


def test_order_of_rows_and_columns_does_not_matter():
    table = notes(200)
    encoder = fit_encoder(table, [*COLUMNS, "note"], {})
    shuffled = table.sample(frac=1, random_state=1)
    other = fit_encoder(shuffled, ["note", "site", "sex", "age"], {})
    assert other.model_dump(exclude={"columns": {"__all__": {"means"}}}) == encoder.model_dump(
        exclude={"columns": {"__all__": {"means"}}}
    )
    found = other.encode(shuffled).values[np.argsort(shuffled.index)]
    np.testing.assert_allclose(found, encoder.encode(table).values, atol=1e-12)


def test_encoder_survives_json():
    table = notes(100)
    encoder = fit_encoder(table, [*COLUMNS, "note"], {})
    restored = MetadataEncoder.model_validate_json(encoder.model_dump_json())
    np.testing.assert_array_equal(restored.encode(table).values, encoder.encode(table).values)


def test_unseen_values_count_as_missing_and_are_reported():
    encoder = fit_encoder(clinical_table(200), COLUMNS, {})
    new = pd.DataFrame({"age": ["85+", "old", None], "site": ["BACK", "on the moon", ""]})
    encoded = encoder.encode(new)
    assert encoded.columns["age"].unseen.tolist() == [False, True, False]
    assert encoded.columns["site"].unseen.tolist() == [False, True, False]
    assert encoded.columns["age"].known.tolist() == [True, True, False]
    assert encoded.values.any(axis=1).tolist() == [True, False, False]
    assert not encoded.columns["sex"].known.any()  # the table has no such column


@given(st.lists(st.integers(-(10**6), 10**6), min_size=2, max_size=30, unique=True))
def test_numeric_column_interpolates_between_knots_and_is_constant_outside(hundredths):
    column = NumericColumn.fit("x", pd.Series(hundredths) / 100)
    low, high = column.knots[0], column.knots[-1]
    cells = pd.Series([low, high, low - 1, high + 1, (low + column.knots[1]) / 2])
    encoded = column.encode(cells).values
    np.testing.assert_allclose(encoded.sum(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(encoded[[2, 3]], encoded[[0, 1]])
    np.testing.assert_allclose(
        encoded[4],
        (encoded[0] + column.encode(pd.Series([column.knots[1]])).values[0]) / 2,
        atol=1e-9,
    )


def test_names_of_sites_and_booleans_of_several_sources_are_one_category():
    cells = pd.Series(["BACK", "posterior torso", "Upper back"] * 3 + ["face", "head/neck"] * 3)
    column = CategoricalColumn.fit("site", cells)
    assert column.categories == ("head/neck", "posterior torso")
    itch = CategoricalColumn.fit("itch", pd.Series([True, "True", "yes", "TRUE", "y", 0] + [0] * 4))
    assert itch.categories == ("0", "yes")


def test_types_are_inferred_from_the_known_cells():
    assert infer_type("age", pd.Series(["55", "60.0", None, "UNK", "85+"])) == "numeric"
    assert infer_type("smoke", pd.Series(["True", "False", "UNK"])) == "categorical"
    assert infer_type("binary", pd.Series([0, 1, 1, np.nan])) == "categorical"
    assert infer_type("note", pd.Series(["a dark mole that grows", None])) == "text"
    assert infer_type("code", pd.Series([f"c{i}" for i in range(60)])) == "text"


@pytest.mark.parametrize(
    ("cells", "types", "message"),
    [
        ([None] * 10, {}, "it has no value in the training images"),
        (["a"] * 10, {}, "fewer than two of its categories occur in 5 training images"),
        (["a", "b"] * 5, {"x": "numeric"}, "it is not numeric, because it contains 'a'"),
        ([3.5] * 10, {"x": "numeric"}, "all its training values are the same"),
        ([f"w{i}" for i in range(10)], {"x": "text"}, "no term occurs in 3 of its training texts"),
    ],
)
def test_columns_without_information_are_rejected(cells, types, message):
    with pytest.raises(InputError, match=f"column x cannot be used: {message}"):
        fit_encoder(pd.DataFrame({"x": cells}), ["x"], types)


def test_damaged_encoders_are_rejected():
    with pytest.raises(ValidationError, match="knots of a column must increase"):
        NumericColumn(name="x", knots=(1.0, 1.0), means=(0.5, 0.5))
    with pytest.raises(ValidationError, match="each has one frequency"):
        CategoricalColumn(name="x", categories=("a", "b"), frequencies=(1.0,))
