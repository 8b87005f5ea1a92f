import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.models import class_weights, weighted_bce  # noqa: E402


def test_coefficients_of_the_papers_training_set():
    targets = torch.cat([torch.ones(924, 1), torch.zeros(342, 1)])
    alpha_p, alpha_n = class_weights(targets)
    assert float(alpha_p) == pytest.approx(0.685, abs=5e-4)
    assert float(alpha_n) == pytest.approx(1.851, abs=5e-4)


def test_equals_the_formula_written_out():
    rng = np.random.default_rng(0)
    logit, y = rng.normal(size=(50, 1)), (rng.random((50, 1)) < 0.3).astype(float)
    p_count, n_count = y.sum(), len(y) - y.sum()
    alpha_p, alpha_n = len(y) / (2 * p_count), len(y) / (2 * n_count)
    p = 1 / (1 + np.exp(-logit))
    expected = -(alpha_p * y * np.log(p) + alpha_n * (1 - y) * np.log(1 - p)).mean()
    targets = torch.tensor(y)
    assert float(weighted_bce(torch.tensor(logit), targets, *class_weights(targets))) == pytest.approx(expected)


def test_one_class_is_refused():
    with pytest.raises(ValueError, match="both classes"):
        class_weights(torch.ones(5, 1))
