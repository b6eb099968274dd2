"""Files of a model bundle: names, checksums, and everything about the model except its weights.

Importing this module does not import torch.
"""

import csv
import hashlib
import io
import json
import re
from collections.abc import Iterable
from pathlib import Path

from pydantic import JsonValue, ValidationError

from skin_lesions.core.errors import InputError
from skin_lesions.core.text import printable
from skin_lesions.models.localization.localizer_model import LOCALIZER_FORMAT, Localizer
from skin_lesions.models.trained_model import FORMAT, TrainedModel

CONFIG = "config.json"  # as timm and the Hugging Face Hub read it
MODEL = "model.json"
WEIGHTS = "model.safetensors"
NETWORK = "model.onnx"
MANIFEST = "split_manifest.csv"
CARD = "README.md"
LICENSES = "LICENSES.md"
SCRIPT = "predict.py"
CHECKSUMS = "SHA256SUMS"
FILES = (CONFIG, MODEL, WEIGHTS, NETWORK, MANIFEST, CARD, LICENSES, SCRIPT)
# Of a bundle with a localizer. One with a constant box has no network.
LOCALIZER = "localizer.json"
LESION_NETWORK = "localizer.onnx"
LESION_SCRIPT = "lesions.py"  # used by SCRIPT

MISSING_EXTRA = (
    "A model bundle requires {}, which is not installed. Fix: install the extra export: "
    "pip install 'skin-lesions[export]'"
)
_OPTIONAL = (LOCALIZER, LESION_NETWORK, LESION_SCRIPT)
_MANIFEST_COLUMNS = ["image_id", "split"]
_LINE = re.compile(r"([0-9a-f]{64}) [ *]([\w.-]+)")  # the format of sha256sum
REMEDY = "Get a complete copy of the bundle, or create it again: kedro run --pipelines export"


def is_bundle(path: Path) -> bool:
    """Return whether a path is the folder of a model bundle, complete or not."""
    return path.is_dir() and any((path / name).is_file() for name in (CHECKSUMS, MODEL))


def write_checksums(folder: Path) -> None:
    """Write the SHA-256 hash of each file, in the format of ``sha256sum``."""
    names = [*FILES, *(name for name in _OPTIONAL if (folder / name).is_file())]
    lines = [f"{_sha256(folder / name)}  {name}\n" for name in sorted(names)]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8", newline="\n")


def verify_checksums(folder: Path) -> None:
    """Check that all files of a bundle exist and have their original content.

    Other files in the folder are ignored, because nothing reads them.

    Raises:
        InputError: A file is missing or has changed, or the list of checksums is damaged. The
            message has its name.
    """
    expected = _read_checksums(folder)
    names = (*FILES, *(name for name in _OPTIONAL if name in expected))
    for name in names:
        path = folder / name
        if name not in expected or not path.is_file():
            where = f"{CHECKSUMS} does not list it" if path.is_file() else "it does not exist"
            raise InputError(
                f"{printable(folder)} is not a complete model bundle: {name} is missing ({where}). "
                f"{REMEDY}"
            )
        if _sha256(path) != expected[name]:
            raise InputError(
                f"{printable(path)} has changed: it does not match its SHA-256 hash in "
                f"{CHECKSUMS}. {REMEDY}. If the change is yours: sha256sum "
                f"{' '.join(sorted(names))} > {CHECKSUMS}"
            )


def _read_checksums(folder: Path) -> dict[str, str]:
    """Return the SHA-256 hash of each listed file."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not UTF-8"
        raise InputError(
            f"{printable(folder)} is not a model bundle: {CHECKSUMS} cannot be read ({reason}). "
            f"Expected a folder that kedro run --pipelines export wrote"
        ) from None
    matches = [_LINE.fullmatch(line) for line in lines]
    return {match[2]: match[1] for match in matches if match}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def manifest_text(rows: Iterable[tuple[str, str]]) -> str:
    """Return the split manifest as CSV: image_id and split of each image, and nothing else."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_MANIFEST_COLUMNS)
    writer.writerows(rows)
    return text.getvalue()


def model_text(model: TrainedModel, checksum: str) -> str:
    """Return everything that a model file contains, except tensors and image ids, as JSON.

    Args:
        model: The model.
        checksum: Checksum of its complete content, as in the model file.
    """
    content = model.model_dump(mode="json", exclude={"train_image_ids", "val_image_ids"})
    head = {"format": FORMAT, "checksum": checksum, "version": model.version}
    return json.dumps({**head, **content}, indent=2, ensure_ascii=False) + "\n"


def read_content(folder: Path) -> dict[str, JsonValue]:
    """Return the content of the model file of a bundle, except the tensors.

    The image ids are those of the split manifest. Call ``verify_checksums`` before.

    Raises:
        InputError: A file cannot be read, or has another format.
    """
    try:
        content = json.loads((folder / MODEL).read_text(encoding="utf-8"))
        rows = list(csv.reader(io.StringIO((folder / MANIFEST).read_text(encoding="utf-8"))))
    except (OSError, ValueError, csv.Error, RecursionError) as error:
        raise InputError(
            f"{printable(folder)} is not a model bundle: {printable(error)}. {REMEDY}"
        ) from None
    is_table = rows[:1] == [_MANIFEST_COLUMNS] and all(len(row) == 2 for row in rows)
    if not isinstance(content, dict) or not is_table:
        raise InputError(
            f"{printable(folder)} is not a model bundle: {MODEL} or {MANIFEST} has another format. "
            f"{REMEDY}"
        )
    ids = {split: sorted(i for i, of in rows[1:] if of == split) for split in ("train", "val")}
    return {**content, "train_image_ids": ids["train"], "val_image_ids": ids["val"]}


def read_metadata(folder: Path) -> TrainedModel:
    """Return the model of a bundle without tensors. Call ``verify_checksums`` before.

    Raises:
        InputError: As for ``read_content``.
    """
    content = read_content(folder)
    if content.pop("format", None) != FORMAT:
        raise InputError(
            f"{printable(folder)} was written by another version of skin-lesions. Expected format "
            f"{FORMAT} of {MODEL}. {REMEDY}"
        )
    content.pop("checksum", None)
    try:
        return TrainedModel.model_validate({**content, "state_dict": {}})
    except ValidationError as error:
        raise _invalid(folder / MODEL, error) from None


def localizer_text(localizer: Localizer) -> str:
    """Return everything about a localizer except its tensors and image ids, as JSON."""
    content = localizer.model_dump(mode="json", exclude={"train_image_ids", "val_image_ids"})
    head = {"format": LOCALIZER_FORMAT, "version": localizer.version}
    return json.dumps(head | content, indent=2, ensure_ascii=False) + "\n"


def read_localizer_metadata(folder: Path) -> Localizer | None:
    """Return the localizer of a bundle without tensors, or None if the bundle has none.

    Call ``verify_checksums`` before.

    Raises:
        InputError: The file cannot be read, or has another format.
    """
    listed = _read_checksums(folder)
    if LOCALIZER not in listed:
        return None
    path = folder / LOCALIZER
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("format") != LOCALIZER_FORMAT:
            raise ValueError(f"it does not have format {LOCALIZER_FORMAT}")
        localizer = Localizer.model_validate({**content, "state_dict": {}})
        if localizer.box is None and LESION_NETWORK not in listed:
            raise ValueError(f"{CHECKSUMS} does not list {LESION_NETWORK}, which it needs")
        return localizer
    except ValidationError as error:  # also a ValueError
        raise _invalid(path, error) from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{printable(path)} cannot be read: {printable(error)}. {REMEDY}"
        ) from None


def _invalid(path: Path, error: ValidationError) -> InputError:
    problem = error.errors()[0]
    name = ".".join(map(str, problem["loc"]))
    return InputError(
        f"{printable(path)} is not valid: {printable(name)}: {problem['msg']}. {REMEDY}"
    )


def read_head_name(path: Path) -> str:
    """Return the name of the linear head of the network from ``config.json``.

    Raises:
        InputError: The file has another format.
    """
    try:
        name = json.loads(path.read_text(encoding="utf-8"))["pretrained_cfg"]["classifier"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{printable(path)} cannot be read: {printable(error)}") from None
    return str(name)
