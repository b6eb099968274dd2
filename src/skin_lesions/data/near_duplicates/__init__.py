"""Finds images that are copies of one another although their bytes differ, and joins them.

Three steps, each stricter and dearer than the one before: ``features`` describes each image by
itself, ``whole`` and ``details`` propose a few pairs for each image, ``confirming`` lays one image
of a pair on the other and looks. ``joining`` makes groups of the confirmed pairs.
"""

from skin_lesions.data.near_duplicates.clustering import merge_pairs
from skin_lesions.data.near_duplicates.search import find_near_duplicates

__all__ = ["find_near_duplicates", "merge_pairs"]
