"""A small trained model, and provenance for tests."""

from typing import Any

from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.data.provenance import ModelProvenance, Origin, SplitProvenance
from skin_lesions.models.networks import build_network
from skin_lesions.models.trained_model import Selection, TrainedModel
from skin_lesions.models.weights_origin import WeightsOrigin
from support.postprocessing import postprocessing
from support.recipes import RECIPE

SPLIT_PROVENANCE = SplitProvenance(
    origin=Origin(kind="folder", folder="/images"),
    raw_images_version="V1",
    image_table_version="V1",
    data_fingerprint="d",
    split_fingerprint="s",
    split_policy="grouped",
)


def model_provenance(**changes: Any) -> ModelProvenance:
    """Make the provenance of a model."""
    values = {
        **SPLIT_PROVENANCE.model_dump(),
        "split_table_version": "V1",
        "package_version": "0.1.0",
        "python": "3.11.9",
        "libraries": {"torch": "2.9.1", "torchvision": "0.24.1"},
        "device": "cpu (2 threads)",
        "precision": "float32",
        "processes": 1,
        "training": "0123456789abcdef",
    }
    return ModelProvenance.model_validate(values | changes)


def trained_model(**changes: Any) -> TrainedModel:
    """Make a model of two classes with random weights; ``changes`` replace its fields."""
    values = {
        "architecture": "resnet18",
        "classes": ("nv", "mel"),
        "preprocessing": Preprocessing("stretch", 64, 32),
        "test_time_augmentation": "none",
        "recipe": RECIPE.model_dump(mode="json"),
        "initial_weights": WeightsOrigin(weights="none"),
        "selection": Selection(best_epoch=2, metric="balanced_accuracy", value=0.5),
        "provenance": model_provenance(),
        "train_image_ids": ("image0", "image1"),
        "val_image_ids": ("image2",),
        "postprocessing": postprocessing((3, 1)),
    }
    if "state_dict" not in changes:
        values["state_dict"] = build_network("resnet18", 2).state_dict()
    return TrainedModel.model_validate(values | changes)
