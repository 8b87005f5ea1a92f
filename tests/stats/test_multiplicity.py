import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from glioscope.stats import holm


@pytest.mark.parametrize("seed", range(5))
def test_holm_equals_statsmodels(seed):
    pvalues = np.random.default_rng(seed).beta(0.5, 2, 12).round(2)  # ties, and some near 1
    np.testing.assert_allclose(holm(pvalues), multipletests(pvalues, method="holm")[1], atol=1e-15)


def test_a_test_that_does_not_exist_is_not_of_the_family():
    assert holm([0.01, np.nan, 0.04])[[0, 2]] == pytest.approx(holm([0.01, 0.04]))
    assert np.isnan(holm([0.01, np.nan])[1])
    assert holm([]).size == 0
