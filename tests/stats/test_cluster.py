import numpy as np
import pytest

from glioscope.core import InputError
from glioscope.stats import clopper_pearson, clustered_proportion


def draw(rng, n_patients, share=0.85, icc=0.1):
    """Successes of patients with uneven numbers of specimens (median 60) and a beta-binomial share each."""
    sizes = np.maximum(2, (60 * rng.lognormal(0, 0.5, n_patients)).astype(int))
    spread = (1 - icc) / icc
    patient = rng.beta(share * spread, (1 - share) * spread, n_patients)
    hits = np.concatenate([rng.random(n) < p for n, p in zip(sizes, patient, strict=True)])
    return hits, np.repeat(np.arange(n_patients), sizes)


@pytest.mark.parametrize(("n_patients", "share"), [(7, 0.85), (23, 0.85), (7, 0.6), (23, 0.6)])
def test_the_interval_covers_where_the_unclustered_one_does_not(n_patients, share):
    rng = np.random.default_rng(0)
    covered = plain = 0
    for _ in range(1500):
        hits, patients = draw(rng, n_patients, share)
        ours, theirs = clustered_proportion(hits, patients), clopper_pearson(int(hits.sum()), hits.size)
        covered += ours.low <= share <= ours.high
        plain += theirs.low <= share <= theirs.high
    assert 0.92 <= covered / 1500 <= 0.98
    assert plain / 1500 < 0.75


@pytest.mark.parametrize(("k", "n"), [(1, 8), (5, 9), (90, 100)])
def test_one_specimen_a_patient_gives_the_exact_interval(k, n):
    ours, theirs = clustered_proportion([1] * k + [0] * (n - k), range(n)), clopper_pearson(k, n)
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_agreement_of_all_specimens_is_worth_as_much_as_there_are_patients():
    patients = np.repeat(np.arange(7), 40)
    assert clustered_proportion(np.ones(280), patients) == clopper_pearson(7, 7)
    assert clustered_proportion(np.zeros(280), patients) == clopper_pearson(0, 7)


def test_the_order_does_not_matter_and_successes_mirror_failures():
    rng = np.random.default_rng(1)
    hits, patients = draw(rng, 9)
    order = rng.permutation(hits.size)
    ours, again = clustered_proportion(hits, patients), clustered_proportion(hits[order], patients[order])
    mirrored = clustered_proportion(~hits, patients)
    assert (ours.low, ours.high) == pytest.approx((again.low, again.high), abs=1e-12)
    assert (ours.low, ours.high) == pytest.approx((1 - mirrored.high, 1 - mirrored.low), abs=1e-12)


def test_one_patient_gives_no_interval_and_bad_input_is_refused():
    assert np.isnan(clustered_proportion([0, 1], ["a", "a"]).low)
    with pytest.raises(InputError, match="is empty"):
        clustered_proportion([], [])
    with pytest.raises(InputError, match="must match"):
        clustered_proportion([0, 1], ["a"])
