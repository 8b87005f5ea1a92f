from itertools import product

import numpy as np
import pytest
from scipy import stats

from glioscope.core import InputError
from glioscope.stats import sign_flip_pvalue


def test_equals_scipy_and_plain_enumeration():
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 9):
        values = rng.normal(0.3, 1, size).round(1)
        sums = [abs(np.dot(signs, values)) for signs in product((1, -1), repeat=size)]
        expected = np.mean(np.array(sums) >= abs(values.sum()) - 1e-9)
        assert sign_flip_pvalue(values).pvalue == pytest.approx(expected)
    values = rng.normal(0.5, 1, 8)
    reference = stats.permutation_test((values,), np.mean, permutation_type="samples", n_resamples=np.inf)
    assert sign_flip_pvalue(values).pvalue == pytest.approx(reference.pvalue)


def test_five_units_cannot_go_below_a_sixteenth():
    result = sign_flip_pvalue([0.1, 0.2, 0.3, 0.01, 0.05])
    assert result.pvalue == result.smallest_attainable == 0.0625


def test_zeros_raise_the_smallest_p():
    assert sign_flip_pvalue([1, 2, 0]).smallest_attainable == 0.5
    assert sign_flip_pvalue([0, 0]).pvalue == 1.0


def test_equal_sums_are_counted_in_spite_of_rounding():
    assert sign_flip_pvalue([0.1, 0.2, -0.3]).pvalue == 1.0
    assert sign_flip_pvalue([0.1, 0.2, 0.3]).pvalue == 0.25


def test_twenty_units_run_and_more_are_refused():
    assert sign_flip_pvalue(np.ones(20)).pvalue == 2 / 2**20
    with pytest.raises(InputError, match="21 differences"):
        sign_flip_pvalue(np.ones(21))
    with pytest.raises(InputError, match="infinite"):
        sign_flip_pvalue([1, np.inf])
