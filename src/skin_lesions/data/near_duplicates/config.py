"""Constants of the near-duplicate search: value, unit, meaning and origin of each."""

from dataclasses import dataclass, field
from typing import TypeVar

Number = TypeVar("Number", int, float)

# How the values were found. No optimizer was used: they were set by hand, until the named benchmark
# or test met its aim. benchmarks/near_duplicates_constants.py measures other values.
QUALITY = "quality"  # recall and precision of benchmarks/near_duplicates.py
SPEED = "speed"  # time and memory of benchmarks/near_duplicates_scale.py, at equal quality
OVERLAYS = "overlays"  # common rims, frames, captions and rulers, in test_search.py
CHAINING = "chaining"  # simulated false matches, in test_search.py
CONVENTION = "convention"  # default of OpenCV, or a choice without effect on quality


def _constant(default: Number, unit: str, meaning: str, origin: str) -> Number:
    """Define a field. The table in docs/algorithms/near-duplicates.md is generated from it."""
    metadata = {"unit": unit, "meaning": meaning, "origin": origin}
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class NearDuplicateConfig:
    """Constants of the near-duplicate search. All defaults together give the measured quality.

    Coordinates and sizes of keypoints are in reference pixels: the image is scaled to an area of
    256 x 256 reference pixels. A gray level is one of 256. Each field is documented by its
    ``metadata``: unit, meaning and origin.
    """

    # Features of each image
    max_keypoints: int = _constant(
        500, "keypoints", "maximum per image: the strongest ones", QUALITY
    )
    detection_size: int = _constant(
        320, "pixels", "square root of the area of the image in which keypoints are found", QUALITY
    )
    contrast_threshold: float = _constant(
        0.01, "OpenCV unit", "minimum contrast of a SIFT keypoint; OpenCV uses 0.04", QUALITY
    )
    clahe_clip_limit: float = _constant(
        2.0, "relative", "maximum slope of the histogram equalization (CLAHE)", QUALITY
    )
    clahe_tiles: int = _constant(
        8, "tiles", "rows and columns of the histogram equalization (CLAHE)", CONVENTION
    )
    gray_size: int = _constant(256, "pixels", "width and height of the stored gray square", QUALITY)

    # Candidates by global descriptors
    dct_image_size: int = _constant(
        32, "pixels", "width and height of the image that is transformed (DCT)", QUALITY
    )
    dct_size: int = _constant(8, "frequencies", "lowest frequencies in each direction", QUALITY)
    min_contrast: float = _constant(
        1.0, "gray levels", "minimum RMS contrast; anything below is noise", OVERLAYS
    )
    min_cosine: float = _constant(
        0.98, "-1 to 1", "minimum cosine similarity of two global descriptors", QUALITY
    )
    max_global_candidates: int = _constant(4, "images", "maximum number of candidates", SPEED)
    global_block: int = _constant(
        256, "images", "images per block; each block is compared with all images", SPEED
    )
    global_tile: int = _constant(
        1024, "images", "images per matrix product; the result fits into the cache", SPEED
    )

    # Candidates by visual words
    max_voting_keypoints: int = _constant(
        400, "keypoints", "maximum that vote per image: the largest and strongest ones", QUALITY
    )
    max_voting_features: int = _constant(
        14_000_000, "keypoints", "maximum that vote in total; limits time and memory", SPEED
    )
    min_voting_keypoints: int = _constant(
        96, "keypoints", "minimum that vote per image, for any number of images", SPEED
    )
    vocabulary_images: int = _constant(
        1500, "images", "maximum number of images for fitting the vocabulary", SPEED
    )
    vocabulary_descriptors: int = _constant(
        150_000, "descriptors", "maximum number for fitting the vocabulary; limits memory", SPEED
    )
    vocabulary_seed: int = _constant(
        0, "seed", "seed of the choice of these descriptors and of the vocabulary", CONVENTION
    )
    word_axes: int = _constant(
        16, "axes", "leading principal axes of each part that define its words", QUALITY
    )
    descriptors_per_word: int = _constant(
        16, "descriptors", "mean number per word; constant, so that the cost is linear", SPEED
    )
    min_sample_per_word: int = _constant(
        8, "descriptors", "minimum number in the sample per word of a part", QUALITY
    )
    max_words_per_part: int = _constant(
        2048, "words", "maximum number of words of each part", SPEED
    )
    kmeans_iterations: int = _constant(5, "iterations", "Lloyd iterations of k-means", SPEED)
    word_tile: int = _constant(
        256, "descriptors", "descriptors per matrix product; fits into the cache", SPEED
    )
    max_hamming_distance: int = _constant(
        20, "bits of 64", "maximum distance of the signatures of a match", QUALITY
    )
    vote_sigma: float = _constant(
        12.0, "bits", "weight of a vote at distance d: exp(-(d / vote_sigma)²)", QUALITY
    )
    max_postings: int = _constant(
        500, "features", "a word with more features does not discriminate and is skipped", SPEED
    )
    rotation_bins: int = _constant(12, "bins", "bins of the rotation, 30 degrees each", QUALITY)
    max_octaves: int = _constant(
        2, "octaves", "larger changes of scale count as this one; bins of one octave", QUALITY
    )
    min_votes: float = _constant(0.4, "vote weights", "minimum sum of any candidate", QUALITY)
    many_votes: float = _constant(3.0, "vote weights", "minimum sum of a strong candidate", QUALITY)
    min_candidates: int = _constant(12, "images", "maximum number of weak candidates", SPEED)
    max_candidates: int = _constant(24, "images", "maximum number of candidates", SPEED)
    local_block: int = _constant(
        8192, "keypoints", "keypoints that vote per block of images; limits memory", SPEED
    )

    # Verification by structure, without local features
    structure_size: int = _constant(
        64, "pixels", "width and height of the structure image", QUALITY
    )
    structure_blur: float = _constant(
        4.0, "structure pixels", "standard deviation of the local mean that is removed", QUALITY
    )
    structure_margin: int = _constant(
        8, "structure pixels", "width of the border that is ignored", QUALITY
    )
    dark_level: int = _constant(
        40, "gray levels", "darker pixels are the rim of the dermatoscope, or empty", OVERLAYS
    )
    dark_margin: int = _constant(
        2, "structure pixels", "width of the border of dark areas that is ignored", OVERLAYS
    )
    clip_level: float = _constant(
        8.0,
        "gray levels",
        "limit of the structure; a sharp line must not outweigh the skin",
        QUALITY,
    )
    min_common_fraction: float = _constant(
        0.25, "fraction", "minimum fraction of pixels that are valid in both images", OVERLAYS
    )
    min_structural_correlation: float = _constant(
        0.9, "-1 to 1", "minimum correlation of two structure images", QUALITY
    )

    # Verification by local features
    lowe_ratio: float = _constant(
        0.85,
        "ratio",
        "maximum ratio of the distances to the nearest and second nearest descriptor; Lowe: 0.8",
        QUALITY,
    )
    ransac_threshold: float = _constant(
        4.0, "pixels", "maximum reprojection error of an inlier", QUALITY
    )
    ransac_iterations: int = _constant(1000, "iterations", "maximum number for RANSAC", SPEED)
    inlier_distance: int = _constant(
        2, "pixels", "inliers in one square of this size count once", QUALITY
    )
    min_inliers: int = _constant(
        4, "keypoints", "minimum number that agree with one affine map", QUALITY
    )
    inliers_of_half_strength: int = _constant(
        10, "keypoints", "m inliers give the strength m / (m + 10)", CONVENTION
    )
    min_scale: float = _constant(0.16, "factor", "minimum scale factor of the map", QUALITY)
    max_scale: float = _constant(6.0, "factor", "maximum scale factor of the map", QUALITY)
    max_anisotropy: float = _constant(
        3.0, "ratio", "maximum ratio of the two scale factors of the map", QUALITY
    )
    cell_size: int = _constant(16, "gray pixels", "width and height of a cell", OVERLAYS)
    fine_blur: float = _constant(
        1.5, "gray pixels", "standard deviation of the smaller Gaussian", QUALITY
    )
    coarse_blur: float = _constant(
        6.0, "gray pixels", "standard deviation of the larger Gaussian", QUALITY
    )
    overlap_margin: int = _constant(
        4, "gray pixels", "width of the border of the overlap that is ignored", OVERLAYS
    )
    min_cell_overlap: float = _constant(
        0.8, "fraction", "minimum fraction of a cell in both images", QUALITY
    )
    min_cell_contrast: float = _constant(
        0.5, "gray levels squared", "minimum product of the standard deviations in a cell", QUALITY
    )
    min_cells: int = _constant(
        8, "cells of 256", "minimum number in the coarser of the two images", QUALITY
    )
    min_cell_correlation: float = _constant(
        0.7, "-1 to 1", "minimum median correlation of the cells", OVERLAYS
    )
    min_noisy_cell_correlation: float = _constant(
        0.35, "-1 to 1", "the same, if the coarse structure is equal", QUALITY
    )
    min_coarse_correlation: float = _constant(
        0.95, "-1 to 1", "minimum correlation of the coarse structure of an overlap", OVERLAYS
    )
    min_coarse_pixels: int = _constant(
        8, "structure pixels", "minimum number that both images show", OVERLAYS
    )
    min_coarse_contrast: float = _constant(
        0.3, "gray levels", "minimum RMS contrast of the coarse structure", OVERLAYS
    )
    coarse_fine_blur: float = _constant(
        1.5, "structure pixels", "standard deviation of the smaller Gaussian", OVERLAYS
    )
    coarse_coarse_blur: float = _constant(
        5.0, "structure pixels", "standard deviation of the larger Gaussian", OVERLAYS
    )
    texture_contrast: float = _constant(
        8.0, "quartiles", "lines have more contrast than the lower quartile times this", OVERLAYS
    )
    line_passes: int = _constant(
        2, "passes", "repetitions of the search for lines; strong lines hide weaker ones", OVERLAYS
    )
    min_skin_fraction: float = _constant(
        0.25, "fraction", "minimum fraction of a structure pixel that is not lines", OVERLAYS
    )
    line_margin: int = _constant(
        2, "gray pixels", "width of the border of lines that is not texture", OVERLAYS
    )
    min_texture_contrast: float = _constant(
        0.1, "gray levels squared", "as min_cell_contrast, for the pixels without lines", OVERLAYS
    )
    min_texture_fraction: float = _constant(
        0.1, "fraction", "minimum fraction of a cell that is not lines", OVERLAYS
    )
    min_textured_fraction: float = _constant(
        0.25, "fraction", "minimum fraction of the common cells that have texture", OVERLAYS
    )
    min_texture_correlation: float = _constant(
        0.5, "-1 to 1", "minimum median correlation of the cells without lines", OVERLAYS
    )
    min_lower_texture_correlation: float = _constant(
        0.2, "-1 to 1", "minimum lower quartile of the same, against common backgrounds", OVERLAYS
    )

    # Clustering without chaining
    strong_pair: float = _constant(
        0.75, "0 to 1", "minimum strength of one pair that merges two small groups", CHAINING
    )
    small_group: int = _constant(
        4, "images", "maximum size of a small group; one pair adds at most this many", CHAINING
    )
    min_linked_fraction: float = _constant(
        0.1, "fraction", "minimum fraction of the smaller large group that pairs link", CHAINING
    )


DEFAULT_CONFIG = NearDuplicateConfig()
