"""Values of clinical metadata in a common form, so that tables of several sources match.

Source:
    The values of sex and anatomical site in the ISIC Archive, HAM10000, BCN20000, PAD-UFES-20 and
    MRA-MIDAS. The general sites are those of the ISIC Archive (``anatom_site_general``).
"""

import re

from skin_lesions.core.text import normalize_name

_BOOLEANS = {"true": "yes", "false": "no", "y": "yes", "n": "no", "t": "yes", "f": "no"}
_SEX = {"f": "female", "m": "male", "woman": "female", "man": "male"}
# General site -> special sites and other names.
_SITES = {
    "anterior torso": ("chest", "abdomen", "breast"),
    "posterior torso": ("back", "upper back", "lower back", "buttocks", "buttock"),
    "lateral torso": ("flank",),
    "torso": ("trunk",),
    "head/neck": (
        *("head", "neck", "head neck", "head and neck", "face", "scalp", "ear", "nose", "lip"),
        *("forehead", "cheek", "eyelid"),
    ),
    "upper extremity": ("arm", "forearm", "hand", "shoulder", "upper limb", "upper limbs"),
    "lower extremity": ("leg", "thigh", "foot", "knee", "lower limb", "lower limbs"),
    "palms/soles": ("palm", "sole", "palms soles", "acral"),
    "oral/genital": ("genital", "genital areas", "oral genital", "mouth", "oral"),
}
_GENERAL_SITE = {
    name: site for site, names in _SITES.items() for name in (*names, site.replace("/", " "))
}


def canonical_value(column: str, cell: object) -> str:
    """Return a category in the form that is equal in all sources.

    Case, outer spaces and a zero after the decimal point are ignored. The columns ``sex`` and
    ``site`` have the values of the ISIC Archive. The cell must not be a missing value.

    >>> canonical_value("site", "BACK"), canonical_value("sex", "F"), canonical_value("itch", True)
    ('posterior torso', 'female', 'yes')
    """
    text = re.sub(r"^(-?\d+)\.0+$", r"\1", normalize_name(str(cell)).strip().casefold())
    if column == "sex":
        return _SEX.get(text, text)
    if column == "site":
        return _GENERAL_SITE.get(re.sub(r"[\W_]+", " ", text).strip(), text)
    return _BOOLEANS.get(text, text)
