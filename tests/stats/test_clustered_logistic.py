import numpy as np
import pytest
from scipy import special

from glioscope.core import InputError
from glioscope.stats import fit_temperature
from glioscope.stats._clustered_logistic import fit_calibration


def drawn(seed, n_patients=12, each=50, *, patient_sd=0.5, distance=2.0):
    """Labels, logits and patients: binormal scores with an effect of the patient."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), each)
    labels = (rng.random(patients.size) < 0.6).astype(int)
    effect = rng.normal(0, patient_sd, n_patients)[patients]
    return labels, distance * (labels - 0.5) + effect + rng.normal(0, 1, labels.size), patients


def test_slope_and_intercept_are_those_of_platt_scaling():
    labels, logit, patients = drawn(0)
    found, expected = fit_calibration(labels, logit, patients), fit_temperature(labels, logit, bias=True)
    assert (found.slope, found.intercept) == (expected.slope, expected.intercept)
    value = found.probability(float(logit[0]))[0]
    assert value == pytest.approx(float(expected(logit[0])), abs=1e-12)
    assert (found.n_patients, found.n_specimens) == (12, 600)


def test_the_interval_is_the_jackknife_by_its_definition():
    labels, logit, patients = drawn(1)
    found = fit_calibration(labels, logit, patients, confidence_level=0.9)
    for at in (-2.0, 0.3, 4.0):
        linear = found.slope * at + found.intercept
        rest = [fit_temperature(labels[patients != k], logit[patients != k], bias=True) for k in range(12)]
        squares = [(one.slope * at + one.intercept - linear) ** 2 for one in rest]
        half = special.stdtrit(11, 0.95) * np.sqrt(11 / 12 * np.sum(squares))
        expected = special.expit([linear, linear - half, linear + half])
        assert found.probability(at) == pytest.approx(expected, abs=1e-9)


def test_neither_the_order_of_specimens_nor_the_names_of_patients_matter():
    labels, logit, patients = drawn(2)
    order = np.random.default_rng(0).permutation(labels.size)
    named = np.array([f"P{100 - k}" for k in patients], object)
    first, second = fit_calibration(labels, logit, patients), fit_calibration(labels[order], logit[order], named[order])
    assert first.covariance == pytest.approx(second.covariance, rel=1e-6)
    assert (first.slope, first.intercept) == pytest.approx((second.slope, second.intercept))


def test_patients_that_differ_make_the_interval_wider_than_specimens_alone_would():
    alike, unlike = (fit_calibration(*drawn(3, patient_sd=sd)) for sd in (0.0, 1.0))
    width = [np.subtract(*c.probability(0.0)[:0:-1]) for c in (alike, unlike)]
    assert width[1] > 2 * width[0] > 0


def test_separated_logits_have_a_finite_calibration():
    labels, logit, patients = drawn(4, distance=40.0)
    assert logit[labels == 1].min() > logit[labels == 0].max()
    found = fit_calibration(labels, logit, patients)
    for at in (-20.0, 0.0, 20.0, 1e4):
        value, low, high = found.probability(at)
        assert 0 <= low <= value <= high <= 1
    assert found.probability(-20.0)[0] < 0.02 < 0.98 < found.probability(20.0)[0]


def test_logits_that_point_the_wrong_way_get_a_slope_of_zero_and_the_share_of_positives():
    labels, logit, patients = drawn(5)
    found = fit_calibration(labels, -logit, patients)
    assert found.slope == 0
    assert found.probability(3.0)[0] == pytest.approx(labels.mean(), abs=0.01)


def test_a_class_that_one_patient_alone_holds_leaves_the_interval_wide():
    labels, logit, patients = drawn(6, n_patients=8)
    assert fit_calibration(labels, logit, patients).probability(0.0)[2] < 0.9
    labels = np.where(patients == 0, labels, 1)
    _, low, high = fit_calibration(labels, logit, patients).probability(float(logit[labels == 0].mean()))
    assert low < 0.2
    assert high > 0.99


def test_patients_of_one_class_each_are_calibrated():
    labels, logit, patients = drawn(7)
    labels = (patients % 2).astype(int)
    found = fit_calibration(labels, logit + 3 * labels, patients)
    assert found.slope > 0
    assert np.isfinite(found.covariance).all()


@pytest.mark.parametrize(
    ("labels", "logit", "patients", "words"),
    [
        ([0, 1, 1], [0.1, 0.2, 0.3], [1, 1, 1], "all 3 specimens come from one patient"),
        ([1, 1, 1], [0.1, 0.2, 0.3], [1, 2, 3], "all 3 labels are positive; both classes are needed"),
        ([0, 1, 1], [0.1, np.inf, 0.3], [1, 2, 3], "infinite"),
        ([0, 1], [0.1, 0.2, 0.3], [1, 2, 3], "must match"),
        ([0, 1, 1], [0.1, 0.2, 0.3], [1, 2], "must match"),
    ],
)
def test_what_cannot_be_calibrated_is_refused(labels, logit, patients, words):
    with pytest.raises(InputError, match=words):
        fit_calibration(labels, logit, patients)
