"""`cases`: care of a case store from the machine it lies on: list, verify, check, backup, restore, erase, accounts."""

import getpass
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glioscope._terminal import out, say_error
from glioscope.core import InputError

from ._app import app
from ._devices import print_table
from ._export import StoreArgument, UrlOption, open_store

if TYPE_CHECKING:
    from glioscope.cases import AccountRole, CaseStore, CaseSummary

cases = typer.Typer(no_args_is_help=True, help="Case store: list, verify, check, backup, restore, erase, accounts.")
app.add_typer(cases, name="cases")

DAMAGED = 1
"""Exit code where something of the store is not as it was written."""
_PAGE = 500
CaseArgument = Annotated[str, typer.Argument(metavar="CASE", help="Identifier of the case, as `cases list` shows it.")]
NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Pseudonym of the account, never a person's name.")]
RoleOption = Annotated[str, typer.Option("--role", help="operator, surgeon, pathologist or administrator.")]


@cases.command("list")
def list_cases(
    store: StoreArgument,
    patient: Annotated[str | None, typer.Option(help="Only the cases of this pseudonym.")] = None,
    url: UrlOption = None,
) -> None:
    """All cases, the newest first."""
    with open_store(store, url) as kept:
        rows = [_line(summary) for summary in _summaries(kept) if patient in (None, summary.patient_id)]
    print_table(("case", "patient", "data", "opened", "state", "specimens"), rows)


@cases.command()
def verify(store: StoreArgument, url: UrlOption = None) -> None:
    """Walk the audit trail: every link, and whether its end was cut off. Exit code 1 if it is not whole."""
    with open_store(store, url) as kept, kept.database.session() as session:
        report = kept.audit.verify(session)
    _end(report.problems, f"audit trail: {report.n_links} links, whole")


@cases.command()
def check(store: StoreArgument, url: UrlOption = None) -> None:
    """Open everything in the store once: records, pictures, audit trail. Exit code 1 if anything is wrong."""
    with open_store(store, url) as kept:
        problems = kept.check()
    _end(tuple(problems), "every record and picture is as it was written")


@cases.command()
def backup(
    store: StoreArgument,
    to: Annotated[Path, typer.Option("--to", help="New folder for the copy, on another disk.")],
    url: UrlOption = None,
) -> None:
    """Copy the store while it is in use; the copy is itself a store. Exit code 1 if anything in it is damaged."""
    with open_store(store, url) as kept:
        problems = kept.backup(to)
    out.print(f"{to}: written; it opens every case, so keep it as safe as the store", soft_wrap=True)
    _end(tuple(problems), "every record and picture in it is as it was written")


@cases.command()
def restore(
    copy: Annotated[Path, typer.Argument(metavar="BACKUP", help="Folder that `cases backup` wrote.")],
    to: Annotated[Path, typer.Option("--to", help="New folder for the store.")],
    damaged: Annotated[bool, typer.Option("--damaged", help="Restore a backup with problems all the same.")] = False,
    url: UrlOption = None,
) -> None:
    """Make a store from a backup, which is checked first; with --url its rows go to that empty database."""
    from glioscope.cases import restore as restore_store

    restore_store(copy, to, url=url, damaged=damaged)
    out.print(f"{to}: restored; erase again what was erased since the backup was made", soft_wrap=True)


@cases.command()
def erase(
    store: StoreArgument,
    case: CaseArgument,
    reason: Annotated[str | None, typer.Option(help="Why; asked for if not given. Only its hash is kept.")] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask again.")] = False,
    url: UrlOption = None,
) -> None:
    """Destroy the key and the pictures of a case for good, after consent was withdrawn. The audit trail stays whole."""
    from glioscope.cases import COMMAND_LINE

    with open_store(store, url) as kept:
        if not yes and _ask(f"type {case} to erase it for good:") != case:
            raise InputError(f"case {case} was not erased")
        kept.erase_case(COMMAND_LINE, case, reason if reason is not None else _ask("reason (no names):"))
    out.print(f"case {case}: erased; backups made before still hold it: remove them, or erase it there too")


@cases.command("account-add")
def account_add(store: StoreArgument, name: NameArgument, role: RoleOption, url: UrlOption = None) -> None:
    """Make an account, and the store if there is none. The password is asked for, or is the first line of stdin."""
    from glioscope.cases import COMMAND_LINE

    with open_store(store, url, create=True) as kept:
        kept.accounts.create(COMMAND_LINE, name, _role(role), _password())
    out.print(f"account {name}: made, {role}")


@cases.command("account-password")
def account_password(store: StoreArgument, name: NameArgument, url: UrlOption = None) -> None:
    """Set a new password, which ends all sessions of the account."""
    from glioscope.cases import COMMAND_LINE

    with open_store(store, url) as kept:
        kept.accounts.set_password(COMMAND_LINE, name, _password())
    out.print(f"account {name}: new password set, its sessions have ended")


@cases.command("account-disable")
def account_disable(store: StoreArgument, name: NameArgument, url: UrlOption = None) -> None:
    """Keep an account from logging in; accounts are never deleted."""
    from glioscope.cases import COMMAND_LINE

    with open_store(store, url) as kept:
        kept.accounts.disable(COMMAND_LINE, name)
    out.print(f"account {name}: disabled")


@cases.command("account-list")
def account_list(store: StoreArgument, url: UrlOption = None) -> None:
    """All accounts with their roles."""
    with open_store(store, url) as kept:
        rows = [(a.name, str(a.role), _day(a.created_at), "" if a.enabled else "disabled") for a in kept.accounts.all()]
    print_table(("account", "role", "made", "state"), rows)


def _role(name: str) -> "AccountRole":
    from glioscope.cases import AccountRole

    if name not in list(AccountRole):
        raise InputError(f"--role {name!r} is not known; give {', '.join(AccountRole)}")
    return AccountRole(name)


def _summaries(store: "CaseStore") -> "Iterator[CaseSummary]":
    offset = 0
    while page := store.summaries(limit=_PAGE, offset=offset):
        yield from page
        offset += len(page)


def _line(summary: "CaseSummary") -> tuple[str, ...]:
    state = "erased" if summary.erased_at is not None else "open" if summary.closed_at is None else "closed"
    opened = _day(summary.opened_at)
    return (summary.case_id, summary.patient_id or "", summary.data_kind, opened, state, str(summary.n_specimens))


def _day(at: datetime) -> str:
    return at.astimezone().strftime("%Y-%m-%d %H:%M")


def _end(problems: tuple[str, ...], whole: str) -> None:
    for problem in problems:
        say_error(problem)
    if problems:
        raise typer.Exit(DAMAGED)
    out.print(whole)


def _password() -> str:
    """Asked twice on a terminal; else the first line of standard input, so that it never stands in a command."""
    if not sys.stdin.isatty():
        return sys.stdin.readline().rstrip("\r\n")
    given = getpass.getpass("password: ")
    if getpass.getpass("again: ") != given:
        raise InputError("the two passwords differ")
    return given


def _ask(question: str) -> str:
    """A line from whoever sits there; nothing where nobody does."""
    print(question, file=sys.stderr, flush=True)  # noqa: T201
    return sys.stdin.readline().strip()
