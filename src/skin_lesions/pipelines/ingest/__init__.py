"""The pipeline `ingest`."""

from skin_lesions.pipelines.ingest.pipeline import create_pipeline

__all__ = ["create_pipeline"]
