"""Predictions of many files, in batches: threads read and decode while the network computes.

Memory use does not grow with the number of files, except for their names.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from pydantic import TypeAdapter

from skin_lesions import __version__
from skin_lesions.core.parallel import ordered_map
from skin_lesions.core.text import encodable, printable
from skin_lesions.data.image_files import UnreadableImageError
from skin_lesions.deployment.decisions import Postprocessor
from skin_lesions.deployment.images import ImageFiles
from skin_lesions.deployment.lesions import FoundLesions, LesionInput
from skin_lesions.deployment.predictor import ModelDescription, Predictor
from skin_lesions.deployment.rows import PredictionRow

T = TypeVar("T")


@dataclass(frozen=True)
class PredictionRun:
    """Files to predict with a model.

    Attributes:
        predictor: The model.
        files: The files.
        batch_size: Number of images per batch.
        metadata: Row of clinical metadata of each file, indexed by its name. None: the images
            alone.
    """

    predictor: Predictor
    files: ImageFiles
    batch_size: int
    metadata: pd.DataFrame | None = None

    @property
    def names(self) -> Iterator[str]:
        """The names of all files, as in the rows."""
        return map(encodable, self.files.names)

    def batches(self, start: int = 0) -> Iterator[list[PredictionRow]]:
        """Yield the rows of all files in order, in batches.

        Args:
            start: Number of files at the start that are left out.
        """
        postprocessor = Postprocessor(self.predictor.description)
        names = islice(self.files.names, start, None)
        for batch in _batched(ordered_map(self._read, names, 2 * self.batch_size), self.batch_size):
            yield self._predict(batch, postprocessor)

    def _read(self, name: str) -> "_ReadFile":
        try:
            data = self.files.read(name)
        except OSError as error:
            return _ReadFile(name, error=f"could not be opened: {error.strerror or error}")
        image_id = hashlib.sha256(data).hexdigest()
        finder = self.predictor.lesion_finder
        try:
            lesion_input = None if finder is None else finder.read(data)
            return _ReadFile(name, image_id, self.predictor.read(data), lesion_input)
        except UnreadableImageError as error:
            return _ReadFile(name, image_id, error=str(error))

    def _predict(
        self, files: "list[_ReadFile]", postprocessor: Postprocessor
    ) -> list[PredictionRow]:
        images = [file.pixels for file in files if file.pixels is not None]
        found = self._lesions(files)
        if self.predictor.description.has_crops:
            pairs = zip(images, found, strict=True)
            images = [self.predictor.crop(square, lesions) for square, lesions in pairs]
        names = [file.name for file in files if file.pixels is not None]
        metadata = None if self.metadata is None else self.metadata.loc[names]
        predictions = iter(
            postprocessor.predictions(self.predictor.outputs(np.stack(images)), metadata)
            if images
            else ()
        )
        lesions = iter(found)
        return [
            PredictionRow(
                file=encodable(file.name),
                image_id=file.image_id,
                prediction=None if file.pixels is None else next(predictions),
                error=None if file.error is None else printable(file.error),
                model_version=self.predictor.description.version,
                lesions=None if file.lesion_input is None else next(lesions),
            )
            for file in files
        ]

    def _lesions(self, files: "list[_ReadFile]") -> list[FoundLesions]:
        finder = self.predictor.lesion_finder
        inputs = [file.lesion_input for file in files if file.lesion_input is not None]
        return [] if finder is None or not inputs else finder.find(inputs)

    def fingerprint(self) -> str:
        """Return a hash of everything that determines the rows, 16 hex digits.

        These are the model, this package, the metadata, and the name, size and time of change of
        each file.
        """
        description = TypeAdapter(ModelDescription).dump_python(
            self.predictor.description, mode="json"
        )
        model = [__version__, type(self.predictor).__name__, description, self.batch_size]
        digest = hashlib.sha256(json.dumps(model, sort_keys=True).encode())
        if self.metadata is not None:
            digest.update(self.metadata.to_csv().encode(errors="surrogateescape"))
        digest.update(str(self.files.folder).encode(errors="surrogateescape"))
        for name in self.files.names:
            path = self.files.folder / name
            try:
                status = path.stat()
            except OSError:  # a broken link, for example
                state = "missing"
            else:
                state = f"{status.st_size} {status.st_mtime_ns}"
            digest.update(f"\0{name}\0{state}".encode(errors="surrogateescape"))
        return digest.hexdigest()[:16]


@dataclass(frozen=True)
class _ReadFile:
    """A file that a thread has read: its pixels, or the reason why it is unreadable."""

    name: str
    image_id: str | None = None
    pixels: npt.NDArray[np.uint8] | None = None
    lesion_input: LesionInput | None = None
    error: str | None = None


def _batched(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Yield the items in lists of this size; the last one may be shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
