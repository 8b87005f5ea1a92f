"""The report of a study as a `Document`: which table and figure stands where."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from glioscope import __version__

from ._analysis import Analysis, TaskAnalysis
from ._cascade import FIRST
from ._checklists import CHECKLISTS, fill, load_checklist
from ._document import Document, Section, Table
from ._methods_text import coverage_text, methods_text
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
    difference_tables,
    five_ala_table,
    operating_table,
    patient_table,
    performance_tables,
    side_by_side,
    task_groups,
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
    maps: Section | None,
    facts: Mapping[str, str],
) -> Document:
    """Put a study's report together.

    Parameters
    ----------
    data_kind : "simulated", "real" or "unspecified".
    sources : name -> file, of what was read.
    cohort : who was studied. readers : protocol -> tables of the reader study. agreement : of pathologists.
    maps : what explanation maps mean.
    facts : for the checklists.
    """
    headline, protocol = analysis.headline, analysis.protocol
    other = [name for name in analysis.by_protocol if name != protocol]
    sections = [
        *_tasks(analysis),
        _readers(protocol, headline, readers.get(protocol, ())),
        _cascade(analysis),
        _thresholds(protocol, headline),
        _calibration(protocol, headline),
        _published(analysis),
        *(_other_protocol(analysis, name, readers.get(name, ())) for name in other),
        cohort,
        agreement,
        maps,
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


def _tasks(analysis: Analysis) -> list[Section]:
    """Two sections for each table of the paper: performance with its figures; tests and patients."""
    made = []
    for table, names in task_groups(analysis.headline).items():
        tasks = {name: analysis.headline[name] for name in names}
        title, anchor = _title(names), table.split("-", 2)[2]
        figures = [f for name, of in tasks.items() for f in task_figures(analysis.protocol, name, of, analysis.seed)]
        tables = performance_tables(analysis.protocol, table, tasks)
        made.append(Section(anchor, title, (), tuple(tables), tuple(figures)))
        tests = difference_tables(analysis.protocol, table, tasks)
        tests += [patient_table(name, of) for name, of in tasks.items() if not of.result.levels]
        made.append(Section(f"{anchor}-tests", f"{title}: tests and patients", (), tuple(tests)))
    return made


def _title(tasks: Sequence[str]) -> str:
    """Tasks as a heading: "Tumour", "Grade and Ki-67"."""
    *first, last = map(task_title, tasks)
    return f"{', '.join(first)} and {last}" if first else last


def _readers(protocol: str, tasks: Mapping[str, TaskAnalysis], tables: Sequence[Table]) -> Section | None:
    read = next((a for a in tasks.values() if a.readers), None)
    if read is None:
        return None
    figure = reader_figure(protocol, read)
    note = "Every specimen on which model and reader differ is in tables/table-s4-error-list.csv."
    return Section("readers", "Readers", (note,), tuple(tables), (figure,) if figure else ())


def _thresholds(protocol: str, tasks: Mapping[str, TaskAnalysis]) -> Section:
    tables = [operating_table(protocol, tasks), unanswered_table(protocol, tasks)]
    return Section("thresholds", "Thresholds and counts", tables=tuple(t for t in tables if t and t.rows))


def _cascade(analysis: Analysis) -> Section | None:
    cascade = analysis.cascades.get(analysis.protocol)
    if cascade is None:
        return None
    names = {task: a.names for task, a in analysis.headline.items()}
    figure = cascade_figure(analysis.protocol, cascade, names)
    return Section("cascade", "The whole system", (), tuple(cascade_tables(analysis.protocol, cascade)), (figure,))


def _calibration(protocol: str, tasks: Mapping[str, TaskAnalysis]) -> Section:
    made = [calibration_table(protocol, tasks), design_table(protocol, tasks)]
    return Section("calibration", "Calibration and sample size", tables=tuple(t for t in made if t))


def _published(analysis: Analysis) -> Section | None:
    tumour = analysis.headline.get(FIRST)
    if tumour is None or tumour.result.levels:
        return None
    figure = five_ala_figure(analysis.protocol, tumour)
    tables = (five_ala_table(analysis.protocol, tumour),)
    return Section("published", "Against published results", (), tables, (figure,) if figure else ())


def _other_protocol(analysis: Analysis, name: str, readers: Sequence[Table]) -> Section:
    """The same predictions under the protocol that is not the headline, beside it."""
    tasks = analysis.by_protocol[name]
    beside = side_by_side(analysis)
    tables = [beside] if beside else []
    for table, names in task_groups(tasks).items():
        of_table = {task: tasks[task] for task in names}
        tables += performance_tables(name, table, of_table) + difference_tables(name, table, of_table)
    tables += [operating_table(name, tasks), *readers]
    if name in analysis.cascades:
        tables += cascade_tables(name, analysis.cascades[name])
    figure = protocol_figure(analysis)
    title = f"The {name} protocol, beside the {analysis.protocol} one"
    return Section(f"protocol-{name}", title, (coverage_text(),), tuple(tables), (figure,) if figure else ())


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
