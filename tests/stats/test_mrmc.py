"""Published output on Van Dyke's study: MRMCaov (user guide, article of its authors) and RJafroc (dataset02)."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from glioscope.core import InputError
from glioscope.stats import auc_ci
from glioscope.stats._mrmc import compare_modalities, compare_standalone, reader_mean

SHARED = Path(os.environ.get("GLIOSCOPE_SHARED", Path(__file__).resolve().parents[3] / "shared"))
VAN_DYKE = SHARED / "data" / "vandyke" / "vandyke.csv"
needs_van_dyke = pytest.mark.skipif(not VAN_DYKE.exists(), reason=f"Van Dyke's reader study is not at {VAN_DYKE}")


@pytest.fixture(scope="module")
def van_dyke():
    """`y_true` (114,) and ratings (2 treatments, 5 readers, 114 cases)."""
    truth, ratings = np.zeros(114), np.zeros((2, 5, 114))
    with VAN_DYKE.open(newline="") as file:
        for row in csv.DictReader(file):
            case = int(row["case"]) - 1
            truth[case] = int(row["truth"])
            ratings[int(row["treatment"]) - 1, int(row["reader"]) - 1, case] = float(row["rating"])
    return truth, ratings


def study(seed=0, n_patients=15, per_patient=8, n_readers=4, n_modalities=2, gain=1.0):
    """Ratings with patient, case and reader effects, and no difference between modalities."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_patients), per_patient)
    y_true = rng.integers(0, 2, groups.size)
    shared = gain * y_true + 0.5 * rng.normal(size=n_patients)[groups] + 0.7 * rng.normal(size=groups.size)
    skill = rng.normal(0, 0.3, (n_modalities, n_readers, 1)) + rng.normal(0, 0.3, (n_readers, 1))
    return y_true, shared + skill * y_true + rng.normal(size=(n_modalities, n_readers, groups.size)), groups


def printed(text):
    """Numbers as printed, and each one's last digit's half: what a value may be off by."""
    words = text.split()
    return [(float(word), 0.5001 * 10 ** -len(word.partition(".")[2])) for word in words]


def assert_prints(values, text):
    for value, (number, slack) in zip(values, printed(text), strict=True):
        assert abs(value - number) <= slack, f"{value} is not {number}"


def shown(result):
    """F, df2, P; difference, SE, interval."""
    d = result.differences[0]
    return result.f, result.df2, result.pvalue, d.difference, d.standard_error, d.low, d.high


def interval(mean):
    return mean.value, mean.standard_error, mean.df, mean.low, mean.high


@needs_van_dyke
def test_sensitivity_as_mrmcaov_prints_it(van_dyke):
    truth, ratings = van_dyke
    result = compare_modalities(truth, ratings >= 3, metric="sensitivity")
    parts = result.components
    assert_prints((parts.ms_modality, parts.ms_interaction), "0.02390123 0.001802469")
    assert_prints(
        (parts.error, parts.cov1, parts.cov2, parts.cov3), "0.0023681257 0.0009943883 0.0010145903 0.0006604938"
    )
    assert_prints(shown(result), "6.689493 15.71732 0.02008822 -0.09777778 0.03780451 -0.1780371 -0.0175185")
    assert result.differences[0].p_two_sided == pytest.approx(result.pvalue, rel=1e-9)
    assert_prints(interval(result.modalities[0]), "0.8222222 0.05893747 14.456811 0.6961876 0.9482568")
    assert_prints(interval(result.modalities[1]), "0.9200000 0.03741657 7.575855 0.8328691 1.0000000")


@needs_van_dyke
def test_auc_with_jackknife_as_rjafroc_stores_it(van_dyke):
    result = compare_modalities(*van_dyke)
    parts = result.components
    means = (parts.ms_modality, parts.ms_reader, parts.ms_interaction)
    assert_prints(means, "0.0047961705317 0.0038361999891 0.0005510306217")
    covariances = (parts.error, parts.cov1, parts.cov2, parts.cov3)
    assert_prints(covariances, "0.0008022882656 0.0003466137094 0.0003440748289 0.0002390283709")
    text = "4.456318693 15.25967459 0.05166568582 -0.04380032206 0.02074861838 -0.08795949857 0.0003588544442"
    assert_prints(shown(result), text)
    assert result.differences[0].statistic == pytest.approx(-2.110999454, abs=5e-10)
    assert_prints(interval(result.modalities[0]), "0.8970370370 0.03317359696 12.74464760 0.8252235975 0.9688504765")
    assert_prints(interval(result.modalities[1]), "0.9408373591 0.02156636837 12.71018964 0.8941378312 0.9875368870")


@needs_van_dyke
def test_auc_with_delong_as_mrmcaov_prints_it(van_dyke):
    result = compare_modalities(*van_dyke, covariance="delong")
    parts = result.components
    assert_prints(
        (parts.error, parts.cov1, parts.cov2, parts.cov3), "0.0007921325 0.0003420090 0.0003395265 0.0002358497"
    )
    assert_prints(shown(result), "4.484854 15.06611 0.05123303 -0.04380032 0.0206825 -0.0878671960 0.0002665519")
    assert_prints(interval(result.modalities[0]), "0.8970370 0.03307642 12.59597 0.8253461 0.9687280")
    assert_prints(interval(result.modalities[1]), "0.9408374 0.02150464 12.56530 0.8942155 0.9874592")


@needs_van_dyke
def test_fixed_readers_and_fixed_cases_as_mrmcaov_prints_them(van_dyke):
    result = compare_modalities(*van_dyke, readers="fixed")
    f, df2, *others = shown(result)
    assert_prints((f, *others), "5.475953 0.01927984 -0.04380032 0.01871748 -0.08048591 -0.00711473")
    assert df2 == np.inf
    assert_prints(interval(result.modalities[0])[:2], "0.8970370 0.02428971")
    assert_prints(interval(result.modalities[1])[3:], "0.9079564 0.9737183")
    result = compare_modalities(*van_dyke, cases="fixed")
    assert_prints(shown(result), "8.704 4 0.04195875 -0.04380032 0.01484629 -0.08502022 -0.00258042")
    assert_prints(interval(result.modalities[0]), "0.8970370 0.02482994 4 0.8280981 0.9659760")


@needs_van_dyke
@pytest.mark.parametrize(
    ("reader", "text"),
    [
        (0, "-0.02818035 0.02551213 -0.078183215 0.021822507 0.26933885"),
        (1, "-0.04653784 0.02630183 -0.098088476 0.005012792 0.07683102"),
        (2, "-0.01787440 0.03120965 -0.079044180 0.043295388 0.56683414"),
        (3, "-0.02624799 0.01729129 -0.060138290 0.007642316 0.12901715"),
        (4, "-0.10016103 0.04405746 -0.186512066 -0.013809995 0.02300099"),
    ],
)
def test_a_single_reader_as_mrmcaov_prints_it(van_dyke, reader, text):
    truth, ratings = van_dyke
    result = compare_modalities(truth, ratings[:, [reader]])
    d = result.differences[0]
    assert_prints((d.difference, d.standard_error, d.low, d.high, d.p_two_sided), text)
    assert result.pvalue == pytest.approx(d.p_two_sided, rel=1e-9)
    assert "one reader" in d.method


@pytest.mark.parametrize("options", [{}, {"covariance": "delong"}, {"readers": "fixed"}, {"metric": "specificity"}])
def test_an_algorithm_alone_is_a_modality_that_all_readers_read_alike(options):
    # The published equivalence of 1T-RRRC and 2T-RRRC (Chakraborty 2017, chapter 22).
    y_true, ratings, _ = study(n_readers=5)
    ratings = ratings > 0.5 if "metric" in options else ratings
    copies = np.stack([np.tile(ratings[0, 0], (5, 1)), ratings[1]])
    ours = compare_standalone(y_true, ratings[0, 0], ratings[1], **options)
    factorial = compare_modalities(y_true, copies, **options)
    pair = factorial.differences[0]
    names = ("difference", "low", "high", "p_two_sided", "p_one_sided", "standard_error", "df")
    for name in names:
        assert getattr(ours.difference, name) == pytest.approx(getattr(pair, name), rel=1e-9)
    assert ours.difference.difference == pytest.approx(ours.algorithm.value - ours.readers.value)
    assert ours.readers.low == pytest.approx(factorial.modalities[1].low)


@pytest.mark.parametrize("grouped", [False, True])
def test_jackknife_equals_leaving_out_by_hand(grouped):
    y_true, ratings, groups = study(1, n_patients=9, per_patient=5)
    ratings = ratings.round()  # with ties
    units = groups if grouped else np.arange(y_true.size)
    left_out = np.array(
        [
            [roc_auc_score(y_true[units != unit], reading[units != unit]) for reading in ratings[0]]
            for unit in np.unique(units)
        ]
    )
    n = len(left_out)
    excess = left_out - left_out.mean(axis=0)
    sigma = (n - 1) / n * excess.T @ excess
    result = reader_mean(y_true, ratings[0], readers="fixed", groups=groups if grouped else None)
    assert result.standard_error == pytest.approx(np.sqrt(sigma.mean()), rel=1e-9)
    assert result.df == (n - 1 if grouped else np.inf)
    areas = [roc_auc_score(y_true, reading) for reading in ratings[0]]
    shared = sigma[~np.eye(4, dtype=bool)].mean()
    total = np.var(areas, ddof=1) + 4 * max(shared, 0)
    random = reader_mean(y_true, ratings[0], groups=groups if grouped else None)
    assert random.standard_error == pytest.approx(np.sqrt(total / 4), rel=1e-9)
    published = 3 * total**2 / np.var(areas, ddof=1) ** 2
    assert random.df == pytest.approx(min(published, n - 1) if grouped else published, rel=1e-9)


@pytest.mark.parametrize("metric", ["auc", "sensitivity", "specificity", "accuracy"])
def test_delong_and_jackknife_by_patient_agree_where_patients_are_many(metric):
    y_true, ratings, groups = study(2, n_patients=150, per_patient=6)
    ratings = ratings if metric == "auc" else ratings > 0.5
    for clustered in (None, groups):
        results = [
            compare_modalities(y_true, ratings, metric=metric, covariance=covariance, groups=clustered)
            for covariance in ("jackknife", "delong")
        ]
        jackknife, delong = (result.components for result in results)
        for name in ("error", "cov1", "cov2", "cov3"):
            assert getattr(jackknife, name) == pytest.approx(getattr(delong, name), rel=0.06)


def test_one_reading_has_the_standard_error_of_the_clustered_auc():
    y_true, ratings, groups = study(3)
    ours = reader_mean(y_true, ratings[0, :1], covariance="delong", groups=groups)
    reference = auc_ci(y_true, ratings[0, 0], groups=groups)
    # auc_ci works on the logit scale: its half width there is t times the standard error over AUC (1 - AUC).
    logit = np.log([reference.low / (1 - reference.low), reference.high / (1 - reference.high)])
    scale = ours.value * (1 - ours.value)
    assert (ours.high - ours.low) / scale == pytest.approx(logit[1] - logit[0], rel=1e-9)


@pytest.mark.parametrize("metric", ["auc", "sensitivity", "accuracy"])
@pytest.mark.parametrize("covariance", ["jackknife", "delong"])
def test_doubled_cases_of_a_patient_are_no_new_evidence(metric, covariance):
    y_true, ratings, groups = study(4)
    ratings = ratings if metric == "auc" else ratings > 0.5
    options = {"metric": metric, "covariance": covariance}
    once, twice = (
        [
            compare_modalities(np.tile(y_true, k), np.tile(ratings, k), groups=g, **options).components.error
            for g in (None, np.tile(groups, k))
        ]
        for k in (1, 2)
    )
    assert twice[0] == pytest.approx(once[0] / 2, rel=0.1)
    assert twice[1] == pytest.approx(once[1], rel=1e-9)


def test_order_of_readers_and_cases_does_not_matter_and_swapped_modalities_mirror():
    y_true, ratings, groups = study(5, n_modalities=3)
    order, people = np.random.default_rng(0).permutation(y_true.size), [2, 0, 3, 1]
    ours = compare_modalities(y_true, ratings, groups=groups)
    again = compare_modalities(y_true[order], ratings[:, people][:, :, order], groups=groups[order])
    swapped = compare_modalities(y_true, ratings[[1, 0, 2]], groups=groups)
    first, mirror = ours.differences[0], swapped.differences[0]
    assert (again.f, again.df2, again.pvalue) == pytest.approx((ours.f, ours.df2, ours.pvalue), rel=1e-9)
    assert (first.low, first.high) == pytest.approx((-mirror.high, -mirror.low), rel=1e-9)
    assert first.p_one_sided == pytest.approx(1 - mirror.p_one_sided, rel=1e-9)
    assert (swapped.f, swapped.pvalue) == pytest.approx((ours.f, ours.pvalue), rel=1e-9)
    assert [d.difference for d in ours.differences] == pytest.approx(
        [ours.modalities[i].value - ours.modalities[j].value for i, j in ((0, 1), (0, 2), (1, 2))]
    )


def test_auc_does_not_depend_on_the_scale_of_a_reading():
    y_true, ratings, _ = study(6)
    scaled = ratings.copy()
    scaled[1, 2] = np.exp(3 * scaled[1, 2]) - 7
    assert compare_modalities(y_true, scaled).f == pytest.approx(compare_modalities(y_true, ratings).f, rel=1e-9)


def roe_metz(rng, n_readers=5, n_cases=60):
    """Ratings of Roe and Metz (1997): random readers and cases, equal modalities, AUC 0.86."""
    y_true = np.arange(n_cases) % 2

    def effect(shape, variance):
        return rng.normal(0, np.sqrt(variance), shape)

    cases = effect((1, 1, n_cases), 0.3) + effect((2, 1, n_cases), 0.3) + effect((1, n_readers, n_cases), 0.2)
    readers = effect((1, n_readers, 2), 0.03) + effect((2, n_readers, 2), 0.03)
    return y_true, 1.5 * y_true + readers[:, :, y_true] + cases + effect((2, n_readers, n_cases), 0.2)


def test_equal_modalities_differ_at_the_nominal_rate():
    rng = np.random.default_rng(0)
    random, fixed_cases = [], []
    for _ in range(500):
        y_true, ratings = roe_metz(rng)
        random.append(compare_modalities(y_true, ratings).pvalue)
        fixed_cases.append(compare_modalities(y_true, ratings, cases="fixed").pvalue)
    assert 0.02 <= np.mean(np.array(random) < 0.05) <= 0.08
    assert np.mean(np.array(fixed_cases) < 0.05) > 0.1


def test_few_patients_need_the_limit_on_degrees_of_freedom():
    rng = np.random.default_rng(1)
    covered = by_case = 0
    for _ in range(400):
        groups = np.repeat(np.arange(8), 25)
        lean = rng.normal(0, 0.8, 8)[groups]
        right = rng.random((3, 200)) < 1 / (1 + np.exp(-1 - lean))
        truth = np.ones(200)
        ours = reader_mean(truth, right, metric="sensitivity", groups=groups)
        plain = reader_mean(truth, right, metric="sensitivity")
        share = 0.7070  # mean of the logistic of a normal with mean 1 and SD 0.8
        covered += ours.low <= share <= ours.high
        by_case += plain.low <= share <= plain.high
    assert 0.91 <= covered / 400 <= 0.98
    assert by_case / 400 < 0.8


def test_readers_who_all_agree_and_one_patient_with_all_positives_have_no_interval():
    y_true, _, groups = study(7)
    perfect = compare_modalities(y_true, np.tile(y_true, (2, 3, 1)))
    assert perfect.modalities[0].value == 1
    assert np.isnan([perfect.pvalue, perfect.modalities[0].low, perfect.differences[0].high]).all()
    assert perfect.differences[0].note == "the estimated variance is zero: no interval"
    alone = reader_mean(groups == 3, study(7)[1][0], groups=groups)
    assert np.isnan(alone.low)
    assert alone.note == "every positive case is of the same patient: no interval"
    same = compare_standalone(y_true, y_true, np.tile(y_true, (3, 1)), metric="accuracy")
    assert same.difference.difference == 0
    assert np.isnan(same.difference.p_two_sided)


def test_fixed_cases_leave_the_algorithm_without_an_interval():
    y_true, ratings, _ = study(8)
    result = compare_standalone(y_true, ratings[0, 0], ratings[1], cases="fixed")
    assert np.isnan(result.algorithm.low)
    assert result.algorithm.note == "cases are fixed: no interval"
    assert result.algorithm.method == "Obuchowski-Rockette (one algorithm, fixed cases, jackknife)"
    assert np.isfinite(result.difference.p_two_sided)


def test_bad_input_is_refused():
    y_true, ratings, _ = study()
    holed = ratings.copy()
    holed[1, 2, 3] = np.nan
    with pytest.raises(InputError, match="1 ratings are missing, first modality 1, reader 2, case 3"):
        compare_modalities(y_true, holed)
    with pytest.raises(InputError, match="ratings has one modality"):
        compare_modalities(y_true, ratings[:1])
    with pytest.raises(InputError, match="must have the axes reader, case"):
        reader_mean(y_true, ratings)
    with pytest.raises(InputError, match="sensitivity needs decisions"):
        reader_mean(y_true, ratings[0], metric="sensitivity")
    with pytest.raises(InputError, match="both fixed"):
        reader_mean(y_true, ratings[0], readers="fixed", cases="fixed")
    with pytest.raises(InputError, match="one reader is a fixed one"):
        reader_mean(y_true, ratings[0, :1], cases="fixed")
    with pytest.raises(InputError, match="none of 120 cases is negative; auc needs some"):
        reader_mean(np.ones(120), ratings[0])
    with pytest.raises(InputError, match="y_true has 119 cases and each reading 120"):
        reader_mean(y_true[1:], ratings[0])
    with pytest.raises(InputError, match="standalone has 119 cases and ratings 120"):
        compare_standalone(y_true, ratings[0, 0, 1:], ratings[1])
    with pytest.raises(InputError, match="metric 'f1' is unknown"):
        reader_mean(y_true, ratings[0], metric="f1")
    with pytest.raises(InputError, match="readers 'some' is unknown"):
        reader_mean(y_true, ratings[0], readers="some")
