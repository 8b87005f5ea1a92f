import numpy as np
import pytest
from sklearn.metrics import confusion_matrix

from glioscope.core import InputError
from glioscope.stats._decision_curve import decision_curve, net_benefit


def drawn(seed=0, n=200):
    rng = np.random.default_rng(seed)
    probability = rng.random(n).round(1)
    return (rng.random(n) < probability).astype(int), probability


def test_net_benefit_counts_as_vickers_and_elkin():
    labels, probability = drawn()
    thresholds = np.array([0.0, 0.1, 0.3, 0.5, 0.95])
    curve = decision_curve(labels, probability, thresholds)
    for i, threshold in enumerate(thresholds):
        _, fp, _, tp = confusion_matrix(labels, probability >= threshold).ravel()
        assert curve.model[i] == pytest.approx(tp / 200 - fp / 200 * threshold / (1 - threshold), abs=1e-12)
        prevalence = labels.mean()
        all_called = prevalence - (1 - prevalence) * threshold / (1 - threshold)
        assert curve.treat_all[i] == pytest.approx(all_called, abs=1e-12)
    assert not curve.treat_none.any()


def test_at_the_lowest_threshold_the_model_treats_all_and_a_perfect_one_keeps_the_prevalence():
    labels, probability = drawn(1)
    curve = decision_curve(labels, probability, [0.0])
    assert curve.model[0] == curve.treat_all[0] == pytest.approx(labels.mean())
    perfect = decision_curve(labels, labels, [0.2, 0.9])
    np.testing.assert_allclose(perfect.model, labels.mean())


def test_a_calibrated_model_is_not_worse_than_the_defaults():
    rng = np.random.default_rng(2)
    probability = rng.random(200_000)
    curve = decision_curve(rng.random(probability.size) < probability, probability, np.linspace(0.05, 0.9, 18))
    assert np.all(curve.model >= np.maximum(curve.treat_all, 0) - 0.003)


def test_a_readers_decisions_can_be_put_on_the_curve():
    np.testing.assert_allclose(net_benefit(30, 10, 100, [0.2, 0.5]), [0.3 - 0.1 * 0.25, 0.2])


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        (lambda: decision_curve([0, 1], [0.1, 0.2], [1.0]), "threshold 1"),
        (lambda: decision_curve([0, 1], [0.1, 0.2], [-0.1]), "threshold -0.1"),
        (lambda: decision_curve([0, 1], [0.1, 2], [0.5]), "y_probability has 2"),
        (lambda: net_benefit(3, 3, 5, 0.5), "at most the 5"),
        (lambda: net_benefit(-1, 3, 5, 0.5), "0 or more"),
    ],
)
def test_bad_input_gives_one_sentence(call, sentence):
    with pytest.raises(InputError, match=sentence):
        call()
