"""The pipeline `external`."""

from skin_lesions.pipelines.external.pipeline import EVALUATE, READ_SOURCE, create_pipeline

__all__ = ["EVALUATE", "READ_SOURCE", "create_pipeline"]
