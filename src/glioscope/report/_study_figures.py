"""Every figure of performance of a study, from an `Analysis`."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from glioscope.stats import Estimate, Method, auc_by, counts, decision_curve, net_benefit, roc_band, roc_curve

from ._analysis import Analysis, TaskAnalysis
from ._calibration_study import RAW, Calibrated, risk_coverage
from ._cascade import Cascade
from ._document import Figure
from ._figures_calibration import ReliabilityLine
from ._figures_calibration import reliability as draw_reliability
from ._figures_curves import Curve
from ._figures_curves import decision_curve as draw_decision_curve
from ._figures_curves import risk_coverage as draw_risk_coverage
from ._figures_decisions import ScoredClasses
from ._figures_decisions import decisions as draw_decisions
from ._figures_errors import ReaderErrors, errors_matrix
from ._figures_flow import FlowColumn, FlowPath, cascade_flow
from ._figures_intervals import ProtocolPair, against_published
from ._figures_intervals import protocols as draw_protocols
from ._figures_metrics import Bracket, bars
from ._figures_patients import PatientSize, Spread, patient_spread
from ._figures_performance import RatePoint, RocLine
from ._figures_performance import roc as draw_roc
from ._published import TABLE_S1
from ._reader_study import ReaderStudy
from ._study_tables import METRIC_TITLES, task_title

BANDS = 500
"""Resamples of a ROC band."""
MOST_MODELS = 6
FIGURE_2 = ("specificity", "sensitivity", "ppv", "npv", "f1")
FIGURE_4 = ("auc", "accuracy", "sensitivity", "specificity", "f1")
_TOP_DOWN = ("positive", "negative", "indeterminate", "not_assessable", "no answer")
PROBABILITIES = tuple(np.round(np.arange(0.02, 0.981, 0.02), 2))


def size_text(analysis: TaskAnalysis, protocol: str) -> str:
    """What a caption says of the protocol and the number of specimens and patients."""
    result = analysis.result
    return f"{protocol.capitalize()} protocol, {result.n_specimens} specimens of {result.n_patients} patients"


def task_figures(protocol: str, task: str, analysis: TaskAnalysis, seed: int) -> list[Figure]:
    """ROC, bars, decisions, calibration, decision curve, risk against coverage and spread between patients."""
    if analysis.result.levels:
        return []
    size = size_text(analysis, protocol)
    title = task_title(task)
    tumour = task == "tumor"
    made: list[Figure | None] = [
        _roc(protocol, task, analysis, seed, f"figure-{'2a' if tumour else 's5'}-roc-{task}"),
        _bars(protocol, task, analysis, f"figure-{'2b' if tumour else '4'}-bars-{task}"),
        _decisions(task, analysis, size),
        _reliability(task, analysis, f"{title}: calibration", size),
        _decision_curve(task, analysis, f"{title}: net benefit", size),
        # Only the first network may abstain for all: what it leaves out, nobody is asked of.
        _risk_coverage(task, analysis, f"{title}: risk against coverage", size) if tumour else None,
        _spread(task, analysis, f"{title}: spread between patients", size),
    ]
    return [figure for figure in made if figure is not None]


def _shown(analysis: TaskAnalysis) -> dict[str, Method]:
    """The primary model first, then the others as far as a figure can hold them."""
    names = [analysis.primary, *(name for name in analysis.result.methods if name != analysis.primary)]
    return {name: analysis.result.methods[name] for name in names[:MOST_MODELS]}


def _roc(protocol: str, task: str, analysis: TaskAnalysis, seed: int, name: str) -> Figure | None:
    lines = []
    for model, method in _shown(analysis).items():
        values = analysis.result.metrics[model]
        if "auc" not in values:
            continue
        groups = method.patients if protocol == "strict" and len(set(method.patients)) > 1 else None
        band = roc_band(method.y_true, method.y_score, groups=groups, n_resamples=BANDS, rng=seed)
        curve = roc_curve(method.y_true, method.y_score)
        point = _point(model, values)
        lines.append(RocLine(model, curve.fpr, curve.tpr, values["auc"], (band.fpr, band.low, band.high), point))
    if not lines:
        return None
    unit = "patients" if protocol == "strict" else "specimens"
    caption = f"{size_text(analysis, protocol)}. Bands: 95 %, pointwise, bootstrap of {unit}."
    points = _reader_points(analysis.readers) if analysis.readers else []
    return draw_roc(lines, points, name=name, title=f"{task_title(task)}: ROC curves", caption=caption)


def _point(name: str, values: Mapping[str, Estimate], modality: str = "", mean: bool = False) -> RatePoint | None:
    if "sensitivity" not in values or "specificity" not in values:
        return None
    return RatePoint(name, values["sensitivity"], values["specificity"], modality, mean)


def _reader_points(study: ReaderStudy) -> list[RatePoint]:
    points = [
        _point(f"Reader {reader} ({modality.upper()})", values, modality.upper(), mean=reader == "mean")
        for modality, readers in study.metrics.items()
        for reader, values in readers.items()
    ]
    return [point for point in points if point is not None]


def _bars(protocol: str, task: str, analysis: TaskAnalysis, name: str) -> Figure | None:
    wanted = FIGURE_2 if task == "tumor" else FIGURE_4
    by_method = {model: analysis.result.metrics[model] for model in list(_shown(analysis))[:4]}
    if analysis.readers:
        for modality, panel in analysis.readers.panels.items():
            by_method[panel.mean.name] = analysis.readers.metrics[modality]["mean"]
    metrics = {
        METRIC_TITLES[metric]: {method: values[metric] for method, values in by_method.items() if metric in values}
        for metric in wanted
        if any(metric in values for values in by_method.values())
    }
    if not metrics:
        return None
    brackets = [
        Bracket(METRIC_TITLES[test.metric], test.a, test.b, test.comparison.p_two_sided)
        for test in analysis.comparisons
        if test.metric in wanted
        and test.a in metrics.get(METRIC_TITLES[test.metric], {})
        and test.b in metrics.get(METRIC_TITLES[test.metric], {})
        and not np.isnan(test.comparison.p_two_sided)
    ]
    caption = f"{size_text(analysis, protocol)}. Bars: 95 % intervals. P: two-sided, not adjusted."
    return bars(metrics, brackets, name=name, title=f"{task_title(task)}: performance", caption=caption)


def _decisions(task: str, analysis: TaskAnalysis, size: str) -> Figure | None:
    panels = []
    for model, method in _shown(analysis).items():
        if method.operating is None or len(method.operating.thresholds) != 1 or not method.both_classes:
            continue
        threshold = next(iter(method.operating.thresholds.values()))
        if 0 <= threshold <= 1:
            panels.append(ScoredClasses(model, method.y_true, method.y_score, threshold))
    if not panels:
        return None
    negative, positive = analysis.names
    return draw_decisions(
        panels,
        positive=positive,
        negative=negative,
        name=f"figure-s3-decisions-{task}",
        title=f"{task_title(task)}: from score to decision",
        caption=f"{size}. The score is no calibrated probability.",
    )


def _reliability(task: str, analysis: TaskAnalysis, title: str, size: str) -> Figure | None:
    items = [item for item in analysis.calibration if item.model == analysis.primary][:MOST_MODELS]
    if not items:
        return None
    lines = [
        ReliabilityLine(
            item.source,
            *(item.curve.mean_probability, item.curve.observed, item.curve.low, item.curve.high),
            item.probability,
            f"Brier {item.brier:.3f}, ECE {item.ece:.3f}",
        )
        for item in items
    ]
    caption = f"{analysis.primary}, {size}. Calibrators fitted on tuning rows; intervals by patient."
    return draw_reliability(lines, name=f"figure-calibration-{task}", title=title, caption=caption)


def _best(analysis: TaskAnalysis, model: str) -> Calibrated | None:
    """The probability of a model that decision curves use: the first that is no raw score."""
    items = [item for item in analysis.calibration if item.model == model and item.source != RAW]
    return items[0] if items else None


def _decision_curve(task: str, analysis: TaskAnalysis, title: str, size: str) -> Figure | None:
    curves, all_called, source = [], None, ""
    for model, method in _shown(analysis).items():
        item = _best(analysis, model)
        if item is None or not method.both_classes:
            continue
        curve = decision_curve(item.y_true, item.probability, PROBABILITIES)
        curves.append(Curve(model, curve.thresholds, curve.model))
        all_called = all_called or Curve("call all", curve.thresholds, curve.treat_all)
        source = item.source
    if all_called is None:
        return None
    readers: dict[str, Sequence[Curve]] = {}
    if analysis.readers:
        for modality, panel in analysis.readers.panels.items():
            readers[modality.upper()] = [_benefit(name, method) for name, method in panel.readers.items()]
    caption = f"{size}. Probabilities: {source}. Net benefit holds at the share of positives of these specimens."
    return draw_decision_curve(
        curves, all_called, readers, name=f"figure-decision-curve-{task}", title=title, caption=caption
    )


def _benefit(name: str, method: Method) -> Curve:
    table = counts(method)
    at = np.array(PROBABILITIES)
    return Curve(f"Reader {name}", at, net_benefit(table["tp"], table["fp"], int(method.answered.sum()), at))


def _risk_coverage(task: str, analysis: TaskAnalysis, title: str, size: str) -> Figure | None:
    curves = []
    for model, method in _shown(analysis).items():
        found = risk_coverage(method)
        if found is not None:
            curves.append(Curve(model, found.coverage, found.risk, f"area {found.area:.3f}"))
    if not curves:
        return None
    return draw_risk_coverage(curves, name=f"figure-risk-coverage-{task}", title=title, caption=size)


def _spread(task: str, analysis: TaskAnalysis, title: str, size: str) -> Figure | None:
    primary = analysis.result.methods[analysis.primary]
    patients = sorted(set(primary.patients))
    if len(patients) > 60:
        return None  # a page holds no more rows; the table has them all
    sizes = [
        PatientSize(str(p), int((primary.patients == p).sum()), int(primary.y_true[primary.patients == p].sum()))
        for p in patients
    ]
    spreads = []
    for model, method in _shown(analysis).items():
        pooled = analysis.result.metrics[model].get("auc")
        if pooled is not None:
            own = auc_by(method, method.patients)
            spreads.append(Spread("AUC", model, tuple(own.get(str(p), np.nan) for p in patients), pooled))
    spreads += _rate_spreads(analysis, patients)
    if not spreads:
        return None
    return patient_spread(sizes, spreads, name=f"figure-patients-{task}", title=title, caption=size)


def _rate_spreads(analysis: TaskAnalysis, patients: Sequence[str]) -> Iterable[Spread]:
    method = analysis.result.methods[analysis.primary]
    right = (method.calls > 0.5) == (method.y_true > 0.5)
    for metric, among in (("sensitivity", method.y_true > 0.5), ("specificity", method.y_true <= 0.5)):
        pooled = analysis.result.metrics[analysis.primary].get(metric)
        if pooled is not None:
            rows = [among & method.answered & (method.patients == p) for p in patients]
            own = tuple(float(right[row].mean()) if row.any() else np.nan for row in rows)
            yield Spread(METRIC_TITLES[metric], analysis.primary, own, pooled)


def reader_figure(protocol: str, analysis: TaskAnalysis) -> Figure | None:
    """Fig. S4: whose errors are corrected or introduced."""
    if not analysis.readers or not analysis.readers.errors:
        return None
    rows = [
        ReaderErrors(f"Reader {e.reader}", e.modality.upper(), e.table) for e in analysis.readers.errors if e.table.n
    ]
    caption = f"{analysis.primary} against each reader; {size_text(analysis, protocol)}"
    return errors_matrix(rows, caption) if rows else None


def five_ala_figure(protocol: str, analysis: TaskAnalysis) -> Figure | None:
    """Operating points of the study beside the published ones."""
    ours = [
        point
        for model in list(_shown(analysis))[:4]
        if (point := _point(model, analysis.result.metrics[model])) is not None
    ]
    if not ours:
        return None
    if analysis.readers:
        means = {panel.mean.name: analysis.readers.metrics[m]["mean"] for m, panel in analysis.readers.panels.items()}
        ours += [point for name, values in means.items() if (point := _point(name, values)) is not None]
    names = {"5-ala": "5-ALA (as cited by Shen 2021)", "fl": "FL-CNN (Shen 2021)"}
    published = [
        RatePoint(names[key], Estimate(row["sensitivity"]), Estimate(row["specificity"]))
        for key, row in TABLE_S1.items()
    ]
    caption = f"{size_text(analysis, protocol)}. Published points are of other patients; no test is made."
    title = "Against published operating points"
    return against_published(ours, published, name="figure-5ala", title=title, caption=caption)


def protocol_figure(analysis: Analysis) -> Figure | None:
    """Strict and paper intervals of the primary models."""
    if len(analysis.by_protocol) < 2:
        return None
    pairs = []
    for task, strict in analysis.by_protocol["strict"].items():
        paper = analysis.by_protocol["paper"][task]
        for metric in ("auc", "sensitivity", "specificity"):
            values = [of.result.metrics[strict.primary].get(metric) for of in (paper, strict)]
            if values[0] is not None and values[1] is not None and not strict.result.levels:
                method = f"{task_title(task)}: {strict.primary}"
                pairs.append(ProtocolPair(method, METRIC_TITLES[metric], values[0], values[1]))
    if not pairs:
        return None
    caption = "Paper: threshold chosen on the test specimens, bootstrap of specimens. Strict: locked, by patient."
    return draw_protocols(pairs, name="figure-protocols", title="Strict and paper protocol", caption=caption)


def cascade_figure(protocol: str, cascade: Cascade, names: Mapping[str, tuple[str, str]]) -> Figure:
    """The cascade as a flow; `names` are the classes of each task, negative and positive."""
    tasks = ("tumor", *cascade.later)
    used = {task: dict(zip(("negative", "positive"), names[task], strict=True)) for task in tasks}
    columns = [FlowColumn("Truth", tuple(reversed(used["tumor"].values())))]
    kept = [0]
    for place, task in enumerate(tasks, start=1):
        seen = {path[place] for path in cascade.paths}
        shown = tuple(_answer(used[task], answer) for answer in _TOP_DOWN if answer in seen)
        if shown:  # a network that was asked of no specimen has no column
            columns.append(FlowColumn(f"CNN {place}: {task_title(task)}", shown))
            kept.append(place)
    kinds = ("tumor", *tasks)
    paths = [
        FlowPath(tuple(None if path[k] is None else _answer(used[kinds[k]], str(path[k])) for k in kept), n)
        for path, n in sorted(cascade.paths.items(), key=str)
    ]
    caption = f"{cascade.n_specimens} test specimens of {cascade.n_patients} patients, {protocol} protocol"
    return cascade_flow(columns, paths, caption)


def _answer(names: Mapping[str, str], answer: str) -> str:
    return names.get(answer, answer.replace("_", " "))
