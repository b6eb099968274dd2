"""The pipeline `ingest`."""

from skin_lesions.pipelines.ingest.pipeline import READ_SOURCE, create_pipeline

__all__ = ["READ_SOURCE", "create_pipeline"]
