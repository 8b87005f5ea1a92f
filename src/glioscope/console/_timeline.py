"""What happened in a case, newest first: one line a specimen and one for everything that was said of it since."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from glioscope.cases import Annotation, Case, Correction, Entry, Pathology, Reading, Specimen, Withdrawal

from ._answer import Kind, brief, kind_of, place
from ._words import Words


@dataclass(frozen=True, slots=True)
class Moment:
    """One line. `specimen_id` is empty for what concerns the case itself, `kind` None for what is no answer."""

    at: datetime
    account: str
    text: str
    specimen_id: str = ""
    kind: Kind | None = None
    struck: bool = False


def timeline(case: Case, words: Words, hidden: Collection[str] = frozenset()) -> list[Moment]:
    """All moments of a case, newest first; withdrawn specimens stay, struck through.

    Parameters
    ----------
    hidden : identifiers of specimens whose answer may not be seen: neither answer nor pathology is in their lines.
    """
    moments = [Moment(case.opened_at, case.opened_by, words["theatre.moment.opened"])]
    for specimen in case.specimens:
        is_hidden = specimen.specimen_id in hidden
        moments.append(_taken(specimen, words, hidden=is_hidden))
        moments += [_said(specimen, entry, words, hidden=is_hidden) for entry in specimen.entries]
    if case.closed_at is not None:
        moments.append(Moment(case.closed_at, "", words["theatre.moment.closed"]))
    # Numbers rise within a case, clocks may jump: the sort is stable, and a jump can only move what was said later.
    moments.reverse()
    return sorted(moments, key=lambda moment: moment.at, reverse=True)


def _taken(specimen: Specimen, words: Words, *, hidden: bool) -> Moment:
    text = f"{place(specimen.number, specimen.sector, words)}: {brief(specimen, words, hidden=hidden)}"
    return Moment(
        specimen.taken_at,
        specimen.account,
        text,
        specimen.specimen_id,
        kind_of(specimen, hidden=hidden),
        bool(specimen.withdrawn),
    )


def _said(specimen: Specimen, entry: Entry, words: Words, *, hidden: bool) -> Moment:
    text = words("theatre.moment.of", number=specimen.number, what=_what(entry, words, hidden=hidden))
    return Moment(entry.at, entry.account, text, specimen.specimen_id)


def _what(entry: Entry, words: Words, *, hidden: bool) -> str:
    said = entry.said
    if isinstance(said, Correction):
        sector = words["theatre.not_told"] if said.sector is None else str(said.sector)
        return words("theatre.moment.correction", sector=sector) + (f" ({said.reason})" if said.reason else "")
    if isinstance(said, Annotation):
        return words("theatre.moment.annotation", text=said.text)
    if isinstance(said, Withdrawal):
        return words("theatre.moment.withdrawal", reason=said.reason)
    if isinstance(said, Reading):
        return words["theatre.moment.reading_hidden"] if hidden else _reading(said, words)
    return words["theatre.moment.pathology_hidden"] if hidden else _pathology(said, words)


def _reading(said: Reading, words: Words) -> str:
    word = words[f"theatre.word.{Kind.TUMOUR if said.reading else Kind.NON_TUMOUR}"]
    rating = "" if said.rating is None else words("theatre.moment.rating", rating=said.rating)
    return words("theatre.moment.reading", reader=said.reader, word=word) + rating


def _pathology(said: Pathology, words: Words) -> str:
    who = words["theatre.moment.consensus"] if said.consensus else said.pathologist
    word = words[f"theatre.word.{Kind.TUMOUR if said.pathology == 'tumor' else Kind.NON_TUMOUR}"]
    grade = "" if said.who_grade is None else words("theatre.moment.grade", grade=said.who_grade)
    ki67 = "" if said.ki67_percent is None else words("theatre.moment.ki67", percent=f"{said.ki67_percent:g}")
    return words("theatre.moment.pathology", who=who, word=word) + grade + ki67
