"""The pipeline checks its inputs before the export, and the exported network after it."""

import pytest

from skin_lesions.config.export import Export
from skin_lesions.core.errors import InputError
from skin_lesions.core.versions import StoredVersions
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.deployment import onnx_export
from skin_lesions.models.localization.localizer_file import read_localizer
from skin_lesions.pipelines.export.nodes import bundle
from support.bundles import CARD, exportable_model
from support.localization import localizer_of

LIMITS = Export(
    compared_images=4,
    max_probability_difference=1e-4,
    max_unknown_score_difference=1e-3,
    localizer="auto",
)
NO_LOCALIZERS = StoredVersions("localizer", (), {}.__getitem__, read_localizer)


def model_of(split_table):
    frame = split_table.frame
    ids = {
        f"{split}_image_ids": tuple(sorted(frame.loc[frame["split"] == split, "image_id"]))
        for split in ("train", "val")
    }
    return exportable_model(
        size=32, classes=("green", "red"), preprocessing=Preprocessing("stretch", 32, 32), **ids
    )


def test_content_of_the_bundle_is_returned(stored):
    pixels, split_table = stored
    model = model_of(split_table)
    found = bundle(model, CARD, split_table, pixels, NO_LOCALIZERS, LIMITS)
    assert found.model is model
    assert found.card == CARD
    assert len(found.network) > 1000
    assert sorted(found.manifest["image_id"]) == sorted(split_table.frame["image_id"])


def test_split_table_of_another_model_is_rejected_before_the_export(stored, monkeypatch):
    monkeypatch.setattr(onnx_export, "export_onnx", lambda model: pytest.fail("exported"))
    pixels, split_table = stored
    with pytest.raises(InputError, match="are not those of the model"):
        bundle(exportable_model(), CARD, split_table, pixels, NO_LOCALIZERS, LIMITS)


def test_network_that_differs_is_rejected(stored, monkeypatch):
    """For example because of an error of the exporter."""
    pixels, split_table = stored
    model = model_of(split_table)
    changed = {**model.state_dict, "fc.weight": -model.state_dict["fc.weight"]}
    export = onnx_export.export_onnx

    def wrong(original):
        return export(original.model_copy(update={"state_dict": changed}))

    monkeypatch.setattr(onnx_export, "export_onnx", wrong)
    with pytest.raises(InputError, match=r"differs from the original one \(?.*on 4 images"):
        bundle(model, CARD, split_table, pixels, NO_LOCALIZERS, LIMITS)


def test_constant_box_is_exported_without_a_network(stored):
    pixels, split_table = stored
    model = model_of(split_table)
    localizer = localizer_of(model, "mean_box")
    entries = StoredVersions("localizer", ("v1",), {"v1": localizer}.__getitem__, read_localizer)
    chosen = LIMITS.model_copy(update={"localizer": "v1"})
    found = bundle(model, CARD, split_table, pixels, entries, chosen)
    assert found.localizer is localizer
    assert found.lesion_network is None
    assert bundle(model, CARD, split_table, pixels, entries, LIMITS).localizer is None
