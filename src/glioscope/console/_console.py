"""What every page is handed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glioscope.cases import CaseStore
from glioscope.cases._roles import Actor, NotAllowed

from ._settings import ConsoleSettings
from ._theatre import Theatre
from ._words import Words

if TYPE_CHECKING:
    from ._guard import Login


@dataclass(frozen=True, slots=True)
class Console:
    """The theatre, the store, the settings and the words of one console."""

    theatre: Theatre
    store: CaseStore
    settings: ConsoleSettings
    words: Words

    def actor(self, login: "Login") -> Actor:
        """Who acts now: the session is looked up again for everything that is done.

        Raises
        ------
        NotAllowed : the session has ended, or its account was disabled.
        """
        actor = self.store.logins.current(login.token)
        if actor is None:
            raise NotAllowed(self.words["frame.session_ended"])
        return actor
