"""The pipeline `evaluate`."""

from skin_lesions.pipelines.evaluate.pipeline import create_pipeline

__all__ = ["create_pipeline"]
