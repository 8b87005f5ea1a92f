"""The model card that goes into a bundle: what it is, what it saw, what it may not be used for."""

from glioscope import RESEARCH_USE
from glioscope.core import BundleInfo

_DATA_KIND = {
    "simulated": "**Simulated images.** Nothing here says how the model does on patients.",
    "real": "Real images.",
}


def model_card(info: BundleInfo) -> str:
    """Markdown text of `model_card.md`."""
    p, m = info.provenance, info.metrics
    counts = ", ".join(f"{name}: {n}" for name, n in p.class_counts.items())
    auc = "not known (a class is missing there)" if m.tune_auc is None else f"{m.tune_auc:.3f}"
    threshold = ", ".join(f"{t:.4g}" for t in info.threshold.logit)
    settings = "\n".join(f"- {name}: {value}" for name, value in p.settings.items())
    versions = ", ".join(f"{name} {v}" for name, v in p.versions.items())
    return f"""# {info.name}

{RESEARCH_USE}

Task `{info.task.name}`: {" / ".join(info.task.class_names)}, from {" and ".join(info.modality.inputs)} images of an
excised specimen. Backbone {info.backbone}, strategy {p.strategy}. {p.weights}.

## Data
{_DATA_KIND.get(p.data_kind, "The manifest does not say whether its images are real or simulated.")}

Trained on {len(p.train_patients)} patients ({counts} image sets); threshold and choices on {len(p.tune_patients)} other
patients ({m.tune_specimens} specimens with a label). Fold {p.fold}, seed {p.seed}, split {p.split}.
Manifest SHA-256 {p.manifest_sha256}.

## Performance
AUC on tuning patients: {auc}. It chose the threshold and this model, so it flatters: the figures to quote are those of
test patients, in the run's `predictions.csv`.

Positive at a logit of {threshold} or more; rule: {info.threshold.rule}; chosen on: {info.threshold.chosen_on}.
The score is the sigmoid of a logit from class-weighted training: it is not a calibrated probability.

## Choices
{settings}

## Limits
Few patients from one system. Other cameras, doses, exposures or distances are outside what it has seen.

Made with {versions}.
"""
