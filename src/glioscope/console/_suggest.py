"""What to look at first: where the margin still holds tumour, by how much its answers matter (Shen et al. 2021).

The paper: "If a specimen is suspected of being with high-grade and/or Ki67 level >= 10 %, aggressive extent of
resection should be taken into account for this site." These are suggestions: the surgeon knows what else lies there.
"""

from collections.abc import Collection
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from glioscope.cases import Case, Specimen
from glioscope.core import Decision

from ._answer import Kind, kind_of
from ._words import Words

_HIGH: Final = ("gbm", "grade4", "ki67")


class Urgency(IntEnum):
    """Lower comes first."""

    HIGH = 0
    """Tumour at the margin, called GBM or Ki-67 of 10 % or more."""
    TUMOUR = 1
    """Tumour at the margin."""
    CLEARED = 2
    """Tumour was there; the newest answer of the sector is non-tumour."""
    AGAIN = 3
    """No answer yet: taking it again may bring one."""


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One place worth looking at.

    Attributes
    ----------
    sector : 1 to 8; None for specimens whose sector nobody told.
    specimens : what it rests on, newest first.
    findings : words of theatre.finding for the strongest of them ("gbm", "grade4", "ki67", "pathology").
    """

    urgency: Urgency
    sector: int | None
    specimens: tuple[Specimen, ...]
    findings: tuple[str, ...] = ()

    @property
    def numbers(self) -> tuple[int, ...]:
        """Running numbers, newest first."""
        return tuple(specimen.number for specimen in self.specimens)


def suggest(case: Case, hidden: Collection[str] = frozenset()) -> list[Suggestion]:
    """What to act on first, most urgent first; within one urgency the newest specimen first.

    Withdrawn specimens and those of `hidden` (a reading is owed) suggest nothing. Pathology overrules the network.

    Parameters
    ----------
    hidden : identifiers of specimens whose answer may not be seen yet.
    """
    standing = [s for s in case.specimens if not s.withdrawn and s.specimen_id not in hidden]
    sectors: dict[int | None, list[Specimen]] = {}
    for specimen in sorted(standing, key=lambda s: s.number, reverse=True):
        sectors.setdefault(specimen.sector, []).append(specimen)
    found = [s for sector, specimens in sectors.items() for s in _of_sector(sector, specimens)]
    return sorted(found, key=lambda s: (s.urgency, -s.specimens[0].number))


def suggestion_sentence(suggestion: Suggestion, words: Words) -> str:
    """One sentence, worded as a suggestion."""
    where = (
        words["theatre.suggest.no_sector"]
        if suggestion.sector is None
        else words("theatre.suggest.sector", sector=suggestion.sector)
    )
    what = ", ".join(words[f"theatre.finding.{finding}"] for finding in suggestion.findings)
    numbers = ", ".join(str(number) for number in suggestion.numbers)
    key = f"theatre.suggest.{suggestion.urgency.name.lower()}"
    return words(key, where=where, what=what, numbers=numbers)


def _of_sector(sector: int | None, specimens: list[Specimen]) -> list[Suggestion]:
    """Of one sector's specimens, newest first: what its tumours suggest, and what could be taken again."""
    kinds = {specimen.specimen_id: _kind(specimen) for specimen in specimens}
    tumours = tuple(s for s in specimens if kinds[s.specimen_id] is Kind.TUMOUR)
    answered = [s for s in specimens if kinds[s.specimen_id] in (Kind.TUMOUR, Kind.NON_TUMOUR)]
    # A newer answer from the same sector is what taking it again would have brought. Without a sector nobody knows.
    newest = answered[0].number if answered and sector is not None else 0
    again = tuple(s for s in specimens if s not in answered and s.number > newest)
    found = []
    if tumours:
        cleared = sector is not None and kinds[answered[0].specimen_id] is Kind.NON_TUMOUR
        findings = tuple(dict.fromkeys(f for s in tumours for f in _findings(s)))
        high = any(finding in _HIGH for finding in findings)
        urgency = Urgency.CLEARED if cleared else Urgency.HIGH if high else Urgency.TUMOUR
        found.append(Suggestion(urgency, sector, tumours, findings))
    if again:
        found.append(Suggestion(Urgency.AGAIN, sector, again))
    return found


def _kind(specimen: Specimen) -> Kind:
    if specimen.truth is not None:
        return Kind.TUMOUR if specimen.truth.pathology == "tumor" else Kind.NON_TUMOUR
    return kind_of(specimen)


def _findings(specimen: Specimen) -> list[str]:
    """What makes a tumour urgent, by pathology where it is in, else by the network."""
    truth = specimen.truth
    if truth is not None:
        high = truth.ki67_percent is not None and truth.ki67_percent >= 10
        return [name for name, holds in (("grade4", truth.who_grade == 4), ("ki67", high)) if holds] + ["pathology"]
    positive = {task for task, answer in specimen.answers.items() if answer.get("decision") == Decision.POSITIVE}
    return [name for name, task in (("gbm", "grade"), ("ki67", "ki67")) if task in positive]
