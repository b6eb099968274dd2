"""Equal missing rates over the classes within each source."""

import pandas as pd

from skin_lesions.data.equal_missingness import equalize_missing
from support.clinical import clinical_table


def known_rates(table: pd.DataFrame, column: str) -> pd.Series:
    return table[column].notna().groupby([table["source"], table["label"]]).mean()


def test_known_rates_become_those_of_the_class_with_the_lowest_rate_in_a_source():
    table = clinical_table(900, "missingness")
    before = known_rates(table, "age")
    equalized = equalize_missing(table, ["age"], seed=1)
    rates = known_rates(equalized, "age")
    sizes = table.groupby(["source", "label"]).size()
    for source in ("a", "b"):
        assert before[source].max() == 1.0
        lowest = before[source].min()
        assert ((rates[source] - lowest).abs() <= 0.5 / sizes[source]).all()
    kept = equalized["age"].notna()
    assert equalized.loc[kept, "age"].equals(table.loc[kept, "age"])
    others = ["sex", "site", "label", "file"]
    pd.testing.assert_frame_equal(equalized[others], table[others])


def test_choice_does_not_depend_on_the_order_of_rows_and_columns():
    table = clinical_table(300, "missingness")
    first = equalize_missing(table, ["age", "site"], seed=1)
    second = equalize_missing(table.sample(frac=1, random_state=2), ["site", "age"], seed=1)
    pd.testing.assert_frame_equal(first, second.sort_index())
    other_seed = equalize_missing(table, ["age", "site"], seed=2)
    assert not other_seed.equals(first)
