"""Made-up clinical metadata whose relation to the class is known."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import pandas as pd

from skin_lesions.data.tabular import fit_encoder
from skin_lesions.models.postprocessing.metadata_fusion import MetadataFusion, fit_metadata_model

CLASSES = ("bcc", "mel", "nv")
MEAN_AGE = {"bcc": 70, "mel": 60, "nv": 40}
Informative = Literal["values", "missingness", "neither"]


def clinical_table(n: int, informative: Informative = "values", seed: int = 0) -> pd.DataFrame:
    """Make n images with label, group_id, source, and the columns age, sex and site.

    With ``values``, age and site depend on the class, and one value in five is missing in each
    class. With ``missingness``, values do not depend on the class, but they are known for all
    nevi and for one in five of the others. With ``neither``, nothing depends on the class.
    """
    rng = np.random.default_rng(seed)
    label = rng.choice(CLASSES, n, p=[0.3, 0.2, 0.5])
    depends = informative == "values"
    age = rng.normal([MEAN_AGE[name] if depends else 55 for name in label], 12).round()
    on_face = rng.random(n) < (np.where(label == "bcc", 0.7, 0.2) if depends else 0.4)
    table = pd.DataFrame(
        {
            "file": [f"{i:05d}.jpg" for i in range(n)],
            "image_id": [f"{i:064x}" for i in range(n)],
            "label": label,
            "group_id": [f"g{i}" for i in range(n)],
            "source": np.where(np.arange(n) % 3 == 0, "a", "b"),
            "age": age,
            "sex": rng.choice(["female", "male"], n),
            "site": np.where(on_face, "face", "back"),
        }
    )
    known = np.where(label == "nv", 1.0, 0.2) if informative == "missingness" else np.full(n, 0.8)
    for column in ("age", "sex", "site"):
        table[column] = table[column].where(rng.random(n) < known, None)
    return table


def fusion(classes: Sequence[str], weight: float = 1.0) -> MetadataFusion:
    """Fit a late fusion of age and site; the first class is that of old people and of faces."""
    table = clinical_table(300)
    names = {"bcc": classes[0], "mel": classes[1], "nv": classes[-1]}
    train = table.assign(label=table["label"].map(names))
    model = fit_metadata_model(fit_encoder(train, ["age", "site"], {}), train, classes)
    return replace(model, weight=weight)
