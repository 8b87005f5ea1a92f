import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from glioscope.core import InputError
from glioscope.stats._mcnemar import ErrorTable, error_table, mcnemar_clustered, mcnemar_exact

# Patients and psychiatrists on whether a problem matters: yes-yes, yes-no, no-yes, no-no of 29 psychiatrists (Donner
# and Petryshen, Psychiatry Res. 28, 1989, as Durkalski et al. 2003 analyse them).
PSYCHIATRY = """1042 1122 3130 2121 2011 0330 0302 0323 0121 0043 1020 1140 1033 2022 2012 1030 2013 1022 0301 2100
1103 0220 1012 0020 0021 0002 0002 1011 0010"""
# Glands called healthy by PET and by SPECT in 21 patients (Obuchowski, Stat. Med. 17, 1998), gland by gland.
PET = "000 110 111 1 110 1111 111 11 11 1 110 11 111 11 00 110 110 110 11 1 11"
SPECT = "011 111 111 1 111 1111 111 11 10 1 110 11 111 11 11 110 110 111 11 1 11"


def psychiatry():
    outcome = [(1, 1), (1, 0), (0, 1), (0, 0)]
    rows = [(*outcome[i], k) for k, row in enumerate(PSYCHIATRY.split()) for i in range(4) for _ in range(int(row[i]))]
    return tuple(np.array(rows).T)


def thyroids():
    patients = [len(glands) for glands in PET.split()]
    pet, spect = (np.array(list(glands.replace(" ", "")), dtype=int) for glands in (PET, SPECT))
    return pet, spect, np.repeat(np.arange(len(patients)), patients)


@pytest.mark.parametrize(
    ("data", "method", "chi_square"),
    [
        (psychiatry, "obuchowski", 7.19),
        (psychiatry, "durkalski", 7.542),
        (thyroids, "obuchowski", 2.86),
        (thyroids, "durkalski", 2.32),
    ],
)
def test_chi_square_that_durkalski_and_others_print(data, method, chi_square):
    result = mcnemar_clustered(*data(), method=method)
    digits = len(str(chi_square).split(".")[1])
    assert round(stats.chi2.isf(result.p_two_sided, 1), digits) == chi_square


def test_unclustered_chi_square_of_the_same_data():
    # 11.8451 and 4.5 in Durkalski et al. 2003: they check the data as typed here.
    for data, chi_square in ((psychiatry, 11.8451), (thyroids, 4.5)):
        table = error_table(*data()[:2])
        found = (table.corrected - table.introduced) ** 2 / (table.corrected + table.introduced)
        assert found == pytest.approx(chi_square, abs=5e-5)


def test_one_specimen_a_patient_is_mcnemar_up_to_the_estimated_variance():
    a, b, _ = psychiatry()
    result = mcnemar_clustered(a, b, np.arange(a.size))
    plain = mcnemar([[0, np.sum(a > b)], [np.sum(a < b), 0]], exact=False, correction=False)
    expected = plain.statistic * (a.size - 1) / a.size
    assert stats.chi2.isf(result.p_two_sided, 1) == pytest.approx(expected, rel=1e-9)
    durkalski = mcnemar_clustered(a, b, np.arange(a.size), method="durkalski")
    assert stats.chi2.isf(durkalski.p_two_sided, 1) == pytest.approx(plain.statistic, rel=1e-9)


@pytest.mark.parametrize("seed", range(8))
def test_exact_equals_statsmodels_and_the_binomial(seed):
    rng = np.random.default_rng(seed)
    a, b = rng.random(40) < 0.8, rng.random(40) < 0.6
    table, result = error_table(a, b), mcnemar_exact(a, b)
    cross = [[table.both_right, table.corrected], [table.introduced, table.both_wrong]]
    assert result.p_two_sided == pytest.approx(mcnemar(cross, exact=True).pvalue, rel=1e-9)
    binomial = stats.binomtest(table.corrected, table.corrected + table.introduced, alternative="greater")
    assert result.p_one_sided == pytest.approx(binomial.pvalue, rel=1e-9)
    assert result.difference == pytest.approx(a.mean() - b.mean())
    assert result.p_smallest_attainable <= result.p_two_sided
    assert (result.p_two_sided < 0.05) == (not result.low <= 0 <= result.high)


def test_errors_of_the_published_algorithm_against_a_reader():
    # 608 specimens, 121 errors of the reader of which 90 corrected, 62 errors of FL-CNN: 31 introduced, 31 kept.
    b_right = np.repeat([True, False], [487, 121])
    a_right = np.concatenate([np.repeat([True, False], [456, 31]), np.repeat([True, False], [90, 31])])
    table = error_table(a_right, b_right)
    assert table == ErrorTable(both_right=456, corrected=90, introduced=31, both_wrong=31)
    assert table.n == 608
    result = mcnemar_exact(a_right, b_right)
    assert result.difference == pytest.approx((121 - 62) / 608)
    assert result.p_two_sided == pytest.approx(stats.binomtest(90, 121).pvalue, rel=1e-9)


@pytest.mark.parametrize("method", ["obuchowski", "durkalski"])
def test_the_interval_is_a_t_interval_of_patients(method):
    a, b, groups = psychiatry()
    result = mcnemar_clustered(a, b, groups, method=method, confidence_level=0.9)
    size, excess = np.bincount(groups), np.bincount(groups, a - b)
    if method == "durkalski":
        test = stats.ttest_1samp(excess / size, 0)
    else:
        test = stats.ttest_1samp((excess - size * result.difference) / size.mean() + result.difference, 0)
    expected = test.confidence_interval(0.9)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


@pytest.mark.parametrize("method", ["obuchowski", "durkalski"])
def test_swapped_methods_mirror_and_the_order_does_not_matter(method):
    a, b, groups = psychiatry()
    order = np.random.default_rng(0).permutation(a.size)
    ours, swapped = mcnemar_clustered(a, b, groups, method=method), mcnemar_clustered(b, a, groups, method=method)
    again = mcnemar_clustered(a[order], b[order], groups[order], method=method)
    assert (ours.low, ours.high) == pytest.approx((-swapped.high, -swapped.low), abs=1e-12)
    assert ours.p_two_sided == pytest.approx(swapped.p_two_sided, rel=1e-9)
    assert ours.p_one_sided == pytest.approx(1 - swapped.p_one_sided, rel=1e-9)
    assert (again.difference, again.low, again.p_two_sided) == pytest.approx(
        (ours.difference, ours.low, ours.p_two_sided), rel=1e-9
    )


def test_two_chance_methods_in_patients_differ_at_the_nominal_rate():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(40), 15)
    rejected = dict.fromkeys(("clustered", "exact"), 0)
    for _ in range(400):
        lean = rng.normal(0, 0.25, 40)[groups]  # patients in which a does better, and patients in which b does
        a, b = rng.random(600) < 0.7 + lean, rng.random(600) < 0.7 - lean
        rejected["clustered"] += mcnemar_clustered(a, b, groups).p_two_sided < 0.05
        rejected["exact"] += mcnemar_exact(a, b).p_two_sided < 0.05
    assert 0.02 <= rejected["clustered"] / 400 <= 0.08
    assert rejected["exact"] / 400 > 0.2


@pytest.mark.parametrize("method", ["obuchowski", "durkalski"])
def test_the_smallest_attainable_p_is_that_of_equal_signs(method):
    a, b, groups = psychiatry()
    other_way = np.bincount(groups, a - b)[groups] > 0
    aligned = mcnemar_clustered(np.where(other_way, b, a), np.where(other_way, a, b), groups, method=method)
    result = mcnemar_clustered(a, b, groups, method=method)
    assert result.p_smallest_attainable == pytest.approx(aligned.p_two_sided, rel=1e-9)
    assert result.p_smallest_attainable < result.p_two_sided
    assert mcnemar_exact([1, 1, 0, 1], [0, 0, 1, 1]).p_smallest_attainable == 0.25


def test_no_difference_is_no_evidence_and_one_patient_no_test():
    same = np.array([1, 0, 1, 1])
    for result in (mcnemar_exact(same, same), mcnemar_clustered(same, same, [0, 0, 1, 1])):
        assert (result.difference, result.p_two_sided, result.p_one_sided) == (0, 1, 1)
        assert np.isnan(result.low)
        assert "nothing to test" in result.note
    alone = mcnemar_clustered(same, 1 - same, np.zeros(4))
    assert np.isnan(alone.p_two_sided)
    assert "one patient" in alone.note


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="a_right has 2; a specimen is wrong"):
        mcnemar_exact([2, 1], [0, 1])
    with pytest.raises(InputError, match="a_right has 1 values and b_right 2"):
        error_table([1], [0, 1])
    with pytest.raises(InputError, match="1 blank"):
        error_table([np.nan, 1], [0, 1])
    with pytest.raises(InputError, match="method 'yang' is unknown"):
        mcnemar_clustered([0, 1], [1, 0], [0, 1], method="yang")
