"""Near-duplicate detection: pairs of images with one origin but different bytes, and their groups.

The search has several steps, each stricter and more expensive than the one before. ``features``
computes the local features and a thumbnail of each image. ``global_descriptors`` and
``local_matching`` propose a few candidate pairs per image. ``verification`` aligns the two images
of each candidate pair and compares them. ``clustering`` merges the verified pairs into groups.
``config`` has all constants. docs/algorithms/near-duplicates.md describes the algorithm.
"""

from skin_lesions.data.near_duplicates.clustering import merge_pairs
from skin_lesions.data.near_duplicates.config import NearDuplicateConfig
from skin_lesions.data.near_duplicates.search import find_near_duplicates

__all__ = ["NearDuplicateConfig", "find_near_duplicates", "merge_pairs"]
