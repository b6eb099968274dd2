"""A small training recipe, and functions and constants to change parts of it."""

from typing import Any

from skin_lesions.config.train import TrainRecipe

NO_AUGMENTATION = {
    "flips": False,
    "rotation": "none",
    "min_crop_area": 1.0,
    "max_crop_aspect_ratio": 1.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
    "random_erasing_prob": 0.0,
    "mixup_alpha": 0.0,
    "cutmix_alpha": 0.0,
}
ALL_AUGMENTATIONS = {
    "flips": True,
    "rotation": "any",
    "min_crop_area": 0.5,
    "max_crop_aspect_ratio": 1.33,
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue": 0.1,
    "random_erasing_prob": 0.5,
    "mixup_alpha": 0.2,
    "cutmix_alpha": 1.0,
}
RECIPE = TrainRecipe.model_validate(
    {
        "architecture": "resnet18",
        "weights": "none",
        "weights_sha256": None,
        "allow_leaky_weights": False,
        "seed": 3,
        "epochs": 2,
        "early_stopping_patience": None,
        "selection_metric": "balanced_accuracy",
        "batch_size": 8,
        "gradient_accumulation_steps": 1,
        "image_size": 32,
        "progressive_resizing_start": 1.0,
        "eval_size_ratio": 1.0,
        "frozen_backbone_epochs": 0,
        "optimizer": {
            "name": "adamw",
            "learning_rate": 1e-3,
            "head_lr_multiplier": 1.0,
            "layerwise_lr_decay": 1.0,
            "weight_decay": 0.01,
            "max_grad_norm": None,
        },
        "schedule": {"name": "cosine", "warmup_fraction": 0.1},
        "augmentation": NO_AUGMENTATION | {"flips": True, "rotation": "quarter"},
        "label_smoothing": 0.0,
        "class_balance": "none",
        "decision": "auto",
        "fusion": "late",
        "metadata_dropout": 0.3,
        "conformal_coverage": 0.9,
        "referral_accuracy": 0.9,
        "ema_decay": None,
        "test_time_augmentation": "none",
        "unknown_score": {"method": "mahalanobis", "flagged_fraction": 0.05},
        "precision": "auto",
        "memory_format": "channels_last",
        "compile": False,
        "device": "cpu",
        "launcher": "single",
        "num_processes": None,
        "ray": {"address": None},
        "keep_freed_memory": False,
        "checkpoint_interval_minutes": 10,
    }
)


def recipe(**changes: Any) -> TrainRecipe:
    """Return a changed recipe: ``epochs=3``, or in a group ``optimizer={"name": "adam"}``."""
    values = RECIPE.model_dump()
    for name, value in changes.items():
        values[name] = {**values[name], **value} if isinstance(value, dict) else value
    return TrainRecipe.model_validate(values)


# Every option with its own state or its own random numbers.
ALL_OPTIONS = {
    "early_stopping_patience": 5,
    "gradient_accumulation_steps": 2,
    "progressive_resizing_start": 0.5,
    "optimizer": {"max_grad_norm": 1.0},
    "schedule": {"name": "one_cycle", "warmup_fraction": 0.3},
    "augmentation": ALL_AUGMENTATIONS,
    "label_smoothing": 0.1,
    "class_balance": "square_root_sampler",
    "ema_decay": 0.9,
}
