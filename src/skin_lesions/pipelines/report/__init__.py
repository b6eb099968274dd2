"""The pipeline `report`."""

from skin_lesions.pipelines.report.pipeline import create_pipeline

__all__ = ["create_pipeline"]
