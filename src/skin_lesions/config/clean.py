"""Parameters of `clean`."""

from typing import Annotated

from pydantic import Field

from skin_lesions.config.base import ParameterGroup


class Clean(ParameterGroup):
    """The folder of a cleaned copy (None: no copy), and how its files are made."""

    output: Annotated[str, Field(min_length=1)] | None
    hard_links: bool
