"""The pipeline `localize`."""

from skin_lesions.pipelines.localize.pipeline import create_pipeline

__all__ = ["create_pipeline"]
