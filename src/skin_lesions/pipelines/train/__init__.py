"""The pipeline `train`."""

from skin_lesions.pipelines.train.pipeline import create_pipeline

__all__ = ["create_pipeline"]
