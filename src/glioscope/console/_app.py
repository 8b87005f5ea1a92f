"""All pages, the live view and the interface for programs, put together and served."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI

if TYPE_CHECKING:
    from ._console import Console


def import_pages() -> tuple[Any, ...]:
    """The modules of the pages; the first call takes a second, in which other things may be opened."""
    # Imported here: a program that needs the theatre alone does not wait for the web.
    from glioscope.console import (  # noqa: F401
        _page_accounts,
        _page_audit,
        _page_case,
        _page_cases,
        _page_specimen,
        _page_theatre,
        _page_unit,
        _server,
    )

    return _page_theatre, _page_cases, _page_case, _page_specimen, _page_unit, _page_accounts, _page_audit


def make_app(console: "Console") -> FastAPI:
    """The application, without the guard: `make_server` puts that round it."""
    pages = import_pages()
    from ._api import add_api
    from ._live_socket import add_live
    from ._pictures import add_pictures
    from ._server import new_app

    app = new_app()
    add_live(app, console)
    add_api(app, console)
    add_pictures(app, console)
    for page in pages:
        page.add_pages(console)
    return app


def serve_console(console: "Console", *, ready: Callable[[str], None] = lambda _url: None) -> None:
    """Serve until SIGTERM or Ctrl-C; see `_server.serve`.

    Raises
    ------
    InputError : the address is taken or not allowed, TLS files cannot be used.
    """
    from ._server import serve

    serve(console, make_app(console), ready=ready)
