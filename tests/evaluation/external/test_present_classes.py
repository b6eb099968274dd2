import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from skin_lesions.evaluation.external.present_classes import restrict_to_classes

CLASSES = ["nv", "mel", "bcc", "scc"]


def predictions(logits, balanced, labels):
    n = len(labels)
    keys = pd.DataFrame(
        {
            "file": [f"{i}.jpg" for i in range(n)],
            "image_id": np.arange(n).astype(str),
            "group_id": np.arange(n).astype(str),
            "split": "external",
            "label": labels,
            "is_leaked": False,
        }
    )
    columns = pd.DataFrame(softmax(logits, axis=1), columns=[f"p_{name}" for name in CLASSES])
    equal = pd.DataFrame(
        softmax(balanced, axis=1), columns=[f"p_balanced_{name}" for name in CLASSES]
    )
    return pd.concat([keys, columns, equal], axis=1)


@pytest.mark.parametrize("decision", ["balanced", "frequency"])
def test_restriction_is_the_softmax_of_the_remaining_logits(decision):
    rng = np.random.default_rng(0)
    logits, balanced = rng.normal(size=(2, 20, 4)) * 3
    table = predictions(logits, balanced, ["nv", "bcc"] * 10)
    found = restrict_to_classes(table, ["nv", "bcc"], decision)
    np.testing.assert_allclose(found[["p_nv", "p_bcc"]], softmax(logits[:, [0, 2]], axis=1))
    decisive = (balanced if decision == "balanced" else logits)[:, [0, 2]]
    assert found["predicted"].tolist() == [["nv", "bcc"][c] for c in decisive.argmax(axis=1)]
    assert not {"p_mel", "p_scc", "p_balanced_mel"} & set(found)


def test_images_without_any_probability_of_the_classes_get_equal_ones():
    logits = np.array([[-2000.0, 0, -2000, -2000], [5, 0, 0, 0]])
    found = restrict_to_classes(
        predictions(logits, logits, ["nv", "bcc"]), ["nv", "bcc"], "balanced"
    )
    assert found["p_nv"].iloc[0] == found["p_bcc"].iloc[0] == 0.5
    assert found["p_nv"].iloc[1] == pytest.approx(softmax([5, 0])[0])
