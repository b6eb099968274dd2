"""Kedro data set of tables with provenance, as Parquet files."""

import json
from pathlib import Path
from typing import TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from kedro.io import AbstractDataset
from kedro.utils import load_obj
from pydantic import ValidationError

from skin_lesions.core.errors import InputError
from skin_lesions.data.provenance import Provenance
from skin_lesions.data.tables import ProvenanceTable
from skin_lesions.datasets.previews import TablePreview

_KEY = b"skin_lesions.provenance"  # in the metadata of the Parquet file

P = TypeVar("P", bound=Provenance)
Table = ProvenanceTable[Provenance]


class TableDataset(AbstractDataset[Table, Table]):
    """Saves a table and its provenance in one Parquet file.

    The provenance is JSON in the key-value metadata of the file, under the key
    ``skin_lesions.provenance``. Other readers of Parquet files ignore it.

    Args:
        filepath: The Parquet file.
        table: Import path of a subclass of ``ProvenanceTable``.
        metadata: For kedro-viz.
    """

    def __init__(self, *, filepath: str, table: str, metadata: dict[str, object] | None = None):
        self._path, self.metadata = Path(filepath), metadata
        self._type: type[Table] = load_obj(table)

    def load(self) -> Table:
        """Load the table and its provenance.

        Raises:
            InputError: The file has no provenance, or that of another version of this package.
        """
        frame, provenance = read_frame(self._path, self._type.provenance_type)
        return self._type(frame, provenance)

    def save(self, data: Table) -> None:
        """Save the table and its provenance."""
        write_frame(data.frame, data.provenance, self._path)

    def preview(self, nrows: int = 10) -> TablePreview:
        """Show the first rows in kedro-viz."""
        # Through JSON, because a column of lists is loaded as arrays.
        return TablePreview(json.loads(self.load().frame.head(nrows).to_json(orient="split")))

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, object]:
        return {"filepath": str(self._path), "table": self._type.__name__}


def write_frame(frame: pd.DataFrame, provenance: Provenance, path: Path) -> None:
    """Write a table without its index, with its provenance in the metadata of the file."""
    table = pa.Table.from_pandas(frame, preserve_index=False)
    metadata = {**(table.schema.metadata or {}), _KEY: provenance.model_dump_json().encode()}
    pq.write_table(table.replace_schema_metadata(metadata), path)


def read_frame(path: Path, provenance_type: type[P]) -> tuple[pd.DataFrame, P]:
    """Read a table and its provenance.

    Raises:
        InputError: The file has no provenance, or that of another version of this package.
    """
    table = pq.read_table(path, partitioning=None)
    try:
        provenance = provenance_type.model_validate_json(
            (table.schema.metadata or {}).get(_KEY, b"")
        )
    except ValidationError:
        raise InputError(
            f"{path} does not contain the provenance that this version of skin-lesions writes. "
            "Fix: create it again with kedro run --pipelines ingest,audit,preprocess "
            "(same --env and --params)"
        ) from None
    return table.to_pandas(), provenance
