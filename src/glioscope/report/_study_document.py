"""The report of a study as a `Document`: which table and figure stands where."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from glioscope import __version__

from ._analysis import Analysis, TaskAnalysis
from ._cascade import FIRST
from ._checklists import CHECKLISTS, fill, load_checklist
from ._document import Document, Figure, Section, Table
from ._methods_text import methods_text
from ._study_figures import (
    cascade_figure,
    five_ala_figure,
    protocol_figure,
    reader_figure,
    task_figures,
)
from ._study_tables import (
    calibration_table,
    cascade_tables,
    design_table,
    five_ala_table,
    operating_table,
    patient_table,
    performance_tables,
    side_by_side,
    task_title,
    unanswered_table,
)


def build_document(
    analysis: Analysis,
    *,
    title: str,
    data_kind: str,
    sources: Mapping[str, str],
    cohort: Section,
    readers: Mapping[str, Sequence[Table]],
    agreement: Section | None,
    facts: Mapping[str, str],
) -> Document:
    """Put a study's report together.

    Parameters
    ----------
    data_kind : "simulated", "real" or "unspecified".
    sources : name -> file, of what was read.
    cohort : who was studied. readers : protocol -> tables of the reader study. agreement : of pathologists.
    facts : for the checklists.
    """
    headline, protocol = analysis.headline, analysis.protocol
    sections = [
        _results(analysis),
        *(_task(protocol, name, of, analysis.seed) for name, of in headline.items() if not of.result.levels),
        _readers(protocol, headline, readers),
        _cascade(analysis),
        _calibration(protocol, headline),
        _comparison(analysis),
        cohort,
        agreement,
        Section("methods", "Methods", paragraphs=methods_text(analysis)),
        _checklists(facts),
    ]
    counts = [f"{task_title(n)} {a.result.n_specimens} / {a.result.n_patients}" for n, a in headline.items()]
    head = (
        ("Headline protocol", protocol),
        ("Protocols", ", ".join(analysis.by_protocol)),
        ("Test specimens / patients", ", ".join(counts)),
        *sources.items(),
        ("Made", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, glioscope {__version__}, seed {analysis.seed}"),
    )
    shown = tuple(s for s in sections if s is not None and (s.tables or s.figures or s.paragraphs))
    return Document(title, data_kind, head, analysis.warnings, shown)


def _results(analysis: Analysis) -> Section:
    tables = []
    for name, tasks in analysis.by_protocol.items():
        tables += performance_tables(name, tasks)
        tables.append(operating_table(name, tasks))
        left = unanswered_table(name, tasks)
        tables += [left] if left else []
    return Section("results", "Results", tables=tuple(tables))


def _task(protocol: str, name: str, analysis: TaskAnalysis, seed: int) -> Section:
    figures = tuple(task_figures(protocol, name, analysis, seed))
    return Section(f"task-{name}", task_title(name), tables=(patient_table(name, analysis),), figures=figures)


def _readers(protocol: str, tasks: Mapping[str, TaskAnalysis], tables: Mapping[str, Sequence[Table]]) -> Section | None:
    read = next((a for a in tasks.values() if a.readers), None)
    if read is None:
        return None
    figure = reader_figure(protocol, read)
    flat = tuple(table for of in tables.values() for table in of)
    note = "Every specimen on which model and reader differ is in tables/table-s4-error-list.csv."
    return Section("readers", "Readers", (note,), flat, (figure,) if figure else ())


def _cascade(analysis: Analysis) -> Section | None:
    if not analysis.cascades:
        return None
    tables = tuple(t for name, cascade in analysis.cascades.items() for t in cascade_tables(name, cascade))
    names = {task: a.names for task, a in analysis.headline.items()}
    cascade = analysis.cascades.get(analysis.protocol)
    figures = (cascade_figure(analysis.protocol, cascade, names),) if cascade else ()
    return Section("cascade", "The whole system", tables=tables, figures=figures)


def _calibration(protocol: str, tasks: Mapping[str, TaskAnalysis]) -> Section:
    made = [calibration_table(protocol, tasks), design_table(protocol, tasks)]
    return Section("calibration", "Calibration and sample size", tables=tuple(t for t in made if t))


def _comparison(analysis: Analysis) -> Section:
    tables: list[Table | None] = [side_by_side(analysis)]
    figures: list[Figure | None] = [protocol_figure(analysis)]
    tumour = analysis.headline.get(FIRST)
    if tumour is not None and not tumour.result.levels:
        tables.append(five_ala_table(analysis.protocol, tumour))
        figures.append(five_ala_figure(analysis.protocol, tumour))
    return Section(
        "comparison",
        "Protocols, and published results",
        tables=tuple(t for t in tables if t),
        figures=tuple(f for f in figures if f),
    )


def _checklists(facts: Mapping[str, str]) -> Section:
    tables = []
    for name in CHECKLISTS:
        checklist = load_checklist(name)
        filled = fill(checklist, facts)
        rows = tuple((f.item.id, f.item.section, f.item.topic, f.answer) for f in filled)
        answered = sum(not f.missing and bool(f.item.facts) for f in filled)
        title = f"{checklist.name} ({checklist.version}): {answered} of {len(rows)} rows answered by this run"
        columns = ("Item", "Section", "Topic", "Answer")
        tables.append(
            Table(f"checklist-{name.replace('_', '-')}", title, columns, rows, (checklist.source, checklist.note))
        )
    return Section("checklists", "Reporting checklists", tables=tuple(tables))
