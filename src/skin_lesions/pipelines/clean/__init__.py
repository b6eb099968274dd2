"""The pipeline `clean`."""

from skin_lesions.pipelines.clean.pipeline import COPY, create_pipeline

__all__ = ["COPY", "create_pipeline"]
