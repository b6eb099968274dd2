from dataclasses import replace

import pandas as pd
import pytest

from skin_lesions.core.errors import InputError
from skin_lesions.data.fingerprints import data_fingerprint, split_fingerprint
from skin_lesions.data.raw_store import ObjectStore, RawImages
from skin_lesions.data.tables import ImageTable, SplitTable
from skin_lesions.evaluation.input_checks import check_model_matches_data
from support.models import SPLIT_PROVENANCE, model_provenance, trained_model

IMAGES = pd.DataFrame({"file": ["a", "b"], "image_id": ["0", "1"], "label": ["nv", "mel"]})


@pytest.fixture
def inputs(tmp_path):
    split = IMAGES.assign(split=["train", "test"], group_id=["g0", "g1"])
    origin = SPLIT_PROVENANCE.origin
    return {
        "split_table": SplitTable(split, SPLIT_PROVENANCE, "V2"),
        "image_table": ImageTable(IMAGES, SPLIT_PROVENANCE, "V2"),
        "raw_images": RawImages(IMAGES, ObjectStore(tmp_path), origin, "V2"),
    }


@pytest.fixture
def model(inputs):
    provenance = model_provenance(
        split_fingerprint=split_fingerprint(inputs["split_table"].frame),
        data_fingerprint=data_fingerprint(inputs["image_table"].frame),
    )
    return trained_model(provenance=provenance, version="V9", state_dict={})


def test_equal_content_matches_regardless_of_its_version(model, inputs):
    check_model_matches_data(model, **inputs)


@pytest.mark.parametrize(
    ("name", "column", "message"),
    [
        ("split_table", "split", "split_table V1, not on that of V2"),
        ("image_table", "label", "image_table V1, not on those of V2"),
        ("raw_images", "image_id", "not in raw_images V2. They come from version V1"),
    ],
)
def test_other_content_is_rejected_with_both_versions_and_the_fix(
    model, inputs, name, column, message
):
    other = inputs[name]
    if name == "raw_images":
        inputs[name] = replace(other, table=other.table.assign(**{column: ["x", "y"]}))
    else:
        inputs[name] = replace(other, frame=other.frame.assign(**{column: ["x", "y"]}))
    with pytest.raises(InputError) as error:
        check_model_matches_data(model, **inputs)
    assert message in str(error.value)
    assert "kedro run --pipelines train,evaluate,report" in str(error.value)
