"""What the record pages show that is no page: pictures of a specimen, heatmap, label, and the case report as PDF."""

from collections.abc import Callable
from typing import Any, Final

import cv2
import numpy as np
from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response
from numpy.typing import NDArray

from glioscope.cases import Actor, NoSuchCase, NotAllowed
from glioscope.core import GlioscopeError, ImageError, InputError

from ._console import Console
from ._errors import status_of
from ._guard import login_of
from ._live_scale import LiveScale, colours, default_scale
from ._visible import hidden_answers, visible

_HEADERS: Final = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}
_WHITE_LEVEL: Final = 65535
SCALES: Final = (1, 2, 4, 8)
BRIGHTER: Final = 4
"""On the scale of the live view most tissue is dark: it leaves room for the brightest."""


def add_pictures(app: FastAPI, console: Console) -> None:
    """Register the routes of pictures, labels and reports; what cannot be shown is answered with a sentence."""

    @app.get("/specimens/{specimen_id}/image/{slot}")
    def image(specimen_id: str, slot: str, brighter: int = BRIGHTER) -> Response:
        return _answer("image/png", lambda: screen_picture(console, specimen_id, slot, brighter))

    @app.get("/specimens/{specimen_id}/heatmap/{task}")
    def heatmap(request: Request, specimen_id: str, task: str) -> Response:
        actor = login_of(request).actor
        return _answer("image/png", lambda: _heatmap(console, specimen_id, task, actor))

    @app.get("/specimens/{specimen_id}/label.svg")
    def label(request: Request, specimen_id: str) -> Response:
        base_url = str(request.base_url).rstrip("/")
        return _answer("image/svg+xml", lambda: _label(console, specimen_id, base_url))

    @app.get("/cases/{case_id}/report.pdf")
    def report(request: Request, case_id: str) -> Response:
        actor = login_of(request).actor
        answer = _answer("application/pdf", lambda: _report(console, case_id, actor))
        if answer.status_code == 200:
            answer.headers["Content-Disposition"] = f'inline; filename="case-{case_id[:12]}.pdf"'
        return answer


def screen_picture(console: Console, specimen_id: str, slot: str, brighter: int = BRIGHTER) -> bytes:
    """PNG of a stored picture as the screen shows it: FL in colours on an absolute scale, WL as it is.

    Parameters
    ----------
    brighter : of FL, see `specimen_scale`.

    Raises
    ------
    InputError : no such scale.
    NoSuchCase, CaseErased : no such specimen, no such picture of it, or not any more.
    ImageError : what is stored is no picture.
    """
    specimen = console.store.specimen(specimen_id)
    if slot not in specimen.record.images:
        raise NoSuchCase(console.words("records.no_picture", number=specimen.number))
    stored = console.store.image(specimen.case_id, specimen.record.images[slot])
    if slot != "fl":
        return stored
    pixels = cv2.imdecode(np.frombuffer(stored, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise ImageError(None, console.words("records.bad_picture", number=specimen.number))
    return colour_fl(np.asarray(pixels, np.uint16), specimen_scale(console, brighter), _white_level(console))


def specimen_scale(console: Console, brighter: int = BRIGHTER) -> LiveScale:
    """Counts that are black and brightest: the same for all specimens, never stretched to a single one.

    Parameters
    ----------
    brighter : 1 is the scale that the live view begins with, times the frames that a diagnosis adds up; at 2, 4 and 8
        the brightest colour is reached at a half, a quarter, an eighth of its counts.

    Raises
    ------
    InputError : another number.
    """
    if brighter not in SCALES:
        raise InputError(console.words("records.bad_scale", known=", ".join(map(str, SCALES)), given=brighter))
    white_level, settings = _white_level(console), console.settings.theatre
    live = default_scale(white_level, settings.fl_offset_counts)
    high = live.low + (live.high - live.low) * settings.integrate_frames // brighter
    return LiveScale(live.low, min(high, white_level))


def colour_fl(counts: NDArray[np.uint16], scale: LiveScale, white_level: int = _WHITE_LEVEL) -> bytes:
    """PNG in the colours of the live view; saturated pixels have its warning colour.

    Parameters
    ----------
    counts : uint16 (H, W).
    white_level : count from which a pixel is saturated.
    """
    drawn = colours()[scale.table(white_level)[counts]]
    return _png(drawn[..., ::-1])


def _white_level(console: Console) -> int:
    """Top of the camera's range in counts; that of 16 bits while no camera tells."""
    pair = console.theatre.newest()
    return (pair.fl.white_level if pair is not None else None) or _WHITE_LEVEL


def _heatmap(console: Console, specimen_id: str, task: str, actor: Actor) -> bytes:
    specimen = console.store.specimen(specimen_id)
    if not visible(console.theatre, specimen, console.store.case(specimen.case_id), actor).answer:
        raise NotAllowed(console.words["records.owed_long"])
    return console.theatre.heatmap(specimen_id, task)


def _label(console: Console, specimen_id: str, base_url: str) -> str:
    from ._label import label_svg

    specimen = console.store.specimen(specimen_id)
    simulated = console.store.case(specimen.case_id).data_kind == "simulated"
    return label_svg(specimen, base_url, words=console.words, simulated=simulated)


def _report(console: Console, case_id: str, actor: Actor) -> bytes:
    from ._case_report import case_report_pdf

    case = console.store.case(case_id)
    hidden = hidden_answers(console.theatre, case, actor)
    return case_report_pdf(case, console.store, console.words, hidden=hidden)


def _answer(media_type: str, make: Callable[[], bytes | str]) -> Response:
    try:
        return Response(make(), media_type=media_type, headers=_HEADERS)
    except GlioscopeError as error:
        return PlainTextResponse(str(error), status_of(error), headers=_HEADERS)


def _png(bgr: NDArray[Any]) -> bytes:
    _, coded = cv2.imencode(".png", np.ascontiguousarray(bgr), [cv2.IMWRITE_PNG_COMPRESSION, 1])
    return bytes(coded)
