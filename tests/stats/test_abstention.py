import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioscope.core import InputError
from glioscope.stats._abstention import abstention_band, patients_for_promise

NAMES = ("non-tumour", "tumour")


def drawn(seed, n_patients=12, each=20, share=0.6):
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(n_patients), each)
    labels = (rng.random(patients.size) < share).astype(int)
    return labels, 2 * labels - 1 + rng.normal(0, 0.7, n_patients)[patients] + rng.normal(0, 1, labels.size), patients


def losses(labels, logit, patients, wrong, of_class):
    """Share of wrongly named specimens of a class, for each patient who has it."""
    rows = labels == of_class
    return np.array([wrong[rows & (patients == k)].mean() for k in np.unique(patients[rows])])


@given(st.data(), st.sampled_from([0.1, 0.2, 1 / 3, 0.5]), st.floats(-2, 2))
@settings(max_examples=150, deadline=None)
def test_the_mean_loss_of_a_patient_left_out_of_any_set_keeps_the_promise(data, miscoverage, threshold):
    """Theorem 1 given the set of patients: each is equally likely to be the new one, so their mean loss is bounded."""
    n_patients = data.draw(st.integers(patients_for_promise(miscoverage) + 1, 14))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    patients = np.repeat(np.arange(n_patients), rng.integers(1, 9, n_patients))
    labels = rng.integers(0, 2, patients.size)
    # Rounded: scores of several specimens, and of several patients, are equal.
    logit = np.round(labels + rng.normal(0, 2, n_patients)[patients] + rng.normal(0, 1, labels.size), 1)
    for of_class, side in ((0, "negative"), (1, "positive")):
        having = np.unique(patients[labels == of_class])
        if having.size < 2:
            continue
        new = []
        for k in having:
            rest = patients != k
            band = abstention_band(
                labels[rest], logit[rest], patients[rest], threshold=threshold, miscoverage=miscoverage
            )
            mine = logit[(patients == k) & (labels == of_class)]
            promised = getattr(band, side)
            assert (promised.limit is None) == (having.size - 1 < patients_for_promise(miscoverage))
            if promised.limit is not None:
                new.append(np.mean(mine >= band.high if of_class == 0 else mine < band.low))
        assert not new or np.mean(new) <= miscoverage + 1e-9


def test_the_promise_holds_on_average_of_many_cohorts_and_is_not_given_away():
    """New patients after a calibration on 12: with hardly any threshold in the way, the loss is near the promise."""
    found = {0: [], 1: []}
    for seed in range(300):
        labels, logit, patients = drawn(seed, n_patients=13)
        old = patients < 12
        band = abstention_band(labels[old], logit[old], patients[old], threshold=0.0, miscoverage=0.2)
        new = ~old
        found[0].append(np.mean(logit[new & (labels == 0)] >= band.negative.limit))
        found[1].append(np.mean(logit[new & (labels == 1)] < band.positive.limit))
    for shares in found.values():
        error = np.std(shares) / np.sqrt(len(shares))
        assert 0.2 - 1 / 13 - 3 * error <= np.mean(shares) <= 0.2 + 3 * error


@pytest.mark.parametrize("miscoverage", [0.1, 0.15, 0.3])
def test_the_limit_is_the_most_permissive_that_the_losses_allow(miscoverage):
    labels, logit, patients = drawn(1, n_patients=15)
    band = abstention_band(labels, logit, patients, threshold=0.0, miscoverage=miscoverage)
    budget = miscoverage * 16

    def spent(limit, of_class):
        wrong = logit >= limit if of_class == 0 else logit < limit
        return losses(labels, logit, patients, wrong, of_class).sum() + 1

    assert spent(band.positive.limit, 1) <= budget + 1e-9
    assert spent(band.positive.limit + 1e-9, 1) > budget
    assert spent(band.negative.limit, 0) <= budget + 1e-9
    assert spent(band.negative.limit - 1e-9, 0) > budget


def test_the_record_counts_what_the_band_does():
    labels, logit, patients = drawn(2)
    band = abstention_band(labels, logit, patients, threshold=0.0, miscoverage=0.1, class_names=NAMES)
    assert band.low <= 0.0 <= band.high
    assert band.low < band.high
    assert (band.low, band.high) == (band.positive.limit, band.negative.limit)
    for promised, of_class, wrong in ((band.negative, 0, logit >= band.high), (band.positive, 1, logit < band.low)):
        each = losses(labels, logit, patients, wrong, of_class)
        assert (promised.class_name, promised.n_patients) == (NAMES[of_class], each.size)
        assert (promised.achieved, promised.worst) == pytest.approx((each.mean(), each.max()))
        assert promised.achieved <= promised.miscoverage
    answered = (logit < band.low) | (logit >= band.high)
    assert band.coverage == pytest.approx(np.mean([answered[patients == k].mean() for k in range(12)]))
    assert list(band.by_patient) == sorted(map(str, range(12)))
    one = patients == 10
    wrong = answered & ((logit >= band.high) != (labels == 1))
    risk = band.by_patient["10"]
    assert (risk.n, risk.answered, risk.wrong) == (one.sum(), answered[one].sum(), wrong[one].sum())


def test_a_promise_that_the_threshold_keeps_anyway_costs_nothing():
    labels, _, patients = drawn(3)
    band = abstention_band(labels, 10.0 * (labels - 0.5), patients, threshold=0.0)
    assert (band.low, band.high, band.coverage) == (0.0, 0.0, 1.0)
    assert (band.positive.achieved, band.negative.worst) == (0.0, 0.0)


@pytest.mark.parametrize(("miscoverage", "needed"), [(0.1, 9), (0.05, 19), (1 / 3, 2), (0.5, 1), (0.9, 1), (0.15, 6)])
def test_a_promise_below_one_in_k_plus_one_is_refused(miscoverage, needed):
    assert patients_for_promise(miscoverage) == needed
    for n_patients, refused in ((needed - 1, True), (needed, False)):
        if n_patients == 0:
            continue
        labels, logit, patients = drawn(4, n_patients=n_patients)
        band = abstention_band(labels, logit, patients, threshold=0.0, miscoverage=miscoverage, class_names=NAMES)
        for promised in (band.negative, band.positive):
            assert (promised.limit is None) == bool(promised.refused) == refused
            assert promised.achieved is not None
        if refused:
            assert (band.low, band.high) == (0.0, 0.0)
            least = f"1/{n_patients + 1} = {1 / (n_patients + 1):.3g}"
            assert least in band.positive.refused
            assert f"{needed} patients with this class are needed" in band.positive.refused
            assert band.positive.refused.startswith(f"a miscoverage of {miscoverage:g} cannot be promised to tumour")


def test_a_refused_class_leaves_its_side_of_the_band_alone():
    labels, logit, patients = drawn(5)
    labels = np.where(patients < 3, labels, 1)
    band = abstention_band(labels, logit, patients, threshold=0.5)
    assert band.negative.limit is None
    assert band.high == 0.5
    assert band.low == min(band.positive.limit, 0.5) < 0.5


def test_a_class_that_nobody_has_is_refused():
    labels, logit, patients = drawn(6)
    band = abstention_band(np.ones_like(labels), logit, patients, threshold=0.0)
    assert (band.negative.n_patients, band.negative.achieved, band.negative.worst) == (0, None, None)
    assert "with 0 patients the least is 1/1 = 1" in band.negative.refused
    assert band.positive.limit is not None


def test_neither_the_order_of_specimens_nor_the_names_of_patients_matter():
    labels, logit, patients = drawn(7)
    order = np.random.default_rng(0).permutation(labels.size)
    named = np.array([f"P{100 - k}" for k in patients], object)
    first = abstention_band(labels, logit, patients, threshold=0.0)
    second = abstention_band(labels[order], logit[order], named[order], threshold=0.0)
    assert (first.low, first.high, first.positive) == (second.low, second.high, second.positive)
    assert first.by_patient["3"] == second.by_patient["P97"]


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"miscoverage": 0.0}, "miscoverage 0 is not between 0 and 1"),
        ({"miscoverage": 1.0}, "miscoverage 1 is not between 0 and 1"),
        ({"threshold": np.inf}, "infinite"),
        ({"threshold": np.nan}, "infinite"),
        ({"logit": [np.inf, 0.0, 1.0]}, "infinite"),
        ({"y_true": [0, 1, 2]}, "a label is 0"),
        ({"groups": [1, 2]}, "must match"),
    ],
)
def test_what_makes_no_band_is_refused(changed, words):
    given_ = {"y_true": [0, 1, 1], "logit": [0.0, 1.0, 2.0], "groups": [1, 2, 3], "threshold": 0.0, **changed}
    with pytest.raises(InputError, match=words):
        abstention_band(**given_)
