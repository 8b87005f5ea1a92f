"""The model card that goes into a bundle: what it is, what it saw, what it may not be used for."""

from glioscope import RESEARCH_USE
from glioscope.core import Abstention, BundleInfo, Promise

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

## Certainty
{_certainty(info)}

## What it was trained to see
{_seen(info)}

## Choices
{settings}

## Limits
Few patients from one system. Other cameras, doses, exposures or distances are outside what it has seen.
The promise and the calibration rest on networks of other patients that were trained in the same way, not on this one,
and on patients being exchangeable: they say nothing of another hospital.

Made with {versions}.
"""


def _certainty(info: BundleInfo) -> str:
    if not info.calibration:
        return (
            "No calibration and no abstention band: there are no out-of-fold scores of both classes and two patients."
        )
    first = info.calibration[0]
    lines = [
        f"Calibration: {first.method}; {first.n_patients} patients, {first.n_specimens} specimens, each scored by a "
        f"network that had not seen the patient. Intervals at {first.confidence_level:.0%}.",
        *(f"- probability = sigmoid({c.slope:.4g} logit {c.intercept:+.4g})" for c in info.calibration),
    ]
    if info.abstention is None:
        return "\n".join([*lines, "", "No abstention band: the task has ordered levels."])
    return "\n".join([*lines, "", *_abstention(info.abstention)])


def _abstention(band: Abstention) -> list[str]:
    where = "nothing"
    if band.low < band.high:
        where = f"from a logit of {band.low:.4g} up to, not including, {band.high:.4g}"
    rows = [f"| {name} | {r.n} | {r.answered} | {r.wrong} |" for name, r in band.by_patient.items()]
    return [
        f"Target: {band.target}, the share of a class's specimens that get the other class's name, as expected of a "
        "new patient (conformal risk control over patients).",
        *(f"- {_promise(promise)}" for promise in (band.negative, band.positive)),
        "",
        f"Indeterminate: {where}. Answered: {band.coverage:.1%} of the specimens, mean over the patients below, all "
        "out of fold.",
        "",
        "| patient | specimens | answered | wrong |",
        "| --- | --- | --- | --- |",
        *rows,
    ]


def _promise(promise: Promise) -> str:
    found = "no patient has it"
    if promise.achieved is not None and promise.worst is not None:
        mean = f"achieved {promise.achieved:.3f} on average over {promise.n_patients} patients"
        found = f"{mean}, {promise.worst:.3f} in the worst"
    if promise.refused:
        return f"{promise.class_name}: refused, {promise.refused}. Without: {found}."
    return f"{promise.class_name}: at most {promise.miscoverage:g} promised; {found}."


def _seen(info: BundleInfo) -> str:
    lines = [f"- {name}: {low:g} to {high:g}" for name, (low, high) in info.conditions.items()]
    if info.envelope is None:
        lines.append("- no envelope: too few patients or images; how unlike an image is to these is not checked")
    else:
        e = info.envelope
        lines.append(
            f"- envelope: {e.method}, rank {e.rank}, limit {e.limit:.4g} ({e.rule}); {e.n_images} images of "
            f"{e.n_patients} patients"
        )
    limits = {name: limit for name, limit in info.quality.model_dump().items() if limit is not None}
    lines += [f"- quality: {name} {limit:g}" for name, limit in limits.items()]
    return "\n".join(lines)
