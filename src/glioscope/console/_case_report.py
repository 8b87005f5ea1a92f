"""The case report: one operation on paper, for the record and for whoever was not there."""

import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from sqlmodel import col, select

from glioscope import RESEARCH_USE, __version__
from glioscope.cases import Case, Correction, Pathology, Specimen, icg_remarks
from glioscope.cases._tables import AuditRow

from ._accuracy import accuracy_lines, running_accuracy
from ._answer import LOOKS, Kind, kind_of, view_answer
from ._case_report_pictures import Pictures, small_pictures
from ._cavity_svg import cavity_svg, sign_svg
from ._timeline import timeline
from ._words import Words

if TYPE_CHECKING:
    from glioscope.cases import CaseStore

_TEMPLATES: Final = Path(__file__).parent / "templates"
_CONDITIONS: Final = ("fl_exposure_ms", "fl_gain", "distance_mm", "irradiance_mw_cm2", "mm_per_px")


@dataclass(frozen=True, slots=True)
class _Row:
    """A line of the table of specimens."""

    number: int
    sector: str
    at: str
    fl: str
    wl: str
    missing: tuple[str, ...]
    kind: Kind
    word: str
    probability: str
    further: tuple[str, ...]
    pathology: str
    remarks: tuple[str, ...]
    withdrawn: bool


def case_report_html(case: Case, store: "CaseStore", words: Words, *, hidden: Collection[str] | None = None) -> str:
    """The report as one HTML page that needs nothing else; everything that people wrote is escaped.

    Parameters
    ----------
    hidden : identifiers of specimens whose answer may not be seen; None: in a case that is read blind, those that
        nobody has read yet.
    """
    kept_back = owed(case) if hidden is None else hidden
    pictures = small_pictures(case, store)
    return (
        _environment()
        .get_template("case_report.html")
        .render(
            case=case,
            words=words,
            research_use=RESEARCH_USE,
            made=words("report.made", at=_moment(datetime.now().astimezone()), version=__version__, zone=_zone()),
            facts=list(_facts(case, words)),
            icg=icg_remarks(case.record, case.opened_at),
            cavity=Markup(cavity_svg(case, words, hidden=kept_back)),
            counts=list(_counts(case, words, kept_back)),
            n_withdrawn=sum(bool(specimen.withdrawn) for specimen in case.specimens),
            accuracy=accuracy_lines(running_accuracy(case, kept_back), words),
            rows=[
                _row(case, specimen, pictures, words, specimen.specimen_id in kept_back) for specimen in case.specimens
            ],
            any_hidden=any(specimen.specimen_id in kept_back for specimen in case.specimens),
            pictures=pictures,
            looks=LOOKS,
            moments=[(_clock(m.at), m) for m in reversed(timeline(case, words, kept_back))],
            settings=list(_flat(case.record.unit_settings)),
            audit=_audit_head(store, words),
        )
    )


def case_report_pdf(case: Case, store: "CaseStore", words: Words, *, hidden: Collection[str] | None = None) -> bytes:
    """The report as PDF on A4, "Research use only" on every page.

    Raises
    ------
    PdfUnavailable : glioscope[pdf] is not installed; the sentence says what to install.
    """
    from glioscope.report._pdf import require_pdf, write_pdf

    require_pdf()
    html = case_report_html(case, store, words, hidden=hidden)
    with tempfile.TemporaryDirectory(prefix="glioscope-report-") as folder:
        path = Path(folder) / "report.pdf"
        write_pdf(html, path)
        return path.read_bytes()


def owed(case: Case) -> frozenset[str]:
    """Specimens of a case that is read blind for which no reading was given before the answer."""
    if not case.record.blind_reading:
        return frozenset()
    return frozenset(
        specimen.specimen_id
        for specimen in case.specimens
        if not any(reading.before_answer for reading in specimen.readings)
    )


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _facts(case: Case, words: Words) -> Iterator[tuple[str, str]]:
    """Name and value of what concerns the whole case."""
    record = case.record
    yes = {True: words["report.yes"], False: words["report.no"]}
    closed = words["report.now"] if case.closed_at is None else _moment(case.closed_at)
    dose = words["report.not_told"] if record.icg_mg_per_kg is None else f"{record.icg_mg_per_kg:g}"
    given = words["report.not_told"]
    if record.icg_given_at is not None:
        hours = f"{(case.opened_at - record.icg_given_at).total_seconds() / 3600:.1f}"
        given = words("report.fact.icg_at_value", at=_moment(record.icg_given_at), hours=hours)
    suite = " ".join(part for part in (record.suite, record.suite_sha256[:16]) if part)
    facts = {
        "patient": record.patient_id,
        "case": case.case_id,
        "opened": words("report.by", at=_moment(case.opened_at), account=case.opened_by),
        "closed": closed,
        "icg": dose if record.icg_mg_per_kg is None else words("report.fact.icg_value", dose=dose),
        "icg_at": given,
        "consent": yes[record.consent],
        "edition": record.who_edition,
        "blind": yes[record.blind_reading],
        "unit": record.unit,
        "suite": suite,
        "software": record.software,
        "conditions": ", ".join(_conditions(case, words)),
        "note": record.note,
    }
    for name, value in facts.items():
        if value or name != "note":
            yield words[f"report.fact.{name}"], value or words["report.not_told"]


def _conditions(case: Case, words: Words) -> Iterator[str]:
    """Each condition with its range over the specimens."""
    for name in _CONDITIONS:
        values = [v for v in (getattr(specimen.record, name) for specimen in case.specimens) if v is not None]
        if values:
            low, high = f"{min(values):.3g}", f"{max(values):.3g}"
            yield words(f"report.condition.{name}", value=low if low == high else f"{low} to {high}")


def _counts(case: Case, words: Words, hidden: Collection[str]) -> Iterator[tuple[Markup, str]]:
    """Sign and sentence for each kind of answer, with how many there are."""
    kinds = [kind_of(specimen, hidden=specimen.specimen_id in hidden) for specimen in case.specimens]
    for kind in Kind:
        if kind is not Kind.HIDDEN or kind in kinds:
            said = words("report.map.count", word=words[f"theatre.word.{kind}"], n=kinds.count(kind))
            yield Markup(sign_svg(kind)), said


def _row(case: Case, specimen: Specimen, pictures: Pictures, words: Words, hidden: bool) -> _Row:
    view = view_answer(specimen, words, hidden=hidden)
    gone = [
        pictures.missing[key]
        for key in ((specimen.specimen_id, "fl"), (specimen.specimen_id, "wl"))
        if key in pictures.missing
    ]
    return _Row(
        specimen.number,
        words["report.not_told"] if specimen.sector is None else str(specimen.sector),
        _clock(specimen.taken_at),
        pictures.shown.get((specimen.specimen_id, "fl"), ""),
        pictures.shown.get((specimen.specimen_id, "wl"), ""),
        tuple(gone),
        view.kind,
        view.word,
        view.lines[0].value if view.lines else "",
        tuple(f"{line.label}: {line.value}" for line in view.lines[1:]),
        "" if hidden else _pathology(specimen, words),
        (*_remarks(case, specimen, words), *view.reasons),
        bool(specimen.withdrawn),
    )


def _remarks(case: Case, specimen: Specimen, words: Words) -> Iterator[str]:
    if specimen.withdrawn:
        yield words("report.specimens.withdrawn", reason=specimen.withdrawn)
    if any(isinstance(entry.said, Correction) for entry in specimen.entries):
        old, new = (s or words["report.not_told"] for s in (specimen.record.sector, specimen.sector))
        yield words("report.specimens.corrected", old=old, new=new)
    sha = specimen.record.suite_sha256
    if sha and sha != case.record.suite_sha256:
        yield words("report.specimens.other_suite", sha=sha[:16])


def _pathology(specimen: Specimen, words: Words) -> str:
    truth = specimen.truth
    if truth is None:
        n = len(specimen.opinions)
        return words("report.pathology.disagree", n=n) if n else words["report.pathology.none"]
    who = words["report.pathology.consensus"] if truth.consensus else truth.pathologist
    return ", ".join((*_finding(truth, words), who))


def _finding(truth: Pathology, words: Words) -> Iterator[str]:
    yield words["report.pathology.tumour" if truth.pathology == "tumor" else "report.pathology.non_tumour"]
    if truth.diagnosis:
        yield truth.diagnosis
    if truth.who_grade is not None:
        yield words("report.pathology.grade", grade=truth.who_grade)
    if truth.ki67_percent is not None:
        yield words("report.pathology.ki67", percent=f"{truth.ki67_percent:g}")
    if truth.idh is not None:
        yield words("report.pathology.idh", value=truth.idh)
    if truth.codel_1p19q is not None:
        yield words("report.pathology.codel", value=truth.codel_1p19q)


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Dotted name and value of every setting."""
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value is not None:
            yield f"{prefix}{name}", str(value)


def _audit_head(store: "CaseStore", words: Words) -> str:
    newest = select(AuditRow.seq, AuditRow.link).order_by(col(AuditRow.seq).desc()).limit(1)
    with store.database.session() as session:
        found = session.exec(newest).first()
    return words["report.audit.none"] if found is None else words("report.audit.line", seq=found[0], link=found[1])


def _moment(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M")


def _clock(at: datetime) -> str:
    return at.astimezone().strftime("%H:%M:%S")


def _zone() -> str:
    return datetime.now().astimezone().strftime("UTC%z")
