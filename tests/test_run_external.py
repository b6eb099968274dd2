"""End-to-end runs of `external`: planted copies, other labels, an unknown class, and the report."""

import io
import shutil

import pytest
from PIL import Image

from skin_lesions.core.errors import InputError
from skin_lesions.data.raw_store import ObjectStore
from skin_lesions.data.sources.synthetic import render_file, synthetic_table
from skin_lesions.data.training_overlap import TrainingOverlap
from support.factories import write_files

pytestmark = pytest.mark.slow

OTHER_SEED = 77
# Names of the diagnoses in the other hospital.
LABELS = {
    "Melanocytic nevi": "naevus",
    "Melanoma": "malignant melanoma",
    "Vascular lesions": "VASC",
    "Dermatofibroma": "wart",
}


def own_images(each=6):
    """Draw images of patients of the other hospital."""
    table = synthetic_table(OTHER_SEED)
    table = table[table["planted"].isna()].drop_duplicates("lesion_id")
    chosen = table[table["label"].isin(list(LABELS))].groupby("label").head(each)
    return {
        f"{LABELS[label]}/own_{i}.jpg": render_file(file, OTHER_SEED)
        for i, (file, label) in enumerate(zip(chosen["file"], chosen["label"], strict=True))
    }


def flipped(jpeg):
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(jpeg)) as image:
        image.transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def planted_copies(study):
    """Return copies of nevi and melanomas of the training, validation and test split.

    Only images of groups of their own are copied, so that no other image shows the same lesion.
    """
    table = study.table("split_table")
    alone = table[~table["group_id"].duplicated(keep=False)]
    store = ObjectStore(study.data_root / "01_raw/objects")
    found = {}
    for label in ("Melanocytic nevi", "Melanoma"):
        for split in ("train", "val", "test"):
            rows = alone[(alone["label"] == label) & (alone["split"] == split)]
            first, second = (store.get(image_id) for image_id in rows["image_id"].iloc[:2])
            found[f"{LABELS[label]}/exact_{split}.jpg"] = first
            found[f"{LABELS[label]}/changed_{split}.jpg"] = flipped(second)
    return found


def test_finished_model_is_validated_on_a_folder_with_planted_copies(demo_copy, tmp_path):
    copies = planted_copies(demo_copy)
    folder = write_files(tmp_path / "hospital_b", own_images() | copies)
    external = {"folder": str(folder)}

    # A label without a class stops the run, and nothing of the set is stored.
    with pytest.raises(InputError, match='"wart": CHOOSE  # 6 images') as stopped:
        demo_copy.run("external", external=external)
    assert not (demo_copy.data_root / "external/hospital_b").exists()
    label_map = tmp_path / "map.yml"
    label_map.write_text(str(stopped.value).split("\n", 1)[1].replace("CHOOSE", "ignore"))
    demo_copy.run("external", external=external | {"label_map": str(label_map)})

    stored = demo_copy.data_root / "external/hospital_b"
    catalog = demo_copy.catalog().load("stored_external_metrics")
    versions = catalog.by_name["hospital_b"]
    results = versions.load_version(versions.versions[0])
    overlapping = {
        image.file
        for path in (stored / "03_primary/overlap.json").glob("*/overlap.json")
        for image in TrainingOverlap.model_validate_json(path.read_text()).images
    }
    # Copies of test images are no overlap with the training.
    assert overlapping == {file for file in copies if "_test" not in file}
    assert results.counts.overlapping == 8
    assert results.counts.ignored == 6
    assert results.internal.common_images == 2  # exact copies of test images
    assert {entry.label: entry.class_name for entry in results.labels} == {
        "naevus": "Melanocytic nevi",
        "malignant melanoma": "Melanoma",
        "VASC": "Vascular lesions",
        "wart": None,
    }
    assert results.classes_present == ("Melanocytic nevi", "Melanoma", "Vascular lesions")
    assert results.overlap.is_complete
    assert results.present_classes.differences["balanced_accuracy"].n > 0
    metrics = demo_copy.load("metrics").test
    internal = results.all_outputs.internal.per_class["Melanoma"]
    assert internal["recall"] == metrics.per_class["Melanoma"]["recall"]

    demo_copy.run("report")
    report = demo_copy.load("report")
    assert "External set hospital_b" in report
    assert "3 of the 14 classes" in report


def test_model_alone_is_validated_without_training_images_and_predictions(
    demo_run, project, tmp_path
):
    """The data root of another machine has only the model file."""
    root = tmp_path / "elsewhere"
    shutil.copytree(demo_run.data_root / "06_models/model.pth", root / "06_models/model.pth")
    study = type(demo_run)(project, root, "folder", evaluate={"device": "cpu"})
    # The configured source of this environment is another one than that of the model.
    study.run("external", external={"kind": "demo"})
    versions = study.catalog().load("stored_external_metrics").by_name["demo"]
    results = versions.load_version(versions.versions[0])
    assert results.provenance.synthetic_images
    assert results.internal is None
    assert results.all_outputs.differences == {}
    assert results.overlap.compared == 0
    # Exact copies of training and validation images are found by their image_id.
    assert set(results.overlap.counts) <= {"image_id", "same_group"}
    assert results.overlap.counts["image_id"] >= 1


def test_external_in_the_run_of_an_evaluation_is_rejected(demo_copy):
    with pytest.raises(InputError, match="The pipeline external reads stored predictions"):
        demo_copy.run("evaluate", "external", external={"kind": "demo"})


def test_missing_folder_stops_before_the_first_node(demo_copy):
    with pytest.raises(InputError, match="external.folder is not set"):
        demo_copy.run("external")
