"""The block of the live view in a page; what it shows comes over the websocket of `_live_socket`."""

import json
import secrets
from typing import TYPE_CHECKING, Final

from nicegui import ui

from glioscope import __version__
from glioscope.cases import Action

from ._live_messages import live_owner
from ._live_scale import colours
from ._sessions import Login, login_of

if TYPE_CHECKING:
    from ._console import Console

_PREFIX: Final = "live."


def live_view(console: "Console", login: Login | None = None) -> str:
    """Put the live view where the page stands; it fills its container's width.

    Its height is the window's less 72 px; a page with another header sets the CSS variable `--live-height`.

    Parameters
    ----------
    login : who looks; None: as the guard found out for the page's request.

    Returns
    -------
    The owner under which this page's pictures, when they are seen, keep the laser alight: what `Theatre.light_on` is
    to be given.
    """
    login = login or login_of(ui.context.client.request)
    page = secrets.token_hex(16)
    ui.add_head_html(f'<link rel="stylesheet" href="/static/live.css?{__version__}">')
    ui.add_head_html(f'<script type="module" src="/static/live.js?{__version__}"></script>')
    words = console.words
    sentences = {key.removeprefix(_PREFIX): words[key] for key in words.gaps() if key.startswith(_PREFIX)}
    block = ui.element("div").classes("live")
    block.props["data-page"] = page
    block.props["data-words"] = json.dumps(sentences)
    block.props["data-colours"] = json.dumps(colours().tolist())
    block.props["data-may-scale"] = json.dumps(login.actor.may(Action.RUN_UNIT))
    return live_owner(login.token, page)
