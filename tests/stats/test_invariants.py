"""What must not change an answer: the order of rows, names of patients, the scale of a score, copies of specimens."""

import numpy as np
import pytest

from glioscope.stats import (
    auc_ci,
    bootstrap,
    bootstrap_calls,
    bootstrap_difference,
    clustered_proportion,
    jackknife_estimate,
    permutation_test,
    rates_without_each_group,
)

from .test_auc_ci import cohort

COHORT = cohort(11, n_patients=9, per_patient=20)
CALLS = (COHORT[1] > 0.4).astype(float)
OTHER = COHORT[1] + np.random.default_rng(1).normal(0, 1, CALLS.size)


def f1_by_patient(labels, calls, groups):
    value, without = rates_without_each_group(labels, calls, groups, ("f1",))["f1"]
    return jackknife_estimate(value, without)


def specificity_with_the_threshold_chosen_again(labels, scores, groups):
    drawn = bootstrap(labels, scores, metrics=["specificity"], threshold="youden", groups=groups, rng=5)
    return drawn.interval("specificity")


OF_SCORES = {
    "jackknife": lambda y, s, g: auc_ci(y, s, method="jackknife", groups=g),
    "clustered delong": lambda y, s, g: auc_ci(y, s, groups=g),
    "patient bootstrap": lambda y, s, g: auc_ci(y, s, method="bootstrap", groups=g, rng=5),
    "patient bca": lambda y, s, g: auc_ci(y, s, method="bca", groups=g, rng=5),
    "patient bootstrap, rule": specificity_with_the_threshold_chosen_again,
}
OF_CALLS = {
    "jackknife of f1": f1_by_patient,
    "patient bootstrap of f1": lambda y, c, g: bootstrap_calls(y, c, metrics=["f1"], groups=g, rng=5).interval("f1"),
    "korn-graubard": lambda y, c, g: clustered_proportion(c, g),
}
TESTS = {
    "permutation": lambda y, a, b, g: permutation_test(y, a, b, groups=g, rng=5),
    "permutation of ranks": lambda y, a, b, g: permutation_test(y, a, b, groups=g, ranks=True, rng=5),
    "permutation of f1": lambda y, a, b, g: permutation_test(y, a > 0.4, b > 0.4, metric="f1", groups=g, rng=5),
}
BY_PATIENT = [*[(run, COHORT[1]) for run in OF_SCORES.values()], *[(run, CALLS) for run in OF_CALLS.values()]]
by_patient = pytest.mark.parametrize(("run", "answers"), BY_PATIENT, ids=[*OF_SCORES, *OF_CALLS])
each_test = pytest.mark.parametrize("test", TESTS.values(), ids=TESTS)


def assert_same(first, second, atol=1e-9):
    """The same values, limits and P values."""
    for name in ("value", "difference", "low", "high", "p_two_sided", "p_one_sided", "p_smallest_attainable"):
        if hasattr(first, name):
            np.testing.assert_allclose(getattr(first, name), getattr(second, name), atol=atol, err_msg=name)


def width(interval):
    return interval.high - interval.low


@by_patient
def test_intervals_by_patient_do_not_depend_on_the_order_of_rows(run, answers):
    labels, _, groups = COHORT
    order = np.random.default_rng(0).permutation(labels.size)
    assert_same(run(labels, answers, groups), run(labels[order], answers[order], groups[order]))


@each_test
def test_tests_by_patient_do_not_depend_on_the_order_of_rows(test):
    labels, a, groups = COHORT
    order = np.random.default_rng(0).permutation(labels.size)
    assert_same(test(labels, a, OTHER, groups), test(labels[order], a[order], OTHER[order], groups[order]))


@by_patient
def test_only_who_is_the_same_patient_matters_not_the_type_of_the_name(run, answers):
    labels, _, groups = COHORT
    assert_same(run(labels, answers, groups), run(labels, answers, [f"patient {g}" for g in groups]))


@pytest.mark.parametrize("name", ["jackknife", "clustered delong", "jackknife of f1", "korn-graubard"])
def test_names_of_patients_may_be_swapped_where_nothing_is_drawn(name):
    labels, scores, groups = COHORT
    run, answers = (OF_SCORES[name], scores) if name in OF_SCORES else (OF_CALLS[name], CALLS)
    assert_same(run(labels, answers, groups), run(labels, answers, (groups * 5 + 3) % 9))


@each_test
def test_names_of_patients_may_be_swapped_where_swaps_are_enumerated(test):
    labels, a, groups = COHORT
    assert_same(test(labels, a, OTHER, groups), test(labels, a, OTHER, (groups * 5 + 3) % 9))


@pytest.mark.parametrize("name", OF_SCORES)
@pytest.mark.parametrize("change", [np.exp, np.cbrt, lambda s: 3 * s - 40, lambda s: np.searchsorted(np.sort(s), s)])
def test_only_the_order_of_scores_matters(name, change):
    labels, scores, groups = COHORT
    for units in (groups, np.arange(labels.size) if name == "jackknife" else None):
        assert_same(OF_SCORES[name](labels, scores, units), OF_SCORES[name](labels, change(scores), units))


@pytest.mark.parametrize("method", ["delong", "jackknife", "bootstrap"])
def test_mirrored_scores_give_the_mirrored_interval(method):
    labels, scores, groups = COHORT
    options = {"method": method, "groups": groups, "rng": 5}
    there, back = auc_ci(labels, scores, **options), auc_ci(labels, -scores, **options)
    assert (back.value, back.low, back.high) == pytest.approx((1 - there.value, 1 - there.high, 1 - there.low))


@each_test
@pytest.mark.parametrize("by", ["patient", "specimen"])
def test_swapping_the_methods_turns_the_sign_and_keeps_the_two_sided_p(test, by):
    labels, a, groups = COHORT
    groups = groups if by == "patient" else None
    there, back = test(labels, a, OTHER, groups), test(labels, OTHER, a, groups)
    assert there.difference == pytest.approx(-back.difference, abs=1e-12)
    assert there.p_two_sided == pytest.approx(back.p_two_sided, abs=0.02 if by == "specimen" else 1e-12)
    # Both hold the observed difference itself.
    assert there.p_one_sided + back.p_one_sided >= (0.98 if by == "specimen" else 1)


@by_patient
def test_copies_of_all_specimens_tell_a_study_by_patient_nothing(run, answers):
    labels, _, groups = (np.tile(column, 2) for column in COHORT)
    once, twice = run(COHORT[0], answers, COHORT[2]), run(labels, np.tile(answers, 2), groups)
    # Korn-Graubard's share of t quantiles still counts specimens, though hardly.
    assert_same(once, twice, atol=2e-3 if run is OF_CALLS["korn-graubard"] else 1e-9)


@each_test
def test_copies_of_all_specimens_do_not_lower_a_p_by_patient(test):
    (labels, a, groups), b = COHORT, OTHER
    once = test(labels, a, b, groups)
    assert_same(once, test(*(np.tile(column, 2) for column in (labels, a, b, groups))))


@pytest.mark.parametrize("method", ["delong", "bootstrap", "bca"])
def test_copies_of_all_specimens_shrink_an_interval_by_specimen(method):
    labels, scores, _ = COHORT
    once = auc_ci(labels, scores, method=method, n_resamples=4000, rng=0)
    twice = auc_ci(np.tile(labels, 2), np.tile(scores, 2), method=method, n_resamples=4000, rng=0)
    assert width(once) / width(twice) == pytest.approx(np.sqrt(2), rel=0.05)


def test_a_patient_a_specimen_is_the_study_without_patients():
    labels, scores, _ = cohort(12, n_patients=300, per_patient=1)
    alone = np.arange(300)
    plain = bootstrap(labels, scores, stratified=False, n_resamples=4000, rng=0).interval("auc")
    grouped = bootstrap(labels, scores, groups=alone, n_resamples=4000, rng=1).interval("auc")
    assert_same(plain, grouped, atol=0.006)
    assert width(auc_ci(labels, scores, method="jackknife", groups=alone)) == pytest.approx(width(plain), rel=0.06)


def test_a_difference_of_two_methods_is_mirrored_when_they_change_places():
    labels, a, groups = COHORT
    first, second = (bootstrap(labels, s, groups=groups, rng=5) for s in (a, OTHER))
    there, back = bootstrap_difference(first, second, "auc"), bootstrap_difference(second, first, "auc")
    assert (there.difference, there.low, there.high) == pytest.approx((-back.difference, -back.high, -back.low))
