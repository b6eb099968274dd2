"""Kedro data sets: input and output only."""

from skin_lesions.datasets.checkpoints import CheckpointsDataset
from skin_lesions.datasets.figure import FigureDataset
from skin_lesions.datasets.json_model import JSONModelDataset
from skin_lesions.datasets.lesion_boxes import LesionBoxesDataset
from skin_lesions.datasets.localizer import LocalizerDataset
from skin_lesions.datasets.model import ModelDataset
from skin_lesions.datasets.model_bundle import ModelBundleDataset
from skin_lesions.datasets.new_predictions import NewPredictionsDataset
from skin_lesions.datasets.object_store import ObjectStoreDataset
from skin_lesions.datasets.pixel_store import PixelStoreDataset
from skin_lesions.datasets.predictor import PredictorDataset
from skin_lesions.datasets.raw_images import RawImagesDataset
from skin_lesions.datasets.safe_csv import SafeCSVDataset
from skin_lesions.datasets.stored_versions import NamedResultsDataset, StoredVersionsDataset
from skin_lesions.datasets.table import TableDataset
from skin_lesions.datasets.test_ledger import TestLedgerDataset
from skin_lesions.datasets.versioned import AtomicVersionedDataset

__all__ = [
    "AtomicVersionedDataset",
    "CheckpointsDataset",
    "FigureDataset",
    "JSONModelDataset",
    "LesionBoxesDataset",
    "LocalizerDataset",
    "ModelBundleDataset",
    "ModelDataset",
    "NamedResultsDataset",
    "NewPredictionsDataset",
    "ObjectStoreDataset",
    "PixelStoreDataset",
    "PredictorDataset",
    "RawImagesDataset",
    "SafeCSVDataset",
    "StoredVersionsDataset",
    "TableDataset",
    "TestLedgerDataset",
]
