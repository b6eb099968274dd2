"""Late fusion of image and clinical metadata."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import TypeAdapter
from scipy.special import log_softmax

from skin_lesions.data.equal_missingness import equalize_missing
from skin_lesions.data.tabular import fit_encoder
from skin_lesions.models.postprocessing.metadata_fusion import (
    MetadataFusion,
    fit_metadata_model,
    fit_weight,
    fused_logits,
    log_unusable_values,
)
from skin_lesions.models.postprocessing.probabilities import (
    class_frequencies,
    class_probabilities,
)
from support.clinical import CLASSES, clinical_table

COLUMNS = ["age", "sex", "site"]
TEMPERATURE = 1.5


def labels_of(table: pd.DataFrame) -> np.ndarray:
    return pd.Index(CLASSES).get_indexer(pd.Index(table["label"]))


def image_logits(table: pd.DataFrame, skill: float, seed: int = 0) -> np.ndarray:
    """Logits of an image whose noise is independent of the metadata given the class, (n, k)."""
    rng = np.random.default_rng(seed)
    label = labels_of(table)
    # Independent normal scores with means 0 and skill: these are log-likelihoods.
    scores = rng.normal(size=(len(table), len(CLASSES)))
    scores[np.arange(len(table)), label] += skill
    prior = np.bincount(label, minlength=len(CLASSES)) / len(table)
    return TEMPERATURE * (skill * scores + np.log(prior))


def frequencies(table: pd.DataFrame):
    counts = np.bincount(labels_of(table), minlength=len(CLASSES))
    return class_frequencies(tuple(counts.tolist()), "none", "auto")


def fitted(informative="values", skill=1.0, *, equalize=False, n=2000) -> MetadataFusion:
    train, val = clinical_table(n, informative, 1), clinical_table(n, informative, 2)
    fitted_on = equalize_missing(train, COLUMNS, 0) if equalize else train
    model = fit_metadata_model(fit_encoder(fitted_on, COLUMNS, {}), fitted_on, CLASSES)
    return fit_weight(
        model,
        model.encoder.encode(val),
        image_logits(val, skill),
        labels_of(val),
        TEMPERATURE,
        frequencies(train),
    )


def balanced_accuracy(predicted: np.ndarray, table: pd.DataFrame) -> float:
    label = labels_of(table)
    return float(np.mean([(predicted[label == c] == c).mean() for c in range(len(CLASSES))]))


def scores(model: MetadataFusion, informative: str, skill: float) -> dict[str, float]:
    """Balanced accuracy on new images, from the image, the metadata and both."""
    test = clinical_table(4000, informative, 3)
    of_classes = replace(frequencies(test), decision="balanced")
    logits = image_logits(test, skill, seed=4)
    both = fused_logits(logits, model, TEMPERATURE, test)
    only_metadata = model.scores(model.encoder.encode(test))
    return {
        "image": balanced_accuracy(
            class_probabilities(logits, TEMPERATURE, of_classes).predicted, test
        ),
        "metadata": balanced_accuracy(only_metadata.argmax(axis=1), test),
        "both": balanced_accuracy(
            class_probabilities(both, TEMPERATURE, of_classes).predicted, test
        ),
    }


def test_image_without_metadata_has_exactly_the_result_of_the_image_alone():
    model = fitted()
    table = clinical_table(50)
    logits = image_logits(table, 1.0)
    empty = table.assign(age=None, sex="unknown", site="")
    np.testing.assert_array_equal(fused_logits(logits, model, TEMPERATURE, empty), logits)
    np.testing.assert_array_equal(fused_logits(logits, model, TEMPERATURE, None), logits)
    np.testing.assert_array_equal(fused_logits(logits, None, TEMPERATURE, table), logits)
    changed = fused_logits(logits, model, TEMPERATURE, table)
    weighted = model.weight * model.scores(model.encoder.encode(table))
    np.testing.assert_allclose((changed - logits) / TEMPERATURE, weighted, atol=1e-12)
    has_value = table[COLUMNS].notna().any(axis=1).to_numpy()
    assert ((changed != logits).any(axis=1) == has_value).all()


def test_evidence_is_the_log_likelihood_ratio_of_the_classes():
    """Site: P(face | bcc) = 0.7 and P(face | nv) = 0.2."""
    train = clinical_table(20_000)
    model = fit_metadata_model(fit_encoder(train, ["site"], {}), train, CLASSES)
    rows = pd.DataFrame({"site": ["face", "back"]})
    found = model.scores(model.encoder.encode(rows))
    face, back = found[:, CLASSES.index("bcc")] - found[:, CLASSES.index("nv")]
    expected = np.log(0.7 / 0.2) - np.log(0.3 / 0.8)
    assert face - back == pytest.approx(expected, abs=0.15)


def test_weight_is_one_if_image_and_metadata_are_independent_given_the_class():
    model = fitted(n=6000)
    assert model.weight == pytest.approx(1.0, abs=0.15)
    assert model.nll_both < model.nll_image - 0.05
    assert model.n == pytest.approx(6000 * (1 - 0.2**3), rel=0.02)


def test_weight_is_small_if_the_metadata_say_what_the_image_says():
    val, train = clinical_table(4000, seed=2), clinical_table(4000, seed=1)
    model = fit_metadata_model(fit_encoder(train, COLUMNS, {}), train, CLASSES)
    encoded = model.encoder.encode(val)
    same = TEMPERATURE * (model.scores(encoded) + np.log(frequencies(val).of_training_images))
    found = fit_weight(model, encoded, same, labels_of(val), TEMPERATURE, frequencies(val))
    assert found.weight < 0.1


def test_each_source_of_information_improves_what_it_should():
    informative = scores(fitted("values", 1.0), "values", 1.0)
    assert informative["both"] > max(informative["image"], informative["metadata"]) + 0.04
    only_image = scores(fitted("neither", 1.0), "neither", 1.0)
    assert only_image["metadata"] == pytest.approx(1 / 3, abs=0.03)
    assert only_image["both"] == pytest.approx(only_image["image"], abs=0.01)
    only_metadata = scores(fitted("values", 0.0), "values", 0.0)
    assert only_metadata["image"] == pytest.approx(1 / 3, abs=0.03)
    assert only_metadata["both"] == pytest.approx(only_metadata["metadata"], abs=0.02)
    assert only_metadata["metadata"] > 0.5


def nll_of_metadata(model: MetadataFusion, test: pd.DataFrame) -> float:
    """Negative log-likelihood from the metadata alone, nats per image."""
    prior = frequencies(test).of_training_images
    log_probability = log_softmax(model.scores(model.encoder.encode(test)) + np.log(prior), axis=1)
    return -float(log_probability[np.arange(len(test)), labels_of(test)].mean())


@pytest.mark.parametrize("equalize", [False, True])
def test_missing_values_alone_reveal_nothing(equalize):
    """The encoding cannot represent that a value is known, with and without equal rates."""
    model = fitted("missingness", 1.0, equalize=equalize)
    test = clinical_table(4000, "missingness", 3)
    prior = frequencies(test).of_training_images
    # An input that says which values are known gains more than 0.2, see below.
    assert nll_of_metadata(model, test) > -(prior * np.log(prior)).sum() - 0.005
    found = scores(model, "missingness", 1.0)
    assert found["both"] == pytest.approx(found["image"], abs=0.01)


def test_columns_that_say_whether_a_value_is_known_would_reveal_the_class_until_equalized():
    def with_indicator(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(known=table["age"].notna().map(str))

    train = clinical_table(2000, "missingness", 1)
    test = with_indicator(clinical_table(4000, "missingness", 3))
    prior = frequencies(test).of_training_images
    nll_of_prior = -(prior * np.log(prior)).sum()
    leaky, equalized = (
        fit_metadata_model(fit_encoder(rows, ["known"], {}), rows, CLASSES)
        for rows in (
            with_indicator(train),
            with_indicator(equalize_missing(train, ["age"], 0)),
        )
    )
    assert nll_of_metadata(leaky, test) < nll_of_prior - 0.2
    assert nll_of_metadata(equalized, test) == pytest.approx(nll_of_prior, abs=0.01)


def test_order_of_training_rows_and_columns_does_not_matter():
    train = clinical_table(300)
    first = fit_metadata_model(fit_encoder(train, COLUMNS, {}), train, CLASSES)
    shuffled = train.sample(frac=1, random_state=0)
    second = fit_metadata_model(fit_encoder(shuffled, COLUMNS[::-1], {}), shuffled, CLASSES)
    np.testing.assert_allclose(first.coefficients, second.coefficients, atol=1e-3)


def test_two_classes_and_classes_without_training_images_have_coefficients():
    table = clinical_table(400)
    two = table[table["label"] != "mel"]
    encoder = fit_encoder(two, COLUMNS, {})
    of_two = np.asarray(fit_metadata_model(encoder, two, ("bcc", "nv")).coefficients)
    np.testing.assert_allclose(of_two[0], -of_two[1])
    assert of_two.any()
    of_three = np.asarray(fit_metadata_model(encoder, two, CLASSES).coefficients)
    assert not of_three[CLASSES.index("mel")].any()
    np.testing.assert_allclose(of_three[[0, 2]], of_two)


def test_fusion_survives_json_and_rejects_damaged_content():
    adapter = TypeAdapter(MetadataFusion)
    model = fitted(n=300)
    content = adapter.dump_json(model)
    assert adapter.validate_json(content) == model
    with pytest.raises(ValueError, match="the weight must be between 0 and"):
        replace(model, weight=-1.0)
    with pytest.raises(ValueError, match="finite coefficients for each class"):
        replace(model, coefficients=((1.0,), (2.0,), (3.0,)))
    with pytest.raises(ValueError, match="finite coefficients for each class"):
        replace(model, coefficients=tuple(tuple([np.nan] * len(r)) for r in model.coefficients))


def test_values_that_are_unknown_to_the_model_are_logged(caplog):
    model = fitted(n=300)
    caplog.clear()
    log_unusable_values(model, pd.DataFrame({"age": [50, 60], "site": ["face", "tail"]}))
    assert caplog.messages == [
        "The model uses the metadata column sex, but there is no such column. It counts as missing",
        "Metadata column site: 1 of 2 values are unknown to the model, e.g. tail. They count as "
        "missing",
    ]
    log_unusable_values(None, pd.DataFrame())


def test_log_likelihood_of_validation_images_is_recorded():
    model = fitted(n=1000)
    val = clinical_table(1000, seed=2)
    logits = image_logits(val, 1.0)
    log_probability = log_softmax(
        fused_logits(logits, model, TEMPERATURE, val) / TEMPERATURE, axis=1
    )
    of_label = -log_probability[np.arange(1000), labels_of(val)]
    # The classes of training and validation images have nearly the same frequencies.
    assert model.nll_both == pytest.approx(of_label.mean(), abs=0.02)


def test_weight_of_a_trained_network_is_relative_to_its_training():
    """Its evidence is in logits: with weight 1, it is added to them before the temperature."""
    train, val = clinical_table(3000, seed=1), clinical_table(3000, seed=2)
    late = fit_metadata_model(fit_encoder(train, COLUMNS, {}), train, CLASSES)
    in_logits = tuple(tuple(TEMPERATURE * c for c in row) for row in late.coefficients)
    encoded, logits = late.encoder.encode(val), image_logits(val, 1.0)
    expected, found = (
        fit_weight(model, encoded, logits, labels_of(val), TEMPERATURE, frequencies(train))
        for model in (late, replace(late, method="concat", coefficients=in_logits))
    )
    assert found.weight == pytest.approx(expected.weight)
    np.testing.assert_allclose(found.coefficients, late.coefficients)
