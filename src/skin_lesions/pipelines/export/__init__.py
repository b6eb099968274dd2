"""The pipeline `export`."""

from skin_lesions.pipelines.export.pipeline import create_pipeline

__all__ = ["create_pipeline"]
