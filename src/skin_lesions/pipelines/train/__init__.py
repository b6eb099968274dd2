"""The pipeline `train`."""

from skin_lesions.pipelines.train.pipeline import FIT, create_pipeline

__all__ = ["FIT", "create_pipeline"]
