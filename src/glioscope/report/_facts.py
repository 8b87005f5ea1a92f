"""What a run knows of itself, as facts for the reporting checklists."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from glioscope import __version__
from glioscope.core import BundleInfo

from ._analysis import Analysis
from ._study_tables import task_title

if TYPE_CHECKING:
    import pandas as pd


def run_facts(
    analysis: Analysis, predictions: "pd.DataFrame", bundles: Sequence[BundleInfo], *, pathologists: bool
) -> dict[str, str]:
    """Facts of `RUN_FACTS` that predictions, analysis and (where a suite was given) bundles truly know."""
    tasks = analysis.headline
    sizes = [f"{task_title(n)} {a.result.n_specimens} of {a.result.n_patients} patients" for n, a in tasks.items()]
    per_split = predictions.groupby("split")["patient_id"].nunique()
    missing = predictions[predictions["split"] == "test"].drop_duplicates(["task", "specimen_id"])
    unknown = missing["y_true"].isna().groupby(missing["task"], sort=False).sum()
    thresholds = [
        f"{task_title(name)} {model}: {m.operating.rule}, chosen on {m.operating.chosen_on}"
        for name, a in tasks.items()
        for model, m in a.result.methods.items()
        if m.operating is not None
    ]
    readers = any(a.readers for a in tasks.values())
    facts = {
        "n_patients": "; ".join(f"{role}: {n} patients" for role, n in per_split.items()),
        "n_specimens": f"test specimens with a label: {', '.join(sizes)} (figures 1a and S1)",
        "data_split": "by patient; no patient is in the tuning and the test set of one model and fold (checked)",
        "thresholds": "; ".join(thresholds),
        "statistics": "see Methods of this report",
        "intervals": "see Methods of this report",
        "missing_labels": "; ".join(f"{task_title(str(n))}: {k} test specimens" for n, k in unknown.items())
        + "; masked",
        "indeterminate": _unanswered(analysis),
        "heterogeneity": "figures and tables of the spread between patients",
        "cross_tabulation": "tables of thresholds and counts",
        "accuracy": "tables 1 to 3, with intervals",
        "calibration": _calibration(analysis),
        "errors": "figure and table S4" if readers else "",
        "agreement": "table of the pathologists' agreement" if pathologists else "",
        "outputs": "the predictions table that was evaluated",
        "software_version": f"glioscope {__version__}, NumPy {version('numpy')}, SciPy {version('scipy')}",
    }
    return {name: text for name, text in {**facts, **_bundle_facts(bundles)}.items() if text}


def _unanswered(analysis: Analysis) -> str:
    left = {
        name: int((~a.result.methods[a.primary].answered).sum())
        for name, a in analysis.headline.items()
        if a.result.methods[a.primary].answered.any()
    }
    if not left:
        return ""
    counted = "; ".join(f"{task_title(name)}: {n} without an answer" for name, n in left.items())
    return f"{counted}; counted as wrong under intention to diagnose"


def _calibration(analysis: Analysis) -> str:
    sources = {item.source for a in analysis.headline.values() for item in a.calibration}
    return f"judged on test specimens: {', '.join(sorted(sources))}" if sources else ""


def _bundle_facts(bundles: Sequence[BundleInfo]) -> dict[str, str]:
    if not bundles:
        return {}
    first = bundles[0]
    settings = "; ".join(f"{name} {value}" for name, value in first.provenance.settings.items())
    return {
        "preprocessing": "plans of every bundle (bundle.json), the same in training and use",
        "architecture": f"{first.backbone}, one network a task and image: {', '.join(b.name for b in bundles)}",
        "initialisation": first.provenance.weights,
        "training": f"{first.provenance.strategy}; {settings}",
        "model_selection": "best AUC on tuning patients",
        "model_files": "model bundles with ONNX, weights and SHA-256 sums",
    }
