"""Who may do what: the one table that store, console and its tests read."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from glioscope.core import InputError


class NotAllowed(InputError):  # noqa: N818
    """The role of whoever asks does not reach for this."""


class AccountRole(StrEnum):
    """What an account is for."""

    OPERATOR = "operator"
    SURGEON = "surgeon"
    PATHOLOGIST = "pathologist"
    ADMINISTRATOR = "administrator"


class Action(StrEnum):
    """What somebody does; the audit trail uses the same words."""

    WATCH = "watch"
    """See the live view and the state of the unit."""
    READ = "read"
    """See cases, specimens and their pictures."""
    OPEN_CASE = "open_case"
    AMEND_CASE = "amend_case"
    CLOSE_CASE = "close_case"
    TAKE = "take"
    """Take a specimen."""
    REVISE = "revise"
    """Correct, annotate or withdraw a specimen."""
    GIVE_READING = "give_reading"
    """A reader's own opinion from the pictures."""
    GIVE_PATHOLOGY = "give_pathology"
    RUN_UNIT = "run_unit"
    """Laser, phantom check, recording."""
    EXPORT = "export"
    ERASE = "erase"
    """Destroy a case's key after consent was withdrawn."""
    MANAGE_ACCOUNTS = "manage_accounts"
    AUDIT = "audit"
    """Read and verify the audit trail."""


_O, _S, _P, _A = AccountRole.OPERATOR, AccountRole.SURGEON, AccountRole.PATHOLOGIST, AccountRole.ADMINISTRATOR
ALLOWED: Final[dict[Action, frozenset[AccountRole]]] = {
    Action.WATCH: frozenset({_O, _S}),
    Action.READ: frozenset({_O, _S, _P}),
    Action.OPEN_CASE: frozenset({_O}),
    Action.AMEND_CASE: frozenset({_O}),
    Action.CLOSE_CASE: frozenset({_O}),
    Action.TAKE: frozenset({_O, _S}),
    Action.REVISE: frozenset({_O, _S}),
    Action.GIVE_READING: frozenset({_O, _S}),
    Action.GIVE_PATHOLOGY: frozenset({_P}),
    Action.RUN_UNIT: frozenset({_O}),
    Action.EXPORT: frozenset({_O, _A}),
    Action.ERASE: frozenset({_A}),
    Action.MANAGE_ACCOUNTS: frozenset({_A}),
    Action.AUDIT: frozenset({_A}),
}
"""An administrator keeps accounts and the trail, and sees no case."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts: an account and its role, as they were when they were last looked up."""

    account: str
    role: AccountRole

    def may(self, action: Action) -> bool:
        """Whether the role reaches for it."""
        return self.role in ALLOWED[action]

    def check(self, action: Action) -> None:
        """Raise NotAllowed with one sentence unless the role reaches for it."""
        if not self.may(action):
            who = " or ".join(sorted(ALLOWED[action]))
            raise NotAllowed(f"{self.account} is {self.role}; {action.replace('_', ' ')} is for {who}")


COMMAND_LINE: Final = Actor("command-line", AccountRole.ADMINISTRATOR)
"""Whoever runs `glioscope` on the machine of the store: who can read its master key may do what administrators may."""
