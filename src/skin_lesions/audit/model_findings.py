"""Findings that need a trained model; content of ``model_findings.json``.

``ModelFindings.model_json_schema()`` documents the file.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict
from scipy import stats

from skin_lesions.audit.finding import Finding
from skin_lesions.core.text import pluralize, printable
from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.provenance import MetricsProvenance
from skin_lesions.metrics.intervals import (
    LEVEL,
    Estimate,
    fraction_text,
    percent_text,
    unavailable,
    unite,
)
from skin_lesions.metrics.linearization import linearized_error, mean_influence

# A rank correlation above this value, also at the lower end of the interval, is a finding: the maps
# then show the network and the image more than what the network has learned.
MAX_SIMILARITY = 0.5
_BORDER_RECOMMENDATION = (
    "Look at the explanations for rulers, ink, dark corners or other marks at the border, and "
    "compare with the border probe of the audit. Train with cropped images "
    "(preprocess.resize_mode=center_crop) and compare the test results."
)


class BorderAttention(BaseModel):
    """Fraction of the Grad-CAM map on the border of the image, in a random sample of each class.

    Attributes:
        width: Width of the border on each side, as a fraction of the side of the image.
        area: Fraction of the area that is on the border. A constant map has this fraction.
        fraction: Mean over the sampled images of the fraction of their map on the border.
        per_class: The same for the images with this label.
        empty_maps: Number of sampled images whose map is zero everywhere. They are left out.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    width: float
    area: float
    fraction: Estimate
    per_class: dict[str, Estimate]
    empty_maps: int


class ModelFindings(VersionedModel):
    """What the explanations of a model reveal.

    Attributes:
        provenance: Model, tables and software.
        layer: Layer of the maps; None without maps.
        reason: The reason why there are no maps; otherwise None.
        border: Attention to the border.
        similarity_to_random_weights: Mean rank correlation (-1 to 1) of the map of an image with
            that of the same network with random weights.
        findings: The findings, the most severe first.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    provenance: MetricsProvenance
    layer: str | None
    reason: str | None
    border: BorderAttention | None
    similarity_to_random_weights: Estimate
    findings: list[Finding]


def compute_model_findings(
    images: pd.DataFrame,
    classes: Sequence[str],
    border_width: float,
    provenance: MetricsProvenance,
    *,
    layer: str,
    reason: str,
) -> ModelFindings:
    """Summarize the maps of a random sample of the test images.

    Args:
        images: Columns label, group_id, border_fraction and similarity (NaN if undefined).
        classes: Classes of the model.
        border_width: Width of the border on each side, as a fraction of the side of the image.
        provenance: What the images were predicted with.
        layer: Layer of the maps.
        reason: The reason why there are no maps, otherwise empty.
    """
    if reason:
        return ModelFindings(
            provenance=provenance,
            layer=None,
            reason=reason,
            border=None,
            similarity_to_random_weights=unavailable(reason),
            findings=[],
        )
    valid = images.dropna(subset="border_fraction")
    border = BorderAttention(
        width=border_width,
        area=1 - (1 - 2 * border_width) ** 2,
        fraction=_mean(valid, "border_fraction", "all maps are zero everywhere"),
        per_class={
            label: _mean(valid[valid["label"] == label], "border_fraction", "no maps of this class")
            for label in classes
        },
        empty_maps=len(images) - len(valid),
    )
    compared = images.dropna(subset="similarity")
    similarity = _mean(compared, "similarity", "no two maps can be compared", lowest=-1.0)
    findings = [*_border_findings(border, valid), *_similarity_findings(similarity)]
    return ModelFindings(
        provenance=provenance,
        layer=layer,
        reason=None,
        border=border,
        similarity_to_random_weights=similarity,
        findings=findings,
    )


def unequal_missingness(columns: Sequence[str]) -> list[Finding]:
    """Report the inputs of a model whose missing values predict the class of training images."""
    if not columns:
        return []
    names = ", ".join(map(printable, columns))
    return [
        Finding(
            id="unequal_missingness",
            severity="high",
            message=f"The model uses metadata whose missing values predict the class ({names}), "
            "and their missing rates were not made equal over the classes.",
            count=len(columns),
            details={},
            examples=[[name] for name in columns],
            recommendation="Train with metadata.equalize_missing=true, and compare the results.",
        )
    ]


def _mean(rows: pd.DataFrame, column: str, no_rows: str, *, lowest: float = 0.0) -> Estimate:
    """Return the mean of a column with an interval over groups."""
    if rows.empty:
        return unavailable(no_rows)
    values, groups = rows[column].to_numpy(np.float64), rows["group_id"].to_numpy(str)
    value = float(values.mean())
    if np.unique(groups).size < 2:
        return Estimate(
            value=value, low=None, high=None, n=len(rows), reason="images of only one group"
        )
    error = linearized_error(mean_influence(values), groups)
    # On the scale of the logit, fractions stay between 0 and 1.
    interval = error.interval(value, "logit" if lowest == 0.0 else "identity")
    return unite(value, len(rows), [interval], lowest=lowest)


def _border_findings(border: BorderAttention, rows: pd.DataFrame) -> list[Finding]:
    """Report classes whose maps are more on the border than a constant map.

    Each class is tested at the level 2.5 % (one-sided) divided by the number of classes, so that
    many classes do not give a finding by chance.
    """
    tests = {
        label: _p_above(rows[rows["label"] == label], border.area) for label in border.per_class
    }
    level = (1 - LEVEL) / 2 / max(1, len(tests))
    above = [label for label, p in tests.items() if p < level]
    overall = border.fraction.low is not None and border.fraction.low > border.area
    if not above and not overall:
        return []
    where = f"the outer {fraction_text(border.width)} of each side"
    message = (
        f"The model looks at {where} more than its area suggests: {percent_text(border.fraction)} "
        f"of the Grad-CAM maps, for {fraction_text(border.area)} of the area."
        if overall
        else f"For {pluralize(len(above), 'class', 'classes')}, the model looks at {where} more "
        f"than its area ({fraction_text(border.area)}) suggests."
    )
    fractions = {
        "border_fraction": border.fraction.value,
        "border_fraction_low": border.fraction.low,
        "border_fraction_high": border.fraction.high,
    }
    details = {name: value for name, value in fractions.items() if value is not None}
    above.sort(key=lambda label: -(border.per_class[label].value or 0.0))
    return [
        Finding(
            id="border_attention",
            severity="medium" if overall else "low",
            message=message,
            count=max(1, len(above)),
            details={
                "border_width": border.width,
                "border_area": border.area,
                "images": border.fraction.n,
                **details,
            },
            examples=[
                [label, f"{percent_text(border.per_class[label])} on the border"] for label in above
            ],
            recommendation=_BORDER_RECOMMENDATION,
        )
    ]


def _p_above(rows: pd.DataFrame, area: float) -> float:
    """Return the one-sided p value of a mean border fraction of at most ``area``; 1 if unknown."""
    groups = rows["group_id"].to_numpy(str)
    if np.unique(groups).size < 2:
        return 1.0
    values = rows["border_fraction"].to_numpy(np.float64)
    error = linearized_error(mean_influence(values), groups)
    difference = float(values.mean()) - area
    if error.standard_error == 0:
        return 0.0 if difference > 0 else 1.0
    return float(stats.t.sf(difference / error.standard_error, error.degrees_of_freedom))


def _similarity_findings(similarity: Estimate) -> list[Finding]:
    value, low = similarity.value, similarity.low
    if value is None or low is None or low <= MAX_SIMILARITY:
        return []
    return [
        Finding(
            id="explanations_of_random_weights",
            severity="low",
            message=(
                f"The Grad-CAM maps resemble those of random weights (correlation {value:.2f}). "
                "They show the image more than what the model has learned."
            ),
            count=similarity.n,
            details={"images": similarity.n, "similarity": value},
            examples=[],
            recommendation="Do not use these maps to judge what the model looks at.",
        )
    ]
