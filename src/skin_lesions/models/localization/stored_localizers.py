"""Selection of the stored localizer of a classifier."""

import logging
from pathlib import Path

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import pluralize
from skin_lesions.core.versions import StoredVersions, file_version
from skin_lesions.models.localization.localizer import check_classifier
from skin_lesions.models.localization.localizer_model import Localizer
from skin_lesions.models.model_file import content_checksum
from skin_lesions.models.trained_model import TrainedModel

log = logging.getLogger(__name__)

AUTO = "auto"


def select_localizer(
    reference: str | None, stored: StoredVersions[Localizer], model: TrainedModel, parameter: str
) -> Localizer | None:
    """Return the localizer that a parameter selects.

    A model of crops has its own localizer, which needs no selection.

    Args:
        reference: ``auto`` for the newest one of the classifier with the method ``dense``, a
            version or a path, or None. Other methods are baselines, so they must be named.
        stored: The stored localizers.
        model: The classifier.
        parameter: Name of the parameter, for messages.

    Returns:
        The localizer; None if none is wanted, with ``auto`` if the classifier has none, or for a
        model of crops.

    Raises:
        InputError: It does not exist, cannot be read, or belongs to another classifier.
    """
    if reference is None or (reference == AUTO and model.localizer is not None):
        return None
    sha256 = content_checksum({}, model.state_dict)
    if reference != AUTO:
        chosen = stored.select(reference, parameter)
        if (path := Path(reference)).is_file():
            chosen = chosen.with_version(file_version(path))
        check_classifier(chosen, sha256)
        return chosen
    for version in stored.versions:
        found = stored.load_version(version)
        if found.classifier_sha256 == sha256 and found.method == "dense":
            log.info("Localizer of the lesions: %s", version)
            return found
    if stored.versions:
        log.info(
            "%s of other models or methods: no lesion boxes. To fit one for this model: "
            "kedro run --pipelines localize",
            pluralize(len(stored.versions), "stored localizer"),
        )
    return None


def check_no_other_localizer(localizer: Localizer | None, model: TrainedModel) -> None:
    """Check that a model of crops gets no other localizer.

    Raises:
        InputError: It gets one.
    """
    if model.localizer is not None and localizer is not None:
        raise InputError(
            "The model classifies crops around the lesion and has its own localizer. Expected no "
            "other one. Fix: leave the localizer out (predict.localizer=auto, export.localizer="
            "auto, no --localizer)"
        )
