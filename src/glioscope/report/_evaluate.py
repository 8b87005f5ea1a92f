"""`glioscope evaluate`: from files to a folder with metrics, tables, figures and the report."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from glioscope.cohort import StudyInfo, specimen_patients
from glioscope.core import BUILT_IN_TASKS, BundleInfo, InputError, atomic_folder, write_text
from glioscope.runtime import load_suite_info

from ._analysis import Analysis, analyse
from ._checklists import study_facts
from ._document import Section, Table
from ._facts import run_facts
from ._figure_files import drawing_workers, write_figures
from ._figures_errors import agreement as agreement_figure
from ._html import render_html
from ._maps_section import maps_section
from ._pdf import write_pdf
from ._reader_tables import error_list_table, pathologist_agreement, reader_tables
from ._study_cohort import cohort_figures, cohort_sizes, cohort_table, participants, predicted_sizes
from ._study_document import build_document
from ._tables import write_tables

if TYPE_CHECKING:
    from glioscope.cohort import Cohort


MOST_PAIRS = 12
"""Pairs of pathologists that a figure holds; the table has them all."""


@dataclass(frozen=True, slots=True)
class StudyInputs:
    """Everything that a study report is made from; only `predictions` is needed.

    `sources` are the files that these came from, by what they are; `suite` a folder whose bundles made the predictions;
    `evidence` what `explain` measured on the maps of such a bundle.
    """

    predictions: pd.DataFrame
    readings: pd.DataFrame | None = None
    study: StudyInfo | None = None
    cohort: "Cohort | None" = None
    pathology: pd.DataFrame | None = None
    suite: Path | None = None
    evidence: Path | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    @property
    def data_kind(self) -> str:
        """What the manifest says of its images, else study.toml, else nothing is known."""
        if self.cohort is not None:
            return self.cohort.data_kind
        return (self.study.data_kind if self.study else None) or "unspecified"


def evaluate_study(
    inputs: StudyInputs,
    folder: Path,
    *,
    protocol: str = "strict",
    thresholds: Mapping[str, float] | None = None,
    out_of_fold: bool = False,
    pdf: bool = True,
    seed: int = 0,
    say: Callable[[str], None] = lambda sentence: None,
) -> Analysis:
    """Analyse a study and write `folder` as a whole, or not at all.

    Returns
    -------
    Analysis, whose warnings the report prints as well.

    Writes
    ------
    metrics.json, tables/ (CSV, LaTeX, HTML), figures/ (SVG, PDF, PNG), report.html, with `pdf` report.pdf, and with a
    suite model-cards/.

    Raises
    ------
    InputError : predictions that cannot be analysed, patients that a bundle was trained or tuned on (unless
        `out_of_fold`), a PDF that cannot be made.
    """
    bundles = _bundles(inputs.suite)
    if not out_of_fold:
        _refuse_seen(inputs.predictions, bundles)
    levels = {b.task.name: b.task.levels for b in bundles if b.task.levels}
    with drawing_workers():
        say("analysing")
        analysis = analyse(
            inputs.predictions,
            readings=inputs.readings,
            study=inputs.study,
            protocol=protocol,
            thresholds=thresholds,
            levels=levels,
            seed=seed,
        )
        with atomic_folder(folder) as part:
            metrics = {"data_kind": inputs.data_kind, **analysis.to_json()}
            write_text(part / "metrics.json", json.dumps(metrics, indent=1, allow_nan=False))
            say("drawing")
            _write_report(inputs, analysis, bundles, part, pdf, say)
            for bundle in bundles:
                _write_card(part / "model-cards", inputs.suite, bundle, analysis)
    return analysis


def _write_report(
    inputs: StudyInputs,
    analysis: Analysis,
    bundles: Sequence[BundleInfo],
    folder: Path,
    pdf: bool,
    say: Callable[[str], None],
) -> None:
    agreement = _agreement(inputs)
    document = build_document(
        analysis,
        title=(inputs.study.title if inputs.study else None) or "Diagnostic study",
        data_kind=inputs.data_kind,
        sources=inputs.sources,
        cohort=_cohort(inputs, analysis),
        readers=_reader_tables(inputs, analysis),
        agreement=agreement,
        maps=maps_section(inputs.evidence) if inputs.evidence else None,
        facts={
            **study_facts(inputs.study or StudyInfo()),
            **run_facts(analysis, inputs.predictions, bundles, pathologists=agreement is not None),
        },
    )
    tables = [table for section in document.sections for table in section.tables]
    write_tables([*tables, *_long_tables(analysis)], folder / "tables")
    figures = [figure for section in document.sections for figure in section.figures]
    drawings = write_figures(figures, folder / "figures")
    html = render_html(document, drawings)
    write_text(folder / "report.html", html)
    if pdf:
        say("printing the PDF")
        write_pdf(html, folder / "report.pdf")


def _cohort(inputs: StudyInputs, analysis: Analysis) -> Section:
    tasks = {name: BUILT_IN_TASKS[name] for name in analysis.headline if name in BUILT_IN_TASKS}
    figures = cohort_figures(inputs.predictions, inputs.cohort, tasks)
    flow = participants(analysis, inputs.predictions, inputs.study)
    tables = [cohort_table(predicted_sizes(inputs.predictions), whole=False)]
    if inputs.cohort is not None and tasks:
        tables.insert(0, cohort_table(cohort_sizes(inputs.cohort, tasks), whole=True))
    return Section("cohort", "Who was studied", (), tuple(tables), (*((flow,) if flow else ()), *figures))


def _reader_tables(inputs: StudyInputs, analysis: Analysis) -> dict[str, list[Table]]:
    info = inputs.study or StudyInfo()
    return {
        name: reader_tables(name, of.readers, of.result.methods[of.primary], info)
        for name, tasks in analysis.by_protocol.items()
        for of in tasks.values()
        if of.readers
    }


def _long_tables(analysis: Analysis) -> list[Table]:
    """Tables that are files only: a page would drown in them."""
    return [
        error_list_table(of.readers, of.result.methods[of.primary]) for of in analysis.headline.values() if of.readers
    ]


def _agreement(inputs: StudyInputs) -> Section | None:
    if inputs.pathology is None:
        return None
    patients = {}
    if inputs.cohort is not None:
        patients = {str(s): str(p) for s, p in specimen_patients(inputs.cohort).items()}
    found = pathologist_agreement(inputs.pathology, patients)
    if found is None:
        return None
    table, pairs, levels = found
    caption = f"{inputs.pathology['specimen_id'].nunique()} specimens of the pathology table"
    return Section(
        "agreement", "Agreement of pathologists", (), (table,), (agreement_figure(pairs[:MOST_PAIRS], levels, caption),)
    )


def _bundles(suite: Path | None) -> list[BundleInfo]:
    if suite is None:
        return []
    names = load_suite_info(suite).bundles
    files = [suite / name / "bundle.json" for name in names]
    return [BundleInfo.model_validate_json(file.read_text(encoding="utf-8")) for file in files]


def _refuse_seen(predictions: pd.DataFrame, bundles: Sequence[BundleInfo]) -> None:
    """Contract 4: no test patient may be one that a bundle was trained or tuned on."""
    test = set(predictions.loc[predictions["split"] == "test", "patient_id"])
    for bundle in bundles:
        seen = test & {*bundle.provenance.train_patients, *bundle.provenance.tune_patients}
        if seen:
            raise InputError(
                f"patient {min(seen)} of the test rows was used to train or tune bundle {bundle.name} "
                f"({len(seen)} such patients); give --out-of-fold if the predictions are of other folds' models"
            )


def _write_card(folder: Path, suite: Path | None, bundle: BundleInfo, analysis: Analysis) -> None:
    """The bundle's own card with the test results; the bundle itself is locked and stays as it is."""
    if suite is None:
        return
    text = (suite / bundle.name / "model_card.md").read_text(encoding="utf-8")
    model = f"{bundle.modality.value}-{bundle.provenance.strategy}"
    lines = [f"## Test patients ({analysis.protocol} protocol)", ""]
    task = analysis.headline.get(bundle.task.name)
    if task is None or model not in task.result.methods:
        lines.append("Not among the predictions that were evaluated.")
    else:
        method = task.result.methods[model]
        lines.append(f"{method.n_specimens} specimens of {method.n_patients} patients.")
        lines += [
            "",
            *(f"- {name}: {_shown(e.value, e.low, e.high)}" for name, e in task.result.metrics[model].items()),
        ]
    write_text(folder / f"{bundle.name}.md", text.rstrip("\n") + "\n\n" + "\n".join(lines) + "\n")


def _shown(value: float, low: float, high: float) -> str:
    return f"{value:.3f}" if low != low else f"{value:.3f} (95 % CI {low:.3f} to {high:.3f})"
