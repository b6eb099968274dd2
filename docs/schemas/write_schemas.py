"""Write the JSON schemas of the results: ``python docs/schemas/write_schemas.py``."""

import json
from pathlib import Path

from pydantic import BaseModel

from skin_lesions.audit.findings import AuditFindings
from skin_lesions.audit.model_findings import ModelFindings
from skin_lesions.data.provenance import (
    ExternalPredictionProvenance,
    ImageProvenance,
    MetricsProvenance,
    Origin,
    PredictionProvenance,
    SplitProvenance,
)
from skin_lesions.data.training_overlap import TrainingOverlap
from skin_lesions.evaluation.comparison import Comparison
from skin_lesions.evaluation.external import ExternalResults
from skin_lesions.evaluation.fusion import FusionResults
from skin_lesions.evaluation.localization import LocalizationResults
from skin_lesions.evaluation.malignancy import MalignancyResults
from skin_lesions.evaluation.robustness import RobustnessResult
from skin_lesions.evaluation.scorecard import Scorecard
from skin_lesions.evaluation.slices import SliceResults
from skin_lesions.evaluation.uncertainty import Uncertainty
from skin_lesions.evaluation.unknown import UnknownResults
from skin_lesions.models.trained_model import TrainedModel

SCHEMAS: dict[str, type[BaseModel]] = {
    "audit_findings": AuditFindings,
    "malignancy": MalignancyResults,
    "metrics": Scorecard,
    "model_findings": ModelFindings,
    "unknown": UnknownResults,
    "fusion": FusionResults,
    "localization": LocalizationResults,
    "robustness": RobustnessResult,
    "comparison": Comparison,
    "model": TrainedModel,  # the model file without format, checksum and state_dict
    "uncertainty": Uncertainty,
    "provenance_of_raw_images": Origin,
    "provenance_of_image_table": ImageProvenance,
    "provenance_of_split_table": SplitProvenance,
    "provenance_of_predictions": PredictionProvenance,
    "provenance_of_explained_images": MetricsProvenance,
    "slices": SliceResults,
    "external_metrics": ExternalResults,
    "external_overlap": TrainingOverlap,
    "provenance_of_external_predictions": ExternalPredictionProvenance,
}


def schema_text(model: type[BaseModel]) -> str:
    """Return the JSON schema of a model as it is written to its file."""
    return json.dumps(model.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    for name, model in SCHEMAS.items():
        path = Path(__file__).parent / f"{name}.schema.json"
        path.write_text(schema_text(model), encoding="utf-8")
