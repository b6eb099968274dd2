import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn.metrics import roc_auc_score

from skin_lesions.evaluation.label_issues import COLUMNS, label_quality, rank_label_issues
from skin_lesions.evaluation.scorecard.arrays import prediction_arrays

CLASSES = ("nv", "mel", "bkl", "bcc", "df")


def predictions(n=1000, *, wrong=0.05, seed=0):
    """Predict images whose labels are wrong with this probability.

    Returns:
        The table, and whether each label is wrong, (n,).
    """
    rng = np.random.default_rng(seed)
    k = len(CLASSES)
    truth = rng.choice(k, size=n, p=(0.5, 0.2, 0.15, 0.1, 0.05))
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), truth] += 3.0
    probability = softmax(1.2 * logits, axis=1)
    is_wrong = rng.random(n) < wrong
    label = np.where(is_wrong, (truth + rng.integers(1, k, size=n)) % k, truth)
    table = pd.DataFrame(probability, columns=[f"p_{name}" for name in CLASSES])
    table = table.assign(
        file=[f"{i:04d}.jpg" for i in range(n)],
        image_id=[f"id{i}" for i in range(n)],
        group_id=[f"g{i}" for i in range(n)],
        split=np.where(np.arange(n) % 2, "val", "test"),
        label=np.array(CLASSES)[label],
        predicted=np.array(CLASSES)[probability.argmax(axis=1)],
    )
    return table, is_wrong


def quality_of(table):
    return label_quality(prediction_arrays(table.drop(columns="split"), CLASSES))


def test_planted_wrong_labels_are_ranked_first():
    table, is_wrong = predictions()
    found = rank_label_issues(table, CLASSES, max_rows=1000)
    rows = table.set_index("file").index.get_indexer(found["file"])
    first = is_wrong[rows][: is_wrong.sum()]
    assert first.mean() > 0.75  # precision at k, for k wrong labels; 0.05 by chance
    assert is_wrong[rows][:20].mean() > 0.9
    assert roc_auc_score(is_wrong, -quality_of(table).margin) > 0.97


def test_most_wrong_labels_and_few_others_are_suspected():
    table, is_wrong = predictions()
    suspected = quality_of(table).is_suspected
    assert suspected[is_wrong].mean() > 0.6
    assert suspected[~is_wrong].mean() < 0.05


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_a_slow_implementation_of_confident_learning(seed):
    table, _ = predictions(200, seed=seed)
    probability = table[[f"p_{name}" for name in CLASSES]].to_numpy()
    label = pd.Index(CLASSES).get_indexer(table["label"])
    thresholds = [probability[label == c, c].mean() for c in range(len(CLASSES))]
    quality = quality_of(table)
    for i, row in enumerate(probability):
        confident = [c for c in range(len(CLASSES)) if row[c] >= thresholds[c]]
        expected = max(confident, key=lambda c: row[c]) if confident else label[i]
        assert quality.suggested[i] == expected
        assert quality.is_suspected[i] == (expected != label[i])
        other = max(row[c] for c in range(len(CLASSES)) if c != label[i])
        assert quality.margin[i] == pytest.approx((row[label[i]] - other + 1) / 2)


def test_agrees_with_cleanlab():
    cleanlab = pytest.importorskip("cleanlab", reason="cleanlab is not a dependency")
    table, _ = predictions()
    probability = table[[f"p_{name}" for name in CLASSES]].to_numpy()
    label = pd.Index(CLASSES).get_indexer(table["label"])
    margin = cleanlab.rank.get_normalized_margin_for_each_label(label, probability)
    np.testing.assert_allclose(quality_of(table).margin, margin)


def test_class_without_images_is_never_suggested():
    table, _ = predictions(100)
    present = table[table["label"] != "df"].reset_index(drop=True)
    assert CLASSES.index("df") not in quality_of(present).suggested


def test_training_images_are_not_ranked_because_the_model_has_seen_their_labels():
    table, _ = predictions()
    table.loc[::2, "split"] = "train"
    found = rank_label_issues(table, CLASSES, max_rows=1000)
    assert set(found["split"]) == {"val"}


def test_list_has_text_columns_ranks_and_at_most_the_requested_rows():
    table, _ = predictions()
    found = rank_label_issues(table, CLASSES, max_rows=7)
    assert tuple(found.columns) == COLUMNS
    assert found["rank"].tolist() == list("1234567")
    assert found.map(lambda cell: isinstance(cell, str)).all(axis=None)
    margins = found["margin"].astype(float)
    assert margins.is_monotonic_increasing
    assert (found["label"] != found["suggested_label"]).all()
    row = table.set_index("file").loc[found["file"][0]]
    assert found["label_probability"][0] == f"{row['p_' + row['label']]:.4f}"
    assert found["suggested_probability"][0] == f"{row['p_' + found['suggested_label'][0]]:.4f}"


def test_order_of_the_rows_has_no_effect():
    table, _ = predictions()
    found = rank_label_issues(table, CLASSES, max_rows=50)
    shuffled = rank_label_issues(table.sample(frac=1, random_state=3), CLASSES, max_rows=50)
    pd.testing.assert_frame_equal(found, shuffled)


def test_labels_without_suspicion_give_an_empty_table_with_all_columns():
    table, _ = predictions(50, wrong=0.0)
    table[[f"p_{name}" for name in CLASSES]] = np.eye(len(CLASSES))[
        pd.Index(CLASSES).get_indexer(table["label"])
    ]
    found = rank_label_issues(table, CLASSES, max_rows=5)
    assert found.empty
    assert tuple(found.columns) == COLUMNS
