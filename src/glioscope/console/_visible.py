"""Who may see what of a specimen now: answers wait for blind readings, and opinions for one's own opinion."""

from dataclasses import dataclass
from typing import Protocol

from glioscope.cases import AccountRole, Actor, Case, Pathology, Specimen


class Revealing(Protocol):
    """What is asked of the theatre."""

    def revealed(self, specimen: Specimen, case: Case, actor: Actor) -> bool:
        """False while a blind reading is owed."""


@dataclass(frozen=True, slots=True)
class Visible:
    """What one person may see of one specimen.

    Attributes
    ----------
    answer : the network's answer, its heatmap, and everything that gives it away.
    opinions : what (other) pathologists said, and the consensus.
    """

    answer: bool
    opinions: bool


def visible(theatre: Revealing, specimen: Specimen, case: Case, actor: Actor) -> Visible:
    """What `actor` may see of a specimen.

    A pathologist sees neither the answer nor the others' opinions before giving one: the reference standard must know
    neither the index test nor the other readers (STARD 2015, items 13b and 12b). A reader who owes a blind reading
    sees no pathology either. A withdrawn specimen needs no opinion any more.
    """
    revealed = theatre.revealed(specimen, case, actor)
    if actor.role is AccountRole.PATHOLOGIST:
        given = bool(specimen.withdrawn) or own_opinion(specimen, actor) is not None
        return Visible(answer=revealed and given, opinions=given)
    return Visible(answer=revealed, opinions=revealed)


def own_opinion(specimen: Specimen, actor: Actor) -> Pathology | None:
    """The newest opinion of this account; None before the first."""
    return next((said for said in specimen.opinions if said.pathologist == actor.account), None)


def hidden_answers(theatre: Revealing, case: Case, actor: Actor) -> frozenset[str]:
    """Identifiers of the specimens of a case whose answer `actor` may not see."""
    unseen = (s for s in case.specimens if not visible(theatre, s, case, actor).answer)
    return frozenset(specimen.specimen_id for specimen in unseen)
