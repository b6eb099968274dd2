"""Clinical metadata of the training images, and the model of late fusion."""

import logging

import numpy as np
import pandas as pd
import pytest

from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.core.errors import InputError
from skin_lesions.pipelines.train.clinical_metadata import prepare_metadata
from support.clinical import clinical_table
from support.recipes import recipe


def tables(informative="values", n=400):
    """Return a split table and an image table of n images, half of them train."""
    images = clinical_table(n, informative)
    split = np.array(["train", "train", "val", "test"])[np.arange(n) % 4]
    split_table = images[["file", "image_id", "label", "group_id"]].assign(split=split)
    return split_table, images


def fit(split_table, images, columns=("age", "site"), fusion="late", **changes):
    settings = {"columns": columns, "types": {}, "equalize_missing": True} | changes
    metadata = MetadataInputs.model_validate(settings)
    found = prepare_metadata(split_table, images, metadata, recipe(fusion=fusion))
    return None if found is None else found.late_fusion(sorted(split_table["label"].unique()))


def test_no_fusion_without_columns_or_with_fusion_none():
    assert fit(*tables(), columns=None) is None
    assert fit(*tables(), fusion="none") is None
    assert fit(*tables()).encoder.names == ("age", "site")


def test_missing_rates_are_made_equal_only_if_missing_values_predict_the_class(caplog):
    caplog.set_level(logging.INFO)
    assert fit(*tables("values")).predictive_missingness == ()
    leaky = tables("missingness")
    found = fit(*leaky)
    assert found.predictive_missingness == ("age", "site")
    assert found.equalized
    assert "Missing values of age, site predict the class: training values are dropped" in (
        caplog.text
    )
    unequal = fit(*leaky, equalize_missing=False)
    assert (unequal.predictive_missingness, unequal.equalized) == (("age", "site"), False)
    assert unequal.coefficients != found.coefficients
    assert "metadata.equalize_missing is false" in caplog.text


def test_test_rows_have_no_influence():
    split_table, images = tables("missingness")
    is_test = split_table["split"] == "test"
    changed = images.assign(
        age=images["age"].mask(is_test, 99), site=images["site"].mask(is_test, "tail")
    )
    assert fit(split_table, images) == fit(split_table, changed)


def without_values_of_a_class():
    split_table, images = tables()
    return split_table, images.assign(age=images["age"].mask(images["label"] == "mel"))


def test_column_without_values_in_a_class_is_left_out_or_rejected(caplog):
    split_table, images = without_values_of_a_class()
    found = fit(split_table, images, columns="all")
    assert found.encoder.names == ("sex", "site")
    assert "Metadata column age is not used: a class has hardly any of its values" in caplog.text
    with pytest.raises(InputError, match="age has hardly any values in a class"):
        fit(split_table, images)
    everything = images.assign(**dict.fromkeys(["sex", "site"], None))
    with pytest.raises(InputError, match="No metadata column has values in all classes"):
        fit(split_table, everything, columns="all")
    assert fit(split_table, images, equalize_missing=False).encoder.names == ("age", "site")


def test_images_of_the_split_must_be_in_the_image_table():
    split_table, images = tables()
    with pytest.raises(InputError, match="are not in the image table"):
        fit(split_table, pd.DataFrame(images.iloc[10:]))
