"""bench-coverage: how often 95 % intervals hold the true value, for few patients of uneven sizes with alike specimens.

Strict is what the strict protocol prints, `auc_ci(method="jackknife", groups=...)`; paper is the bootstrap of 1000
resamples of specimens. A score is `distance * y + patient + rest`, within a class of variance 1, of which the share ICC
lies between patients; the true AUC is that of two specimens of different patients, Phi(distance / sqrt(2)). A patient's
effect is shared by his positives and negatives, or ("own effects") there is one for each class.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from joblib import Parallel, delayed
from scipy import special

from common import finish, parser
from glioscope.stats import Interval, auc_ci, bootstrap_calls, clopper_pearson, clustered_proportion

SPECIMENS = {7: 608, 23: 1874}
"""Patients -> specimens: the paper's test patients, and all of its patients out of fold."""
SENSITIVITY = 375 / 400


@dataclass(frozen=True)
class Scenario:
    """How a cohort is drawn; `positive_share` is the beta mean of tumour, or the share of patients with positives."""

    name: str
    true_auc: float = 0.945
    icc: float = 0.1
    positive_share: float = 0.7
    whole_patients: bool = False
    own_effects: bool = False

    def draw(self, n_patients: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Labels, scores and patients of a cohort."""
        sizes = uneven_sizes(n_patients, rng)
        groups = np.repeat(np.arange(n_patients), sizes)
        if self.whole_patients:
            positive = rng.permutation(n_patients) < round(n_patients * self.positive_share)
            labels = positive[groups]
        else:
            share = rng.beta(4 * self.positive_share, 4 * (1 - self.positive_share), n_patients)
            labels = rng.random(groups.size) < share[groups]
        effect = rng.normal(0, math.sqrt(self.icc), (2, n_patients))
        patient = effect[labels.astype(int) if self.own_effects else 0, groups]
        distance = math.sqrt(2) * special.ndtri(self.true_auc)
        scores = distance * labels + patient + rng.normal(0, math.sqrt(1 - self.icc), groups.size)
        return labels, scores, groups


MAIN = Scenario("main")
OTHERS = (
    Scenario("own effects", own_effects=True),
    Scenario("auc 0.8", true_auc=0.8),
    Scenario("icc 0.3", icc=0.3),
    Scenario("positives in a third", positive_share=1 / 3, whole_patients=True, true_auc=0.81),
)
AUC_METHODS: dict[str, Callable[..., Interval]] = {
    "strict": lambda y, s, g, rng: auc_ci(y, s, method="jackknife", groups=g),
    "clustered_delong": lambda y, s, g, rng: auc_ci(y, s, groups=g),
    "delong": lambda y, s, g, rng: auc_ci(y, s),
}
# They take most of the time: in the main scenario only. In the others DeLong, which covers alike, stands for paper.
AUC_BOOTSTRAPS: dict[str, Callable[..., Interval]] = {
    "paper": lambda y, s, g, rng: auc_ci(y, s, method="bootstrap", n_resamples=1000, rng=rng),
    "patient_bootstrap": lambda y, s, g, rng: auc_ci(y, s, method="bootstrap", groups=g, n_resamples=1000, rng=rng),
}
SENSITIVITY_METHODS: dict[str, Callable[..., Interval]] = {
    "strict": lambda hit, g, rng: clustered_proportion(hit, g),
    "paper": lambda hit, g, rng: bootstrap_calls(
        np.ones(hit.size), hit, metrics=["sensitivity"], n_resamples=1000, rng=rng
    ).interval("sensitivity"),
    "clopper_pearson": lambda hit, g, rng: clopper_pearson(int(hit.sum()), hit.size),
}


def uneven_sizes(n_patients: int, rng: np.random.Generator, share: float = 1.0) -> np.ndarray:
    """Lognormal sizes (the largest of 7 patients has about twice the mean), together that share of the specimens."""
    weights = rng.lognormal(0, 0.5, n_patients)
    return np.maximum(np.round(share * SPECIMENS[n_patients] * weights / weights.sum()), 2).astype(int)


def auc_intervals(scenario: Scenario, n_patients: int, seed: int) -> dict[str, Interval]:
    rng = np.random.default_rng([seed, n_patients])
    cohort = scenario.draw(n_patients, rng)
    methods = AUC_METHODS | (AUC_BOOTSTRAPS if scenario == MAIN else {})
    return {name: method(*cohort, rng) for name, method in methods.items()}


def sensitivity_intervals(n_patients: int, seed: int) -> dict[str, Interval]:
    """Of right calls of positives, whose share varies between patients as a beta of that ICC."""
    rng = np.random.default_rng([seed, n_patients])
    groups = np.repeat(np.arange(n_patients), uneven_sizes(n_patients, rng, share=0.7))
    strength = 1 / MAIN.icc - 1
    own = rng.beta(strength * SENSITIVITY, strength * (1 - SENSITIVITY), n_patients)
    hit = rng.random(groups.size) < own[groups]
    return {name: method(hit, groups, rng) for name, method in SENSITIVITY_METHODS.items()}


def coverage(intervals: list[dict[str, Interval]], true: float) -> dict[str, dict[str, float]]:
    """Method -> share of intervals that hold `true`, that lie below and above it, mean width, share without one."""
    found = {}
    for name in intervals[0]:
        low, high = np.array([(each[name].low, each[name].high) for each in intervals]).T
        known = ~np.isnan(low)
        low, high = low[known], high[known]
        measured = {
            "coverage": np.mean((low <= true) & (true <= high)),
            "below": np.mean(high < true),
            "above": np.mean(low > true),
            "width": np.mean(high - low),
            "none": np.mean(~known),
        }
        found[name] = {key: round(float(value), 4) for key, value in measured.items()}
    return found


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--cohorts", type=int, default=2000, help="simulated cohorts for each row")
    options = arguments.parse_args()
    seeds, started = range(options.cohorts), time.perf_counter()
    error = round(math.sqrt(0.95 * 0.05 / options.cohorts), 4)
    print(f"{options.cohorts} cohorts a row; Monte-Carlo standard error at a coverage of 0.95: {error}", flush=True)
    rows: dict[str, dict[int, dict[str, dict[str, float]]]] = {}
    with Parallel(n_jobs=2) as parallel:
        for n_patients in SPECIMENS:
            runs = {s.name: (s.true_auc, delayed(auc_intervals), (s, n_patients)) for s in (MAIN, *OTHERS)}
            runs["sensitivity"] = (SENSITIVITY, delayed(sensitivity_intervals), (n_patients,))
            for name, (true, run, given) in runs.items():
                found = coverage(parallel(run(*given, seed) for seed in seeds), true)
                rows.setdefault(name, {})[n_patients] = found
                for method, measured in found.items():
                    numbers = "  ".join(f"{key} {value:.4f}" for key, value in measured.items())
                    print(f"{n_patients:2d} patients  {name:32s}{method:18s}{numbers}", flush=True)
    main_rows = rows[MAIN.name]
    finish(
        "bench-coverage",
        {
            "strict_coverage": {k: found["strict"]["coverage"] for k, found in main_rows.items()},
            "paper_coverage": {k: found["paper"]["coverage"] for k, found in main_rows.items()},
            "monte_carlo_error": error,
            "cohorts": options.cohorts,
            "rows": rows,
            "data": "simulated scores",
            "seconds": round(time.perf_counter() - started),
        },
        record=options.record,
    )


if __name__ == "__main__":
    main()
