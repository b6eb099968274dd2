"""Return annotations of previews: kedro-viz selects the kind of a preview by their names.

kedro-datasets defines them in a private module. Only this module imports it.
"""

from kedro_datasets._typing import ImagePreview, JSONPreview, TablePreview

__all__ = ["ImagePreview", "JSONPreview", "TablePreview"]
