"""The pipeline `audit`."""

from skin_lesions.pipelines.audit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
