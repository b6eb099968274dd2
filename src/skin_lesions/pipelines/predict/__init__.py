"""The pipeline `predict`."""

from skin_lesions.pipelines.predict.pipeline import PREDICT, create_pipeline

__all__ = ["PREDICT", "create_pipeline"]
