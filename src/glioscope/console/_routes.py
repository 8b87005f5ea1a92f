"""The table of who gets at what. What is not in it does not exist: the guard refuses it."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from importlib.metadata import version
from typing import Final

from starlette.routing import compile_path

from glioscope.cases import AccountRole, Action, Actor

MIB: Final = 1 << 20


class Access(StrEnum):
    """What a route asks for where it asks for no particular right."""

    PUBLIC = "public"
    LOGGED_IN = "logged_in"


Needs = Access | Action


@dataclass(frozen=True)
class Route:
    """A row of the table.

    Attributes
    ----------
    methods : HTTP methods in capitals; "WEBSOCKET" for a websocket.
    pattern : path as Starlette writes it: `{name}` is one part of it, `{name:path}` everything that follows.
    needs : PUBLIC, LOGGED_IN, or the action that the role must reach for.
    page : a page for people: without a log-in they are sent to the log-in page instead of being refused.
    fixed : a file of the program itself, which browsers may keep.
    largest_body : bytes that a request may bring.
    """

    methods: frozenset[str]
    pattern: str
    needs: Needs
    page: bool = False
    fixed: bool = False
    largest_body: int = MIB

    @cached_property
    def _regex(self) -> re.Pattern[str]:
        return compile_path(self.pattern)[0]

    def matches(self, path: str) -> bool:
        """Whether a decoded path is one of this row's."""
        return self._regex.fullmatch(path) is not None

    def admits(self, actor: Actor | None) -> bool:
        """Whether somebody, or nobody, may have it."""
        if self.needs is Access.PUBLIC:
            return True
        return actor is not None and (self.needs is Access.LOGGED_IN or actor.may(Action(self.needs)))


def _row(
    methods: str, pattern: str, needs: Needs, *, page: bool = False, fixed: bool = False, largest_body: int = MIB
) -> Route:
    names = set(methods.split())
    return Route(frozenset(names | {"HEAD"} if fixed else names), pattern, needs, page, fixed, largest_body)


def _page(pattern: str, needs: Needs) -> Route:
    return _row("GET", pattern, needs, page=True)


_PLAIN: Final = re.compile(r"/|(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+")
_FORM: Final = 8 * 1024
"""A log-in form is a few hundred bytes."""
_NICEGUI: Final = f"/_nicegui/{version('nicegui')}"

ROUTES: Final[tuple[Route, ...]] = (
    # Who comes in and goes out. Logging out is public, so that an ended session can still be left.
    _row("GET POST", "/login", Access.PUBLIC, page=True, largest_body=_FORM),
    _row("GET POST", "/logout", Access.PUBLIC, page=True, largest_body=_FORM),
    _row("GET", "/session", Access.LOGGED_IN),
    _row("GET", "/health", Access.PUBLIC),
    # Pages.
    _page("/", Action.WATCH),
    _page("/unit", Action.WATCH),
    _page("/cases", Action.READ),
    _page("/cases/{case_id}", Action.READ),
    _row("GET", "/cases/{case_id}/report.pdf", Action.READ),
    _page("/specimens/{specimen_id}", Action.READ),
    _row("GET", "/specimens/{specimen_id}/label.svg", Action.READ),
    _row("GET", "/specimens/{specimen_id}/image/{slot}", Action.READ),
    _row("GET", "/specimens/{specimen_id}/heatmap/{task}", Action.READ),
    _page("/accounts", Action.MANAGE_ACCOUNTS),
    _page("/audit", Action.AUDIT),
    # Live picture and the socket of the pages. No long polling: only a socket can be shut when its session ends.
    _row("WEBSOCKET", "/live", Action.WATCH),
    _row("WEBSOCKET", "/_nicegui_ws/socket.io/", Access.LOGGED_IN),
    # The same for programs. Who may say what of a specimen depends on what is said: the store looks at that.
    _row("GET", "/api/status", Action.WATCH),
    _row("GET", "/api/cases", Action.READ),
    _row("POST", "/api/cases", Action.OPEN_CASE),
    _row("GET", "/api/cases/{case_id}", Action.READ),
    _row("PUT", "/api/cases/{case_id}", Action.AMEND_CASE),
    _row("POST", "/api/cases/{case_id}/resume", Action.OPEN_CASE),
    _row("POST", "/api/cases/{case_id}/close", Action.CLOSE_CASE),
    _row("GET", "/api/specimens/{specimen_id}", Action.READ),
    _row("POST", "/api/specimens/{specimen_id}/entries", Action.READ),
    _row("POST", "/api/take", Action.TAKE),
    _row("POST", "/api/tray", Action.TAKE),
    _row("POST", "/api/light", Action.WATCH),
    _row("POST", "/api/light/beat", Action.WATCH),
    _row("POST", "/api/phantom", Action.RUN_UNIT),
    # Files of the program: the same for everybody, and nothing of a case in them.
    *(
        _row("GET", pattern, Access.PUBLIC, fixed=True)
        for pattern in (
            "/static/{path:path}",
            "/favicon.ico",
            f"{_NICEGUI}/static/{{path:path}}",
            f"{_NICEGUI}/libraries/{{key:path}}",
            f"{_NICEGUI}/components/{{key:path}}",
            f"{_NICEGUI}/resources/{{key}}/{{path:path}}",
            f"{_NICEGUI}/dynamic_resources/{{name}}",
            f"{_NICEGUI}/esm/{{key}}/{{path:path}}",
        )
    ),
)
"""Every way into the console. A new one (`/api/...` too) is a row here, or it is refused."""


def find_route(method: str, path: str, routes: Iterable[Route] = ROUTES) -> tuple[Route | None, bool]:
    """Return the row of a request, and whether the path is known under any method of its kind.

    The first row that matches both counts.
    """
    found = [row for row in routes if row.matches(path)]
    return next((row for row in found if method in row.methods), None), bool(found)


def home_of(role: AccountRole) -> str:
    """Return the page on which a role begins: theatre, cases, or accounts."""
    actor = Actor("", role)
    pages = (row for row in ROUTES if row.page and isinstance(row.needs, Action) and "{" not in row.pattern)
    return next((row.pattern for row in pages if row.admits(actor)), "/logout")


def local_page(path: str) -> str:
    """Return the path if it is a page of this console, else nothing: the only places that a log-in leads to."""
    if _PLAIN.fullmatch(path) is None:
        return ""
    row, _ = find_route("GET", path)
    return path if row is not None and row.page and row.needs is not Access.PUBLIC else ""
