import numpy as np
import pytest
from sklearn import metrics

from glioscope.core import InputError
from glioscope.stats import RATES, Confusion
from glioscope.stats._rates import call_cells, rate

REFERENCES = {
    "sensitivity": metrics.recall_score,
    "specificity": lambda y, c, sample_weight: metrics.recall_score(y, c, pos_label=0, sample_weight=sample_weight),
    "ppv": metrics.precision_score,
    "npv": lambda y, c, sample_weight: metrics.precision_score(y, c, pos_label=0, sample_weight=sample_weight),
    "f1": metrics.f1_score,
    "accuracy": metrics.accuracy_score,
    "balanced_accuracy": metrics.balanced_accuracy_score,
    "mcc": metrics.matthews_corrcoef,
}


def test_every_rate_has_a_reference():
    assert REFERENCES.keys() == RATES.keys()


@pytest.mark.parametrize("name", RATES)
def test_rates_of_weighted_tables_equal_sklearn(name):
    rng = np.random.default_rng(0)
    labels, calls = rng.integers(0, 2, (2, 40))
    weights = rng.random((30, 40))
    tables = weights @ call_cells(labels == 1, calls.astype(float))
    expected = [REFERENCES[name](labels, calls, sample_weight=w) for w in weights]
    np.testing.assert_allclose(rate(name, *tables.T), expected, atol=1e-12)


@pytest.mark.parametrize("name", RATES)
def test_rates_equal_the_properties_of_a_table_nan_included(name):
    for cells in np.ndindex(3, 3, 3, 3):
        tp, fp, tn, fn = cells
        value = rate(name, *np.array([[tp], [fp], [tp + fn], [tn + fp]], float))
        expected = getattr(Confusion(tp=tp, fp=fp, tn=tn, fn=fn), name)
        np.testing.assert_allclose(value, [expected], atol=1e-12, equal_nan=True)


def test_a_panels_table_is_the_mean_of_its_readers():
    rng = np.random.default_rng(1)
    labels, readings = rng.integers(0, 2, 30) == 1, rng.integers(0, 2, (3, 30)).astype(float)
    panel = call_cells(labels, readings.mean(axis=0)).sum(axis=0)
    np.testing.assert_allclose(panel, np.mean([call_cells(labels, r).sum(axis=0) for r in readings], axis=0))


def test_bad_input_gives_one_sentence():
    labels = np.array([True, False])
    with pytest.raises(InputError, match="'youden_j' is unknown; there are sensitivity, specificity"):
        rate("youden_j", *np.ones((4, 1)))
    with pytest.raises(InputError, match="2 values and the calls 1"):
        call_cells(labels, np.ones(1))
    with pytest.raises(InputError, match=r"a call is 1\.5"):
        call_cells(labels, np.array([0, 1.5]))
    with pytest.raises(InputError, match="a call is -1"):
        call_cells(labels, np.array([-1.0, 1]))
