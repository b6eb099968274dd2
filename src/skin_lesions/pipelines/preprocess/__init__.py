"""The pipeline `preprocess`."""

from skin_lesions.pipelines.preprocess.pipeline import create_pipeline

__all__ = ["create_pipeline"]
