"""Model of the clinical metadata for late fusion: columns, missing values and fit."""

import logging
from collections.abc import Sequence
from dataclasses import replace

import pandas as pd

from skin_lesions.audit.shortcuts.findings import predictive_columns
from skin_lesions.audit.shortcuts.probes import probe_missingness
from skin_lesions.config.metadata import MetadataInputs
from skin_lesions.config.train import TrainRecipe
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.data.equal_missingness import equalize_missing
from skin_lesions.data.image_table import rows_of_images
from skin_lesions.data.metadata_columns import select_columns
from skin_lesions.data.tabular import fit_encoder, infer_type, reason_without_information
from skin_lesions.models.postprocessing.metadata_fusion import MetadataFusion, fit_metadata_model

log = logging.getLogger(__name__)


def fit_metadata(
    split_table: pd.DataFrame,
    image_table: pd.DataFrame,
    metadata: MetadataInputs,
    train: TrainRecipe,
) -> MetadataFusion | None:
    """Fit the model of the clinical metadata on the train rows. Its weight is still 0.

    Args:
        split_table: Rows of the split table, sorted by file.
        image_table: The image table.
        metadata: Parameters ``metadata``.
        train: Parameters ``train``.

    Returns:
        The model; None without ``metadata.columns`` or with ``train.fusion=none``.

    Raises:
        InputError: A column cannot be used.
    """
    if metadata.columns is None or train.fusion == "none":
        return None
    rows = split_table[split_table["split"] == "train"]
    images = rows_of_images(rows, image_table).assign(
        label=rows["label"].to_numpy(), group_id=rows["group_id"].to_numpy()
    )
    columns = select_columns(images, metadata)
    predictive = predictive_columns(probe_missingness(images, columns, train.seed))
    if predictive:
        _log_missingness(predictive, equalized=metadata.equalize_missing)
        if metadata.equalize_missing:
            images = equalize_missing(images, predictive, train.seed)
            columns = _columns_with_values(images, columns, metadata)
    classes = sorted(split_table["label"].unique())
    return replace(
        fit_metadata_model(fit_encoder(images, columns, metadata.types), images, classes),
        predictive_missingness=predictive,
        equalized=metadata.equalize_missing,
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
