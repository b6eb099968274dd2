"""A small recipe, changed part by part in a test."""

from typing import Any

from skin_lesions.config.train import TrainRecipe

UNCHANGED = {
    "flips": False,
    "rotation": "none",
    "crop_area": 1.0,
    "crop_aspect": 1.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
    "erasing": 0.0,
    "mixup": 0.0,
    "cutmix": 0.0,
}
EVERY_CHANGE = {
    "flips": True,
    "rotation": "any",
    "crop_area": 0.5,
    "crop_aspect": 1.33,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue": 0.1,
    "erasing": 0.5,
    "mixup": 0.2,
    "cutmix": 1.0,
}
RECIPE = TrainRecipe.model_validate(
    {
        "architecture": "resnet18",
        "weights": "none",
        "weights_sha256": None,
        "seed": 3,
        "epochs": 2,
        "patience": None,
        "select_by": "balanced_accuracy",
        "batch_size": 8,
        "accumulation": 1,
        "image_size": 32,
        "start_scale": 1.0,
        "test_scale": 1.0,
        "head_epochs": 0,
        "optimizer": {
            "name": "adamw",
            "learning_rate": 1e-3,
            "head_factor": 1.0,
            "layer_decay": 1.0,
            "weight_decay": 0.01,
            "clip_norm": None,
        },
        "schedule": {"name": "cosine", "warmup_share": 0.1},
        "augmentation": UNCHANGED | {"flips": True, "rotation": "quarter"},
        "label_smoothing": 0.0,
        "class_balance": "none",
        "average_decay": None,
        "test_time_augmentation": "none",
        "precision": "auto",
        "memory_format": "channels_last",
        "compile": False,
        "device": "cpu",
        "launcher": "single",
        "processes": None,
        "ray": {"address": None},
        "checkpoint_minutes": 10,
    }
)


def recipe(**changes: Any) -> TrainRecipe:
    """Change the recipe: ``epochs=3``, or a group's part: ``optimizer={"name": "adam"}``."""
    values = RECIPE.model_dump()
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return TrainRecipe.model_validate(values)


# Every part that has a state or a chance of its own.
EVERYTHING = {
    "patience": 5,
    "accumulation": 2,
    "start_scale": 0.5,
    "optimizer": {"clip_norm": 1.0},
    "schedule": {"name": "one_cycle", "warmup_share": 0.3},
    "augmentation": EVERY_CHANGE,
    "label_smoothing": 0.1,
    "class_balance": "square_root_sampler",
    "average_decay": 0.9,
}
