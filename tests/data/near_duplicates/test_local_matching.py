import numpy as np
import pytest

from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG
from skin_lesions.data.near_duplicates.local_matching import (
    _count_votes,
    _Votes,
    _VotingFeatures,
)

KEYPOINTS = 40


def score(angle_of_match, *, mirrored, scale_of_match=0.0):
    """Count the votes of one image for another; vote i is for its keypoint i."""
    rng = np.random.default_rng(0)
    angle = rng.uniform(0, 360, KEYPOINTS)
    log_scale = rng.uniform(2, 5, KEYPOINTS)
    features = _VotingFeatures(
        vocabulary=None,  # words are matched already
        image=np.repeat([0, 1], KEYPOINTS).astype(np.int32),
        angle=np.concatenate([angle, angle_of_match(angle) % 360]).astype(np.float32),
        log_scale=np.concatenate([log_scale, log_scale + scale_of_match]).astype(np.float32),
        words=np.empty(0),
        signature=np.empty(0),
    )
    votes = _Votes(
        feature=np.arange(KEYPOINTS),
        match=np.arange(KEYPOINTS, 2 * KEYPOINTS, dtype=np.int32),
        distance=np.zeros(KEYPOINTS, np.uint8),  # each vote has the weight 1
    )
    counted = _count_votes(features, votes, DEFAULT_CONFIG, mirrored=mirrored)
    assert counted.pair.tolist() == [0 * 2 + 1]
    return counted.score[0]


@pytest.mark.parametrize("rotation", [0, 45, 200])
def test_votes_agree_if_all_keypoints_have_the_same_rotation(rotation):
    assert score(lambda angle: angle + rotation, mirrored=False) == pytest.approx(KEYPOINTS)
    assert score(lambda angle: rotation - angle, mirrored=False) < KEYPOINTS / 2


@pytest.mark.parametrize("rotation", [0, 45, 200])
def test_mirroring_reverses_the_direction_of_angles(rotation):
    assert score(lambda angle: rotation - angle, mirrored=True) == pytest.approx(KEYPOINTS)
    assert score(lambda angle: angle + rotation, mirrored=True) < KEYPOINTS / 2


def test_votes_agree_only_if_all_keypoints_have_the_same_scale():
    same = score(lambda angle: angle, mirrored=False, scale_of_match=1.0)
    assert same == pytest.approx(KEYPOINTS)
    alternating = np.tile([-2.0, 2.0], KEYPOINTS // 2)
    different = score(lambda angle: angle, mirrored=False, scale_of_match=alternating)
    assert different == pytest.approx(KEYPOINTS / 2)
