"""The pipeline `compare`."""

from skin_lesions.pipelines.compare.pipeline import COMPARE, create_pipeline

__all__ = ["COMPARE", "create_pipeline"]
