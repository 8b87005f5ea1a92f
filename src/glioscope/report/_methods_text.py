"""The methods paragraph, from what was really run."""

from collections.abc import Iterable
from typing import Final

from glioscope import __version__
from glioscope.stats import N_PERMUTATIONS, N_RESAMPLES, Operating

from ._analysis import Analysis, TaskAnalysis
from ._calibration_study import CALIBRATORS
from ._study_tables import task_title

_STRICT = (
    "Strict protocol. Thresholds were locked before the test specimens were looked at: {thresholds}. Intervals are "
    "by patient and fit for few of them: of the AUC, F1, balanced accuracy and MCC by leaving out one patient at a "
    "time (jackknife), with t quantiles of K - 1 degrees of freedom for K patients, on the logit scale where the "
    "metric lies in [0, 1]; of sensitivity, specificity, PPV, NPV and accuracy by Korn and Graubard's interval. "
    "Differences have jackknife intervals by patient. P values come from swapping the answers of two methods for "
    "whole patients, enumerated where all swaps are at most {permutations:,}, and are two-sided unless said "
    "otherwise; AUCs are compared on ranks within each method. They are adjusted by Holm's method within a family, "
    "which is one table unless study.toml declares another."
)
_PAPER = (
    "Paper protocol (Shen et al. 2021). Thresholds were chosen on the test specimens: {thresholds}. Intervals are "
    "percentiles of {resamples:,} bootstrap resamples of specimens, the threshold chosen again in each. P values "
    "come from {permutations:,} random swaps within specimens, (b + 1) / (B + 1). Specimens of one patient are "
    "taken as independent."
)
_READERS = (
    "Readers. {who}. Errors of readers that the model corrects and introduces were compared by McNemar's test, "
    "clustered by patient (Obuchowski 1998) under the strict and exact under the paper protocol. The multi-reader "
    "analysis is Obuchowski and Rockette's with Hillis' degrees of freedom, random readers and patients, "
    "covariances by leaving out one patient at a time. Agreement is Fleiss' kappa."
)
_CALIBRATION = (
    "Calibration. Calibrators ({names}) were fitted on tuning rows and judged on test rows by Brier score, expected"
    " calibration error (10 bins of equal width), calibration in the large and slope, with cluster-robust "
    "intervals."
)


COVERAGE: Final = {"strict": {7: 0.948, 23: 0.943}, "paper": {7: 0.817, 23: 0.807}}
"""Protocol -> test patients -> share of the AUC's 95 % intervals that hold the true value: `make bench-coverage`."""


def coverage_text() -> str:
    """How far the paper's intervals can be trusted, by simulation."""
    strict, paper = ({n: f"{100 * share:.0f} %" for n, share in COVERAGE[name].items()} for name in ("strict", "paper"))
    return (
        "In simulated cohorts of uneven patients (intraclass correlation 0.1, AUC 0.945; make bench-coverage) the "
        f"paper's 95 % interval of the AUC holds the true value in {paper[7]} with 7 test patients and in {paper[23]} "
        f"with 23, the strict one in {strict[7]} and {strict[23]}."
    )


def methods_text(analysis: Analysis) -> tuple[str, ...]:
    """Paragraphs on data, protocols, readers and calibration, as they apply to this run."""
    paragraphs = [_data(analysis.headline)]
    for name, tasks in analysis.by_protocol.items():
        text = _STRICT if name == "strict" else _PAPER
        rules = _thresholds(tasks.values())
        paragraphs.append(text.format(thresholds=rules, permutations=N_PERMUTATIONS, resamples=N_RESAMPLES))
    read = next((a.readers for a in analysis.headline.values() if a.readers), None)
    if read:
        who = "; ".join(
            f"{len(panel.readers)} readers read {panel.modality.upper()} images of {panel.mean.n_specimens} specimens"
            for panel in read.panels.values()
        )
        paragraphs.append(_READERS.format(who=who))
    if any(item.source in CALIBRATORS for a in analysis.headline.values() for item in a.calibration):
        paragraphs.append(_CALIBRATION.format(names=", ".join(CALIBRATORS)))
    paragraphs.append(f"glioscope {__version__}; seed {analysis.seed} for every resample and swap.")
    return tuple(paragraphs)


def _data(tasks: dict[str, TaskAnalysis]) -> str:
    parts = [
        f"{task_title(name)}: {a.result.n_specimens} specimens of {a.result.n_patients} patients, models "
        f"{', '.join(a.result.methods)} (under study: {a.primary})"
        for name, a in tasks.items()
    ]
    return f"Data. Test specimens with a known label. {'. '.join(parts)}. Missing labels were left out, never negative."


def _origin(operating: Operating) -> str:
    if operating.rule in ("decision column", "fixed"):
        return {"decision column": "decisions made before", "fixed": "a threshold that was given"}[operating.rule]
    return f"{operating.rule} on {operating.chosen_on}"


def _thresholds(tasks: Iterable[TaskAnalysis]) -> str:
    used = {
        _origin(method.operating)
        for analysis in tasks
        for method in analysis.result.methods.values()
        if method.operating is not None
    }
    return "; ".join(sorted(used)) or "none was known, so only AUCs are given"
