"""Dependence of a classifier on the lesion: results and findings. It does not import torch."""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from skin_lesions.core.text import pluralize
from skin_lesions.metrics.intervals import FEW_IMAGES, Estimate, fraction_text, percent_text

# A model that keeps at least this fraction of its balanced accuracy above chance without the
# lesion has a finding of severity high, because most of its score does not need the lesion.
HIGH_FRACTION = 0.5


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class LesionFinding(_Entry):
    """A finding, with the fields of ``audit.finding.Finding``.

    ``evaluation`` and ``audit`` are independent, so that a pipeline converts it:
    ``Finding.model_validate(finding.model_dump())``.
    """

    id: str
    severity: Literal["high", "medium", "low"]
    message: str
    count: int
    details: dict[str, int | float]
    examples: list[list[str]]
    recommendation: str


class LesionAttention(_Entry):
    """Fraction of the Grad-CAM maps of the predicted classes inside of the lesions.

    All fractions are of the input of the network: after the crop of the preprocessing.

    Attributes:
        layer: Layer of the maps.
        inside: Mean fraction of the map of an image inside of the lesion.
        area: Mean fraction of the area that the lesion covers. A constant map has this fraction.
        gain: ``inside`` minus ``area``, with the paired interval.
        masks: Number of images with a mask. The others have only boxes.
        empty_maps: Number of images whose map is zero everywhere. They are left out.
    """

    layer: str
    inside: Estimate
    area: Estimate
    gain: Estimate
    masks: int
    empty_maps: int


class ImageScores(_Entry):
    """Scores of the model on images.

    Attributes:
        accuracy: Fraction of correct predictions.
        balanced_accuracy: Mean recall of the classes that have images.
    """

    accuracy: Estimate
    balanced_accuracy: Estimate


class AlteredScores(ImageScores):
    """Scores on altered images.

    Attributes:
        accuracy_lost: Accuracy on the original minus that on the altered images, with the paired
            interval.
        balanced_accuracy_lost: The same for balanced accuracy.
    """

    accuracy_lost: Estimate
    balanced_accuracy_lost: Estimate


class LesionScores(_Entry):
    """Scores on the original images, without the lesion, and with only the lesion.

    Attributes:
        chance: Balanced accuracy by chance: 1 / number of classes that have images.
        original: Scores on the original images.
        without_lesion: Scores after the enlarged boxes were filled from their surroundings. The
            fill hides the shape of the lesion, but its borders can show the size of the box.
        only_lesion: Scores after everything outside of the enlarged boxes got its mean color.
        covered_images: Number of images without surroundings, because the enlarged boxes cover
            them. Without the lesion, they have only one color.
    """

    chance: float
    original: ImageScores
    without_lesion: AlteredScores
    only_lesion: AlteredScores
    covered_images: int


class LesionDependence(_Entry):
    """Whether a classifier uses the lesion, measured on annotated test images.

    Attributes:
        images: Number of annotated test images.
        groups: Number of groups of related images.
        reason: The reason why there can be no findings about the scores; otherwise None.
        scores: Scores with and without the lesion; None without images.
        attention: Grad-CAM inside of the lesion; None without maps.
        attention_reason: The reason why there are no maps, or can be no findings about them;
            otherwise None.
        findings: The findings, the most severe first.
    """

    images: int
    groups: int
    reason: str | None
    scores: LesionScores | None
    attention: LesionAttention | None
    attention_reason: str | None
    findings: tuple[LesionFinding, ...]


def too_few_images(n: int) -> str | None:
    """Return the reason why so few images give no findings; None for enough images."""
    if n >= FEW_IMAGES:
        return None
    return f"{pluralize(n, 'annotated test image')}, fewer than {FEW_IMAGES}"


def too_few_maps(n: int) -> str | None:
    """Return the reason why so few maps give no findings; None for enough maps."""
    if n >= FEW_IMAGES:
        return None
    return f"{pluralize(n, 'image')} with a map that is not zero, fewer than {FEW_IMAGES}"


def score_findings(scores: LesionScores) -> list[LesionFinding]:
    """Report a balanced accuracy without the lesion that is above chance."""
    without, original = scores.without_lesion.balanced_accuracy, scores.original.balanced_accuracy
    value, low, chance = without.value, without.low, scores.chance
    if value is None or low is None or original.value is None or low <= chance:
        return []
    # Fraction of the balanced accuracy above chance that remains. The original can be at chance.
    above = original.value - chance
    remaining = min(1.0, (value - chance) / above) if above > 0 else 1.0
    return [
        LesionFinding(
            id="accuracy_without_lesion",
            severity="high" if remaining >= HIGH_FRACTION else "medium",
            message="The model recognizes classes without the lesion: its balanced accuracy is "
            f"{percent_text(without)} if the lesion is filled from its surroundings. Chance is "
            f"{fraction_text(chance)}, and with the lesion it is {percent_text(original)}.",
            count=without.n,
            details={
                "images": without.n,
                "chance": chance,
                "remaining_fraction": remaining,
                **_numbers("balanced_accuracy_without_lesion", without),
                **_numbers("balanced_accuracy", original),
            },
            examples=[],
            recommendation="Find out what differs between the classes outside of the lesion: image "
            "type, skin, rulers, ink or dark corners. Compare with the border probe of the audit. "
            "The size of the filled box can explain a part of the score.",
        )
    ]


def attention_findings(attention: LesionAttention) -> list[LesionFinding]:
    """Report maps that are not more inside of the lesion than its area suggests."""
    gain = attention.gain
    if gain.value is None or gain.low is None or gain.high is None or gain.low > 0:
        return []
    return [
        LesionFinding(
            id="attention_outside_lesion",
            # An interval that contains 0 can also be due to few images.
            severity="medium" if gain.high < 0 else "low",
            message="The model does not look at the lesion more than its area suggests: "
            f"{percent_text(attention.inside)} of the Grad-CAM maps are inside, for "
            f"{fraction_text(attention.area.value or 0.0)} of the area.",
            count=gain.n,
            details={
                "images": gain.n,
                **_numbers("inside_fraction", attention.inside),
                **_numbers("lesion_area", attention.area),
                **_numbers("difference", gain),
            },
            examples=[],
            recommendation="Look at the explanations, and compare with the balanced accuracy "
            "without the lesion. Do not use the maps if they resemble those of random weights.",
        )
    ]


def _numbers(name: str, estimate: Estimate) -> dict[str, int | float]:
    """Return the value and the interval of an estimate by name, without missing ones."""
    values = {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
    return {key: value for key, value in values.items() if value is not None}
