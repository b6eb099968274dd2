import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from skin_lesions.metrics.multiple_comparisons import holm_adjusted


# Few examples: statsmodels collects all garbage in each call, which takes a second in a run of all
# tests.
@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_holm_agrees_with_statsmodels(p_values):
    expected = multipletests(p_values, method="holm")[1]
    np.testing.assert_allclose(holm_adjusted(p_values), expected, atol=1e-12)


def test_no_comparisons_have_no_adjusted_values():
    assert holm_adjusted([]).size == 0


@pytest.mark.parametrize("p_value", [-0.1, 1.1, float("nan")])
def test_invalid_p_values_are_rejected(p_value):
    with pytest.raises(ValueError, match="Invalid p-values"):
        holm_adjusted([0.5, p_value])
