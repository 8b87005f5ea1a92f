"""The ceilings against scikit-learn, other classifiers and fresh patients."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from glioscope.sim import CARRIED, SimSettings
from glioscope.sim._oracle import Reference, _fit_logistic, oracle_columns, posteriors

SETTINGS = SimSettings()


@pytest.fixture(scope="module")
def fresh() -> Reference:
    return Reference(SETTINGS, 12, entropy=77)


def test_newton_agrees_with_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x = np.column_stack([np.ones(2000), rng.standard_normal((2000, 3))])
    y = (x @ [0.3, 1.0, -2.0, 0.0] + rng.logistic(size=2000) > 0).astype(float)
    ours = _fit_logistic(x, y)
    # The same penalty: 1e-4 n / 2 |w|^2 without the intercept.
    peer = LogisticRegression(C=1 / (1e-4 * 2000), tol=1e-10, max_iter=1000).fit(x[:, 1:], y)
    np.testing.assert_allclose(ours[1:], peer.coef_[0], atol=1e-4)
    assert ours[0] == pytest.approx(peer.intercept_[0], abs=1e-4)


@pytest.mark.parametrize("modality", list(CARRIED))
@pytest.mark.parametrize("target", ["tumor", "grade", "ki67"])
def test_no_classifier_of_the_same_columns_is_better(fresh: Reference, target: str, modality: str) -> None:
    from sklearn.ensemble import HistGradientBoostingClassifier

    value, known = fresh.labels[target]
    train = Reference(SETTINGS, 12, entropy=78)
    train_value, train_known = train.labels[target]
    columns = CARRIED[modality]
    peer = HistGradientBoostingClassifier(max_iter=80, learning_rate=0.08, max_leaf_nodes=15, random_state=0)
    peer.fit(np.column_stack([train.columns[c] for c in columns])[train_known], train_value[train_known])
    peer_score = peer.predict_proba(np.column_stack([fresh.columns[c] for c in columns])[known])[:, 1]
    ours = posteriors(SETTINGS)[target, modality](fresh.columns)[known]
    assert roc_auc_score(value[known], ours) > roc_auc_score(value[known], peer_score) - 0.002


def test_fusion_knows_at_least_as_much(fresh: Reference) -> None:
    table = posteriors(SETTINGS)
    for target in ("tumor", "grade", "ki67", "idh", "codel"):
        value, known = fresh.labels[target]
        auc = {m: roc_auc_score(value[known], table[target, m](fresh.columns)[known]) for m in CARRIED}
        assert auc["fusion"] >= max(auc["fl"], auc["wl"]) - 0.002


def test_posteriors_are_calibrated_on_new_patients(fresh: Reference) -> None:
    value, known = fresh.labels["tumor"]
    p = posteriors(SETTINGS)["tumor", "fl"](fresh.columns)[known]
    for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8), (0.8, 1.01)):
        inside = (p >= low) & (p < high)
        assert value[known][inside].mean() == pytest.approx(p[inside].mean(), abs=0.05)


def test_oracle_columns_are_probabilities_for_every_task(fresh: Reference) -> None:
    columns = oracle_columns(fresh.columns, SETTINGS)
    tasks = ("tumor", "grade", "ki67", "grade4", "idh", "codel")
    assert set(columns) == {f"posterior_{task}_{modality}" for task in tasks for modality in CARRIED}
    for values in columns.values():
        assert ((values >= 0) & (values <= 1)).all()
    assert columns["posterior_grade4_fl"].min() >= 1 / 3


def test_ceiling_is_where_the_requirements_want_it(fresh: Reference) -> None:
    value, known = fresh.labels["tumor"]
    auc = roc_auc_score(value[known], posteriors(SETTINGS)["tumor", "fl"](fresh.columns)[known])
    assert 0.955 < auc < 0.985
