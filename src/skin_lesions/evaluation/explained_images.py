"""Test images that are explained with Grad-CAM: their selection, and their maps."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CORRECT, WRONG, UNCERTAIN = "correct", "wrong", "uncertain"
GALLERY = (CORRECT, WRONG, UNCERTAIN)  # kinds of gallery images, in display order


@dataclass(frozen=True, kw_only=True, eq=False)
class ExplainedImages:
    """Test images and the Grad-CAM maps of their predicted classes.

    Attributes:
        frame: One row per image: file, image_id, group_id, label, predicted, ``confidence``
            (probability of the predicted class), ``in_sample`` (random sample of each class),
            ``kind`` (in the gallery, otherwise empty), ``border_fraction`` (NaN for maps that are
            zero everywhere) and ``similarity`` (rank correlation with the map of random weights,
            NaN if undefined).
        maps: (n, h, w), values of at least 0; (0, 0, 0) without maps.
        layer: Name of the layer of the maps.
        reason: The reason why there are no maps, otherwise empty.
    """

    frame: pd.DataFrame
    maps: NDArray[np.float32]
    layer: str = ""
    reason: str = ""

    def to_frame(self) -> pd.DataFrame:
        """Return a table with one row per image, which can be saved.

        Its additional columns are ``layer``, ``reason``, ``map_side`` (height and width of the map,
        0 without maps) and ``map`` (its values as float32 in Base64, row by row).
        """
        maps = self.maps if len(self.maps) else np.zeros((len(self.frame), 0, 0), np.float32)
        encoded = [base64.b64encode(values.astype("<f4").tobytes()).decode() for values in maps]
        return self.frame.assign(
            layer=self.layer, reason=self.reason, map_side=maps.shape[1], map=encoded
        )

    @classmethod
    def from_frame(cls, table: pd.DataFrame) -> "ExplainedImages":
        """Return the images of a table that ``to_frame`` returned."""
        frame = table.drop(columns=["layer", "reason", "map_side", "map"])
        if table.empty or table["map_side"].iloc[0] == 0:
            reason = str(table["reason"].iloc[0]) if len(table) else "there are no test images"
            return cls(frame=frame, maps=np.zeros((0, 0, 0), np.float32), reason=reason)
        side = int(table["map_side"].iloc[0])
        values = [np.frombuffer(base64.b64decode(text), "<f4") for text in table["map"]]
        maps = np.stack(values).reshape(-1, side, side).astype(np.float32)
        return cls(frame=frame, maps=maps, layer=str(table["layer"].iloc[0]))


def normalize_map(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divide a map (h, w) by its maximum; a map that is zero everywhere stays zero."""
    maximum = values.max()
    # Not maximum + epsilon, which would darken maps with small values.
    return values / maximum if maximum > 0 else values


def without_maps(rows: pd.DataFrame, reason: str) -> ExplainedImages:
    """Return selected images without maps, and the reason."""
    frame = rows.assign(border_fraction=np.nan, similarity=np.nan)
    return ExplainedImages(frame=frame, maps=np.zeros((0, 0, 0), np.float32), reason=reason)


def select_images(
    predictions: pd.DataFrame, classes: Sequence[str], images_per_class: int, seed: int
) -> pd.DataFrame:
    """Select test images: a random sample of each class, and the gallery.

    The gallery has up to three images of each class: the correct prediction with the highest
    confidence, the wrong one with the highest confidence, and the prediction with the lowest
    confidence among the others. It is not a random sample.

    Args:
        predictions: Columns file, image_id, group_id, split, label, predicted, and ``p_<class>``.
        classes: Classes of the model.
        images_per_class: Maximum number of images of each class in the sample. Different groups
            come first.
        seed: Seed of the sample.

    Returns:
        One row per selected image; see ``ExplainedImages``.
    """
    test = predictions[predictions["split"] == "test"].sort_values(["file"]).reset_index(drop=True)
    probability = test[[f"p_{label}" for label in classes]].to_numpy(np.float64)
    predicted = pd.Index(classes).get_indexer(pd.Index(test["predicted"]))
    keys = test[["file", "image_id", "group_id", "label", "predicted"]]
    rows = keys.assign(confidence=probability[np.arange(len(test)), predicted])

    shuffled = rows.sample(frac=1, random_state=seed)
    rank_in_group = shuffled.groupby(["label", "group_id"]).cumcount()
    by_group = shuffled.assign(rank=rank_in_group).sort_values("rank", kind="stable")
    sample = by_group.groupby("label").head(images_per_class).index
    rows = rows.assign(in_sample=rows.index.isin(sample), kind="")
    for label in classes:
        of_class = rows[rows["label"] == label].sort_values(["confidence", "file"])
        is_correct = of_class["predicted"] == label
        chosen = {
            CORRECT: list(of_class.index[is_correct])[-1:],
            WRONG: list(of_class.index[~is_correct])[-1:],
        }
        others = of_class.index.difference(chosen[CORRECT] + chosen[WRONG], sort=False)
        chosen[UNCERTAIN] = list(others)[:1]
        for kind, index in chosen.items():
            rows.loc[index, "kind"] = kind
    return rows[rows["in_sample"] | rows["kind"].ne("")].reset_index(drop=True)
