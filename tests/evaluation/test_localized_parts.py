"""Localizers of a cross-validation are fitted on the other images only."""

import numpy as np
import pandas as pd
import torch

from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.evaluation.localization.images import LocalizationImages, Part
from skin_lesions.evaluation.localization.predictions import Classifier, localize_parts
from skin_lesions.models.localization.dense import DecoderRecipe
from skin_lesions.models.localization.lesions import Lesion
from skin_lesions.models.localization.localizer import LocalizerSettings

SIZE = 16
BOXES = {"a": (0.0, 0.0, 0.2, 0.2), "b": (0.5, 0.5, 1.0, 1.0)}
SETTINGS = LocalizerSettings(
    method="mean_box",
    image_size=SIZE,
    batch_size=2,
    decoder=DecoderRecipe(
        epochs=1,
        batch_size=2,
        learning_rate=1e-3,
        network_learning_rate=0,
        weight_decay=0,
        views=1,
        seed=0,
    ),
)


def test_fixed_box_of_a_part_is_that_of_its_fit_images():
    rows = pd.DataFrame(
        {
            "file": list(BOXES),
            "image_id": list(BOXES),
            "width": SIZE,
            "height": SIZE,
            "source": "s",
            "group_id": list(BOXES),
            "split": None,
        }
    )
    images = LocalizationImages(
        table=rows,
        lesions={file: Lesion(boxes=np.array([box])) for file, box in BOXES.items()},
        read=lambda ids: np.zeros((len(ids), SIZE, SIZE, 3), np.uint8),
        annotation_format="csv",
        unusable=0,
    )
    classifier = Classifier(
        network=torch.nn.Linear(1, 1),
        architecture="none",
        preprocessing=Preprocessing("stretch", SIZE, SIZE),
        device=torch.device("cpu"),
    )
    first, second = rows.iloc[:1], rows.iloc[1:]
    found = localize_parts(
        [Part(fit=first, test=second), Part(fit=second, test=first)], images, classifier, SETTINGS
    )
    boxes = found.predicted[found.predicted["method"] == "mean_box"].set_index("file")
    corners = boxes[["x0", "y0", "x1", "y1"]]
    np.testing.assert_allclose(corners.loc["b"], BOXES["a"])
    np.testing.assert_allclose(corners.loc["a"], BOXES["b"])
