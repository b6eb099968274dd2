"""Parameters of `metadata`: columns of the image table that the model uses beside the image."""

from typing import Literal

from pydantic import field_validator

from skin_lesions.config.base import ParameterGroup, as_list

ColumnType = Literal["numeric", "categorical", "text"]
ALL = "all"


class MetadataInputs(ParameterGroup):
    """Columns that the model uses. ``columns`` is None for no column, and ``("all",)`` for all."""

    columns: tuple[str, ...] | None
    types: dict[str, ColumnType]
    equalize_missing: bool

    @field_validator("columns", mode="before")
    @classmethod
    def _to_tuple(cls, value: object) -> object:
        return None if value is None else as_list(value)

    @field_validator("columns")
    @classmethod
    def _check_names(cls, columns: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if columns is None:
            return None
        if not columns:
            raise ValueError("is an empty list; expected names of columns, all, or null")
        repeated = sorted({name for name in columns if columns.count(name) > 1})
        if repeated:
            raise ValueError(f"lists {', '.join(repeated)} more than once")
        if ALL in columns and len(columns) > 1:
            raise ValueError("contains all together with names; expected either of them")
        return columns

    @property
    def all_columns(self) -> bool:
        """Whether all suitable columns of the image table are used."""
        return self.columns == (ALL,)
