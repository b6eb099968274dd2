"""Clinical metadata of the training images: columns, missing values, and the models of them."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from skin_lesions.audit.shortcuts.findings import predictive_columns
from skin_lesions.audit.shortcuts.probes import probe_missingness
from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.equal_missingness import equalize_missing
from skin_lesions.data.image_table import rows_of_images
from skin_lesions.data.metadata_columns import select_columns
from skin_lesions.data.tabular import (
    MetadataEncoder,
    fit_encoder,
    infer_type,
    reason_without_information,
)
from skin_lesions.models.postprocessing.metadata_fusion import MetadataFusion, fit_metadata_model
from skin_lesions.training.network_metadata import NetworkMetadata

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ClinicalMetadata:
    """Clinical metadata to fit a model on.

    Attributes:
        train: One row per training image: label and the columns, with equal missing rates.
        val: The same of the validation images, with the values as they are.
        encoder: Encoder of the columns, fitted on ``train``.
        predictive_missingness: Columns whose missing values predict the class.
        equalized: Whether the missing rates of these columns were made equal over the classes.
    """

    train: pd.DataFrame
    val: pd.DataFrame
    encoder: MetadataEncoder
    predictive_missingness: tuple[str, ...]
    equalized: bool

    def network_inputs(self) -> NetworkMetadata:
        """Return the encoded metadata for a training of network and metadata together."""
        train, val = (
            self.encoder.encode(rows).values.astype(np.float32) for rows in (self.train, self.val)
        )
        return NetworkMetadata(columns=self.encoder.names, train=train, val=val)

    def late_fusion(self, classes: Sequence[str]) -> MetadataFusion:
        """Fit the model of late fusion. Its weight is still 0."""
        return self._with_missingness(fit_metadata_model(self.encoder, self.train, classes))

    def trained_fusion(self, coefficients: NDArray[np.float64]) -> MetadataFusion:
        """Return the model with coefficients, (k, width), of a network. Its weight is still 0."""
        rows = tuple(map(tuple, coefficients.tolist()))
        return self._with_missingness(
            MetadataFusion(encoder=self.encoder, coefficients=rows, method="concat")
        )

    def _with_missingness(self, model: MetadataFusion) -> MetadataFusion:
        return replace(
            model,
            predictive_missingness=self.predictive_missingness,
            equalized=self.equalized,
        )


def prepare_metadata(
    split_table: pd.DataFrame,
    image_table: pd.DataFrame,
    metadata: MetadataInputs,
    train: TrainRecipe,
) -> ClinicalMetadata | None:
    """Select the columns, make their missing rates equal if necessary, and fit the encoder.

    Args:
        split_table: Rows of the split table, sorted by file.
        image_table: The image table.
        metadata: Parameters ``metadata``.
        train: Parameters ``train``.

    Returns:
        The metadata; None without ``metadata.columns`` or with ``train.fusion=none``.

    Raises:
        InputError: A column cannot be used.
    """
    if metadata.columns is None or train.fusion == "none":
        return None
    images, val = (
        _labeled_images(split_table[split_table["split"] == split], image_table)
        for split in ("train", "val")
    )
    columns = select_columns(images, metadata)
    predictive = predictive_columns(probe_missingness(images, columns, train.seed))
    if predictive:
        _log_missingness(predictive, equalized=metadata.equalize_missing)
        if metadata.equalize_missing:
            images = equalize_missing(images, predictive, train.seed)
            columns = _columns_with_values(images, columns, metadata)
    return ClinicalMetadata(
        train=images,
        val=val,
        encoder=fit_encoder(images, columns, metadata.types),
        predictive_missingness=predictive,
        equalized=metadata.equalize_missing,
    )


def _labeled_images(rows: pd.DataFrame, image_table: pd.DataFrame) -> pd.DataFrame:
    return rows_of_images(rows, image_table).assign(
        label=rows["label"].to_numpy(), group_id=rows["group_id"].to_numpy()
    )


def _log_missingness(columns: Sequence[str], *, equalized: bool) -> None:
    names = ", ".join(map(printable, columns))
    if equalized:
        log.info(
            "Missing values of %s predict the class: training values are dropped at random", names
        )
    else:
        log.warning(
            "Missing values of %s predict the class, and metadata.equalize_missing is false. A "
            "model must not learn the class from what is missing",
            names,
        )


def _columns_with_values(
    equalized: pd.DataFrame, columns: Sequence[str], metadata: MetadataInputs
) -> tuple[str, ...]:
    """Return the columns that still have information after their missing rates were made equal.

    Raises:
        InputError: There is none, or a named column has none.
    """
    kept = []
    for name in columns:
        kind = metadata.types.get(name) or infer_type(name, equalized[name])
        if reason_without_information(name, equalized[name], kind) is None:
            kept.append(name)
        elif metadata.all_columns:
            log.warning(
                "Metadata column %s is not used: a class has hardly any of its values, so with "
                "equal missing rates all classes would have hardly any",
                printable(name),
            )
        else:
            raise InputError(
                f"The metadata column {printable(name)} has hardly any values in a class, so with "
                "equal missing rates (metadata.equalize_missing) all classes would have hardly "
                "any. Fix: remove it from metadata.columns, or add the missing values to the table"
            )
    if not kept:
        raise InputError(
            "No metadata column has values in all classes, so none can be used with equal missing "
            "rates (metadata.equalize_missing). Fix: set metadata.columns to null"
        )
    return tuple(kept)
