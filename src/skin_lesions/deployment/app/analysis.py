"""Analysis of an uploaded image: everything that the page and the table show about it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pandas as pd

from skin_lesions.core.atomic_files import format_bytes
from skin_lesions.data.image_files import UnreadableImageError, read_pixels
from skin_lesions.deployment.app.shown_images import (
    jpeg_url,
    map_url,
    mask_url,
    shown_boxes,
    shown_pixels,
)
from skin_lesions.deployment.app.uploads import Upload
from skin_lesions.deployment.decisions import Postprocessor, Prediction
from skin_lesions.deployment.lesions import FoundLesions
from skin_lesions.deployment.predictor import ModelDescription, Predictor
from skin_lesions.reporting.formatting import whole_percent

MAX_FILE_BYTES = 30_000_000  # a photograph of a phone has up to 15 MB
MAX_IMAGES = 60  # in one page; each has about 0.2 MB in the browser


class MapPredictor(Predictor, Protocol):
    """A predictor with class activation maps, such as a model bundle."""

    @property
    def has_heat_maps(self) -> bool:
        """Return whether the architecture has class activation maps."""

    def heat_maps(
        self, images: npt.NDArray[np.uint8], classes: npt.NDArray[np.intp]
    ) -> npt.NDArray[np.float32]:
        """Return the map of one class for each image, (n, h, w), values of at least 0."""


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """Results for one image.

    Attributes:
        file: Name of the uploaded file.
        image_id: SHA-256 hash of the file.
        prediction: Class, probabilities, prediction set and unknown score.
        probabilities: Class and probability, the most probable class first.
        uncertain_reason: Why the image is referred to a clinician, or None.
        unknown_reason: Why the image may belong to none of the classes, or None.
        image_url: The image as a data URL, without the metadata of the file.
        metadata: Name and value of the clinical metadata that were entered and that the model
            knows; None if the model uses images only.
        map_url: The class activation map of the predicted class as a data URL. None if the
            architecture has no such maps, or if no region raises the score of the class.
        lesions: The lesions that were found; None without a localizer.
        shown_boxes: Their boxes in the shown part of the image, (left, top, width, height) in
            percent; without those outside of it.
        mask_url: The soft mask of the lesions as a data URL, or None.
    """

    file: str
    image_id: str
    prediction: Prediction
    probabilities: tuple[tuple[str, float], ...]
    uncertain_reason: str | None
    unknown_reason: str | None
    image_url: str
    metadata: tuple[tuple[str, str], ...] | None
    map_url: str | None
    lesions: FoundLesions | None
    shown_boxes: tuple[tuple[float, float, float, float], ...]
    mask_url: str | None

    @property
    def confidence(self) -> float:
        """Probability of the predicted class."""
        return dict(self.probabilities)[self.prediction.predicted]


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A file without results, and the reason.

    Attributes:
        file: Name of the uploaded file.
        image_id: SHA-256 hash of the file; None if the file was not read completely.
        reason: One or two sentences.
    """

    file: str
    image_id: str | None
    reason: str


Result = Analysis | Rejection


class Analyzer:
    """Analyzes images with one model."""

    def __init__(self, predictor: MapPredictor) -> None:
        self._predictor = predictor
        self._postprocessor = Postprocessor(predictor.description)

    @property
    def description(self) -> ModelDescription:
        """The model."""
        return self._predictor.description

    @property
    def has_maps(self) -> bool:
        """Whether the architecture has class activation maps."""
        return self._predictor.has_heat_maps

    def add(
        self,
        uploads: Sequence[Upload],
        earlier: Sequence[Result],
        metadata: Mapping[str, object] | None = None,
    ) -> list[Result]:
        """Return the results of uploads and then the earlier results.

        Of more than ``MAX_IMAGES`` files in total, the last uploads are rejected.

        Args:
            uploads: New files.
            earlier: Results that are already on the page.
            metadata: Clinical metadata of the new files, by column.
        """
        room = max(0, MAX_IMAGES - len(earlier))
        too_many = (
            f"The page shows at most {MAX_IMAGES} images. Remove all images, then upload this one "
            "again."
        )
        results = [self.analyze(upload, metadata) for upload in uploads[:room]]
        rejected = [
            Rejection(file=upload.file, image_id=None, reason=too_many) for upload in uploads[room:]
        ]
        return [*results, *rejected, *earlier]

    def analyze(self, upload: Upload, metadata: Mapping[str, object] | None = None) -> Result:
        """Return the results for one file, or why there are none."""
        if upload.data is None:
            reason = "The upload is incomplete. Upload the file again."
            return Rejection(file=upload.file, image_id=None, reason=reason)
        if upload.size > MAX_FILE_BYTES:
            reason = (
                f"The file has {format_bytes(upload.size)}, and the limit is "
                f"{format_bytes(MAX_FILE_BYTES)}. Save the image as JPEG or with fewer pixels."
            )
            return Rejection(file=upload.file, image_id=None, reason=reason)
        image_id = hashlib.sha256(upload.data).hexdigest()
        try:
            stored = read_pixels(upload.data)
            pixels = self._predictor.read(upload.data)
            lesions = self._lesions(upload.data)
            if lesions is not None and self.description.has_crops:
                pixels = self._predictor.crop(pixels, lesions)
        except UnreadableImageError as error:
            reason = f"The file is not a readable image: {error}."
            return Rejection(file=upload.file, image_id=image_id, reason=reason)
        table = None if metadata is None else pd.DataFrame([metadata], dtype=object)
        outputs = self._predictor.outputs(pixels[None])
        [prediction] = self._postprocessor.predictions(outputs, table)
        classes, preprocessing = self.description.classes, self.description.preprocessing
        ranked = np.argsort(-np.array(prediction.probabilities), kind="stable")
        return Analysis(
            file=upload.file,
            image_id=image_id,
            prediction=prediction,
            probabilities=tuple((classes[c], prediction.probabilities[c]) for c in ranked),
            uncertain_reason=self._uncertain_reason(prediction),
            unknown_reason=self._unknown_reason(prediction),
            image_url=jpeg_url(shown_pixels(stored, preprocessing, lesions)),
            metadata=_used_metadata(prediction, metadata),
            map_url=self._map_url(pixels, prediction),
            lesions=lesions,
            shown_boxes=() if lesions is None else shown_boxes(lesions, preprocessing),
            mask_url=None if lesions is None else mask_url(lesions, preprocessing),
        )

    def _lesions(self, data: bytes) -> FoundLesions | None:
        finder = self._predictor.lesion_finder
        if finder is None:
            return None
        [found] = finder.find([finder.read(data)])
        return found

    def _map_url(self, pixels: npt.NDArray[np.uint8], prediction: Prediction) -> str | None:
        if not self.has_maps:
            return None
        number = np.array([self.description.classes.index(prediction.predicted)], np.intp)
        [values] = self._predictor.heat_maps(pixels[None], number)
        return map_url(values)

    def _uncertain_reason(self, prediction: Prediction) -> str | None:
        if "uncertain" not in prediction.referral_reasons:
            return None
        fitted = self.description.postprocessing.referral
        if fitted.min_confidence is None or fitted.accuracy is None:
            return (
                f"The model has no referral threshold, so each image is referred: {fitted.reason}."
            )
        return (
            "The model is uncertain: the probability of the predicted class is below "
            f"{whole_percent(fitted.min_confidence)}. Above this threshold, "
            f"{whole_percent(fitted.accuracy)} of the validation images were classified correctly."
        )

    def _unknown_reason(self, prediction: Prediction) -> str | None:
        if not prediction.is_unknown:
            return None
        threshold = self.description.postprocessing.unknown_score.threshold
        return (
            "The image does not resemble the training images: its unknown score is "
            f"{prediction.unknown_score:.3g}, and the threshold is {threshold:.3g}. The "
            "probabilities below are not reliable, so a clinician must look at the image."
        )


def _used_metadata(
    prediction: Prediction, metadata: Mapping[str, object] | None
) -> tuple[tuple[str, str], ...] | None:
    missing = prediction.missing_metadata
    if missing is None:
        return None
    return tuple((n, str(value)) for n, value in (metadata or {}).items() if n not in missing)
