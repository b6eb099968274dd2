"""Lesion annotations: boxes and masks of the images of an image table.

``read_annotations`` finds the format of a file or folder, matches the annotations to the images and
lists the annotations that cannot be used. The module of each format also writes boxes:

- ``mask_folder``: masks as in the ISIC challenges, which are only read
- ``yolo``: text files
- ``coco``: JSON
- ``voc``: XML
- ``table``: CSV
"""

from skin_lesions.data.annotations.coco import write_coco
from skin_lesions.data.annotations.masks import boxes_of_mask
from skin_lesions.data.annotations.model import AnnotationProblem, Annotations, Lesions
from skin_lesions.data.annotations.reading import read_annotations
from skin_lesions.data.annotations.table import write_csv
from skin_lesions.data.annotations.voc import write_voc
from skin_lesions.data.annotations.yolo import write_yolo

__all__ = [
    "AnnotationProblem",
    "Annotations",
    "Lesions",
    "boxes_of_mask",
    "read_annotations",
    "write_coco",
    "write_csv",
    "write_voc",
    "write_yolo",
]
