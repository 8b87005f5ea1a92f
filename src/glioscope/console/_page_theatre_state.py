"""What one open theatre page knows: the case as it is now, what may be seen of it, and what its viewer chose."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from glioscope.cases import Actor, Case, Specimen

from ._console import Console
from ._frame_page import act
from ._sessions import Login
from ._visible import hidden_answers
from ._words import Words

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Seen:
    """A case as its viewer may see it: `hidden` are the specimens whose answer is not for these eyes yet."""

    case: Case | None = None
    hidden: frozenset[str] = frozenset()


@dataclass(slots=True, eq=False)
class PageState:
    """State of one page; elements read it, and `changed` draws them anew.

    Attributes
    ----------
    owner : under which this page's live picture keeps the laser alight.
    sector : chosen for the next specimen; None: not told.
    shown : identifier of the specimen that is shown; empty: the newest.
    took_ms : identifier -> time from key to answer, of those taken from this page.
    changed : draws everything that shows the case.
    """

    console: Console
    login: Login
    owner: str = ""
    seen: Seen = field(default_factory=Seen)
    sector: int | None = None
    shown: str = ""
    took_ms: dict[str, float] = field(default_factory=dict)
    changed: Callable[[], None] = lambda: None

    @property
    def words(self) -> Words:
        """The sentences of the page."""
        return self.console.words

    @property
    def actor(self) -> Actor:
        """Who opened the page; whatever is done looks the session up again."""
        return self.login.actor

    @property
    def specimen(self) -> Specimen | None:
        """The one that is shown: chosen, or the newest."""
        specimens = self.seen.case.specimens if self.seen.case is not None else ()
        chosen = next((s for s in specimens if s.specimen_id == self.shown), None)
        return chosen or (specimens[-1] if specimens else None)

    def show(self, specimen_id: str) -> None:
        """Show one specimen; empty: the newest."""
        self.shown = specimen_id
        self.changed()

    def read(self) -> Seen:
        """The open case from the store; blocks.

        Raises
        ------
        InputError : it was erased meanwhile.
        """
        case_id = self.console.theatre.case_id
        return Seen() if case_id is None else self.view(self.console.store.case(case_id))

    def view(self, case: Case) -> Seen:
        """A case with what must not be seen of it."""
        return Seen(case, hidden_answers(self.console.theatre, case, self.actor))

    async def act(self, work: Callable[[Actor], T], *, then: Callable[[T], object] | None = None) -> bool:
        """`_frame_page.act` for this page."""
        return await act(self.console, self.login, work, then=then)
