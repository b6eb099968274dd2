"""Content of ``localization.json``."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from skin_lesions.core.versions import VersionedModel
from skin_lesions.data.provenance import LocalizationProvenance
from skin_lesions.evaluation.localization.lesion_dependence_model import LesionDependence
from skin_lesions.metrics.intervals import Estimate, unavailable

Method = Literal["dense", "cam", "mean_box", "whole_image"]
Verdict = Literal["better", "no_better", "worse", "unknown"]
Box = tuple[float, float, float, float]  # x0, y0, x1, y1, fractions of the image

_CONCLUSIONS: dict[Verdict, str] = {
    "better": "better than a fixed box",
    "no_better": "no better than a fixed box",
    "worse": "worse than a fixed box",
    "unknown": "not comparable with a fixed box",
}


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class MethodScores(_Entry):
    """How well the boxes of a method agree with the true boxes.

    The IoU of an image is that of the predicted box of the highest score with the true box it
    overlaps most. It is 0 if the method predicts no box.

    Attributes:
        images: Number of images.
        groups: Number of groups of related images.
        without_box: Number of images for which the method predicts no box.
        iou: Mean IoU of the images.
        at_50: Fraction of images with an IoU of at least 0.5.
        at_70: Fraction of images with an IoU of at least 0.7.
        thresholded_jaccard: Mean Jaccard index of the masks, 0 where it is below 0.65, over the
            images with a mask. Without a value if the method has no masks.
        ap_50: Average precision of all boxes at an IoU of 0.5. Without a value if no image has
            several true boxes.
        map_50_95: Its mean over the IoU thresholds 0.50, 0.55 ... 0.95.
        gain: Mean IoU minus that of the method ``mean_box`` on the same images.
    """

    images: int
    groups: int
    without_box: int
    iou: Estimate
    at_50: Estimate
    at_70: Estimate
    thresholded_jaccard: Estimate
    ap_50: Estimate
    map_50_95: Estimate
    gain: Estimate


class WorstImage(_Entry):
    """An image with a low IoU of the trained method.

    Attributes:
        image_id: The image.
        file: Its file.
        source: Its source.
        iou: IoU of the trained method.
        true: The true boxes.
        predicted: The box of the trained method with the highest score; None if there is none.
        mean_box: The fixed box; None if this method was not evaluated.
    """

    image_id: str
    file: str
    source: str
    iou: float
    true: tuple[Box, ...]
    predicted: Box | None
    mean_box: Box | None


class LocalizationResults(VersionedModel):
    """How well each method localizes lesions.

    Attributes:
        provenance: Model, images, annotations and software.
        trained: The method that is compared with a fixed box.
        methods: Each method on all images.
        sources: The same for each source with at least ``min_images`` images; empty if there is
            only one source.
        min_images: Smallest number of images of a source with results.
        worst: Images with the lowest IoU of the trained method, the lowest first.
        lesion_dependence: Whether the classifier uses the lesion; None for images without labels.
        version: The catalog version that was loaded. It is not part of the JSON form.
    """

    provenance: LocalizationProvenance
    trained: Method
    methods: dict[Method, MethodScores]
    sources: dict[str, dict[Method, MethodScores]] = Field(default_factory=dict)
    min_images: int
    worst: tuple[WorstImage, ...] = ()
    lesion_dependence: LesionDependence | None = None

    @property
    def gain(self) -> Estimate:
        """Mean IoU of the trained method minus that of a fixed box."""
        if self.trained not in self.methods:
            return unavailable(f"the method {self.trained} was not evaluated")
        return self.methods[self.trained].gain

    @property
    def verdict(self) -> Verdict:
        """Whether the interval of the gain is above 0, contains it, or is below."""
        gain = self.gain
        if gain.low is None or gain.high is None:
            # Equal boxes have a gain of 0 on each image, and therefore no interval.
            return "no_better" if gain.value == 0 else "unknown"
        if gain.low <= 0 <= gain.high:
            return "no_better"
        return "better" if gain.low > 0 else "worse"

    @property
    def conclusion(self) -> str:
        """The verdict in words, such as "no better than a fixed box"."""
        return _CONCLUSIONS[self.verdict]
