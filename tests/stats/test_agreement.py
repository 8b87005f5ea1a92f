import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats import inter_rater

from glioscope.core import InputError
from glioscope.stats import quadratic_kappa
from glioscope.stats._agreement import cohen_kappa, fleiss_kappa

# Thirty patients, six psychiatrists, five diagnoses (Fleiss, Psychol. Bull. 76, 1971), one patient a word.
DIAGNOSES = """444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444 224445
333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 133333 555555"""


def raters(seed=0, n=60, n_patients=None, spread=0.0):
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_patients or n), n // (n_patients or n))
    truth = rng.integers(0, 4, groups.size)
    a, b = (np.clip(truth + rng.choice([-1, 0, 0, 1], groups.size), 0, 3) for _ in range(2))
    careless = rng.random(groups.max() + 1)[groups] < spread
    return a, np.where(careless, rng.permutation(b), b), groups


@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
@pytest.mark.parametrize("seed", range(4))
def test_cohen_equals_statsmodels_and_scikit_learn(weights, seed):
    a, b, _ = raters(seed)
    result = cohen_kappa(a, b, weights=weights)
    table = inter_rater.to_table(np.stack([a, b], axis=1), bins=np.arange(-0.5, 4))[0]
    kinds = {None: None, "linear": "linear", "quadratic": "fc"}
    reference = inter_rater.cohens_kappa(table, wt=kinds[weights])
    assert result.value == pytest.approx(cohen_kappa_score(a, b, weights=weights), abs=1e-12)
    assert result.standard_error == pytest.approx(reference.std_kappa, rel=1e-9)
    assert result.null_standard_error == pytest.approx(reference.std_kappa0, rel=1e-9)
    assert (result.low, result.high) == pytest.approx((reference.kappa_low, reference.kappa_upp), abs=1e-9)


def test_quadratic_weights_are_quadratic_kappa_even_where_a_level_is_missing():
    a, b = np.array([1, 1, 3, 4, 4, 3, 1]), np.array([1, 3, 3, 4, 3, 4, 1])
    assert cohen_kappa(a, b, weights="quadratic").value == pytest.approx(quadratic_kappa(a, b), abs=1e-12)


def test_fleiss_of_the_published_example():
    diagnoses = np.array([list(patient) for patient in DIAGNOSES.split()])
    result = fleiss_kappa(diagnoses)
    # kappa 0.430 in Fleiss 1971; R's irr 0.84 prints z 17.7 with the standard error of Fleiss, Nee and Landis.
    assert round(result.value, 3) == 0.430
    assert round(result.value / result.null_standard_error, 1) == 17.7
    table = inter_rater.aggregate_raters(diagnoses.astype(int))[0]
    assert result.value == pytest.approx(inter_rater.fleiss_kappa(table), abs=1e-12)


def test_standard_errors_of_independent_specimens_are_near_the_jackknife():
    a, b, groups = raters(n=400)
    rng = np.random.default_rng(0)
    # One label is rare and often wrong, so that a specimen moves the agreement by chance as well.
    rare = rng.random(400) < 0.1
    panel = np.stack([np.where(rng.random(400) < 0.5, rng.permutation(rare), rare) for _ in range(3)], axis=1)
    for plain, by_patient in (
        (cohen_kappa(a, b), cohen_kappa(a, b, groups=groups)),
        (cohen_kappa(a, b, weights="linear"), cohen_kappa(a, b, weights="linear", groups=groups)),
        (fleiss_kappa(panel), fleiss_kappa(panel, groups=groups)),
    ):
        assert by_patient.value == plain.value
        assert by_patient.standard_error == pytest.approx(plain.standard_error, rel=0.03)


def test_null_standard_error_of_fleiss_is_the_spread_of_kappa_under_chance():
    rng = np.random.default_rng(0)
    kappas = [fleiss_kappa(rng.choice(3, (50, 4), p=[0.5, 0.3, 0.2])) for _ in range(600)]
    spread = np.std([kappa.value for kappa in kappas])
    assert np.mean([kappa.null_standard_error for kappa in kappas]) == pytest.approx(spread, rel=0.08)


def test_careless_patients_widen_the_interval_by_patient():
    a, b, groups = raters(3, n=600, n_patients=12, spread=0.4)
    plain, by_patient = cohen_kappa(a, b), cohen_kappa(a, b, groups=groups)
    assert by_patient.high - by_patient.low > 1.5 * (plain.high - plain.low)
    assert by_patient.n_groups == 12
    assert np.isnan(by_patient.null_standard_error)


def test_names_and_order_of_labels_do_not_matter():
    a, b, _ = raters(1)
    names = np.array(["GBM", "DLGG", "none", "unsure"])
    order = np.random.default_rng(0).permutation(a.size)
    ours, named, again = (
        cohen_kappa(a, b),
        cohen_kappa(names[a], names[b]),
        cohen_kappa(b[order], a[order].astype(float)),
    )
    for other in (named, again):
        assert (other.value, other.low) == pytest.approx((ours.value, ours.low), abs=1e-12)
    panel = np.stack([a, b, a], axis=1)
    shuffled = fleiss_kappa(names[panel[order][:, [2, 0, 1]]])
    assert shuffled.value == pytest.approx(fleiss_kappa(panel).value, abs=1e-12)
    assert shuffled.low == pytest.approx(fleiss_kappa(panel).low, abs=1e-12)


def test_one_answer_has_no_kappa_and_full_agreement_no_interval():
    for result in (cohen_kappa([1, 1, 1], [1, 1, 1]), fleiss_kappa([["x", "x"], ["x", "x"]])):
        assert np.isnan(result.value)
        assert "chance alone" in result.note
    for result in (cohen_kappa([0, 1, 1], [0, 1, 1]), fleiss_kappa([[0, 0], [1, 1], [1, 1]])):
        assert result.value == 1
        assert np.isnan(result.low)
        assert result.note
    assert np.isnan(cohen_kappa([0, 1, 1], [0, 1, 0], groups=["p", "p", "p"]).low)


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="ratings has 1 blank of 4 labels"):
        fleiss_kappa([["a", None], ["b", "a"]])
    with pytest.raises(InputError, match="two or more raters"):
        fleiss_kappa([["a"], ["b"]])
    with pytest.raises(InputError, match="a has 2 values and b 1"):
        cohen_kappa([0, 1], [1])
    with pytest.raises(InputError, match="weights 'cubic' is unknown"):
        cohen_kappa([0, 1], [1, 0], weights="cubic")
    with pytest.raises(InputError, match="not numbers"):
        cohen_kappa(["low", "high"], ["low", "low"], weights="linear")
