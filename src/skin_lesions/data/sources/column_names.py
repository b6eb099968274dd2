"""Column names of public metadata tables: image names, lesion, patient, age, sex and site.

Source:
    The tables of HAM10000, BCN20000, the ISIC Archive, the ISIC challenges of 2019 and 2020,
    PAD-UFES-20, Fitzpatrick17k, DDI, Derm7pt, PH2, MRA-MIDAS and SCIN.
"""

import re
from collections.abc import Iterable

# Columns with the names or paths of the images; the first one in a table is used.
KEY_COLUMNS = (
    "file",
    "image",
    "image_id",
    "isic_id",
    "img_id",  # PAD-UFES-20
    "image_name",  # ISIC 2020, PH2
    "file_name",
    "filename",
    "bcn_filename",  # BCN20000
    "midas_file_name",  # MRA-MIDAS
    "ddi_file",  # DDI
    "md5hash",  # Fitzpatrick17k
    "derm",  # Derm7pt; its clinical photographs are in the column clinic
    "image_1_path",  # SCIN
)
# Name in this project -> names in public tables; the first one in a table is renamed.
ALIASES = {
    # A case of Derm7pt or SCIN has several images of one lesion.
    "lesion_id": ("lesion_id", "case_num", "case_id"),
    "patient_id": ("patient_id", "subject_id", "midas_record_id"),
    "age": ("age", "age_approx", "midas_age"),
    "sex": ("sex", "gender", "sex_at_birth", "midas_gender"),
    "site": (
        "site",
        "anatom_site_general",  # ISIC Archive, ISIC 2019, BCN20000
        "anatom_site_general_challenge",  # ISIC 2020
        "localization",  # HAM10000
        "location",  # Derm7pt
        "region",  # PAD-UFES-20
        "midas_location",
    ),
    "fitzpatrick": (
        "fitzpatrick",
        "fitzpatrick_scale",  # Fitzpatrick17k
        "fitzpatrick_skin_type",  # SCIN
        "fitspatrick",  # PAD-UFES-20, misspelled there
        "midas_fitzpatrick",
    ),
}


def find_column(names: Iterable[str], columns: Iterable[str]) -> str | None:
    """Return the column with the first of these names that occurs, or None.

    Case, spaces and punctuation are ignored: ``Image_ID`` and ``image id`` are ``image_id``. A
    column with exactly the name takes precedence.
    """
    columns = list(columns)
    by_name: dict[str, str] = {}
    for column in columns:
        by_name.setdefault(re.sub(r"[\W_]+", "_", column.casefold()).strip("_"), column)
    by_name |= {column: column for column in columns}
    return next((by_name[name] for name in names if name in by_name), None)


def renamed_columns(columns: Iterable[str]) -> dict[str, str]:
    """Return the name in this project of each column that has another name for its content."""
    columns = list(columns)
    found = {name: find_column(aliases, columns) for name, aliases in ALIASES.items()}
    return {column: name for name, column in found.items() if column not in (None, name)}
