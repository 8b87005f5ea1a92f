"""The websocket of the live view: pictures out, acknowledgements back, never more than two pictures under way."""

import asyncio
import contextlib
import logging
import re
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, WebSocket, WebSocketDisconnect

from glioscope.cases import Action, NotAllowed
from glioscope.core import GlioscopeError, InputError

from ._live_messages import PageMessage, live_owner, pack, read_message
from ._live_pictures import LivePicture, LivePictures
from ._live_scale import LiveScale
from ._live_stats import PaintTimes, Rate
from ._live_strip import strip
from ._regions import DrawnRegion, Outline, TrayFinder, counts_at, read_regions
from ._sessions import Login, login_in

if TYPE_CHECKING:
    from ._console import Console

_LOG = logging.getLogger("glioscope.console")
_UNDER_WAY: Final = 2
_KEPT: Final = 4
_MOST_VIEWERS: Final = 16
_STATUS_S: Final = 0.2
_MEASURE_S: Final = 0.5
_SESSION_S: Final = 1.0
_OLDEST_S: Final = 1.0
_BEAT_S: Final = 0.5
"""An acknowledgement that took longer than this is no heartbeat: whoever looks sees the past."""
_PAGE = re.compile(r"[A-Za-z0-9-]{8,64}")
ENDED, REFUSED, FULL = 4401, 1008, 1013
"""Codes with which the socket is closed: the session has ended, a message that cannot be, too many viewers."""


class LiveServer:
    """What all viewers of one console share.

    Attributes
    ----------
    pictures : made once for all.
    times : from exposure to paint.
    viewers : those that are connected, by the number of their connection.
    """

    def __init__(self, console: "Console") -> None:
        self.console = console
        self.offset_counts = console.settings.theatre.fl_offset_counts
        self.pictures = LivePictures(console.theatre, offset_counts=self.offset_counts)
        self.times = PaintTimes()
        self.tray = TrayFinder()
        self.viewers: dict[int, Viewer] = {}
        self._next = 0

    async def serve(self, websocket: WebSocket, login: Login, page: str) -> None:
        """One viewer, from the handshake until it goes."""
        await websocket.accept()
        if len(self.viewers) >= _MOST_VIEWERS:
            await websocket.close(FULL)
            return
        number, self._next = self._next, self._next + 1
        viewer = self.viewers[number] = Viewer(self, websocket, login, live_owner(login.token, page))
        try:
            await viewer.run()
        finally:
            del self.viewers[number]

    def figures(self) -> dict[str, Any]:
        """Frames a second of every viewer, and the times from exposure to paint of all."""
        rates = [round(viewer.rate.per_second(), 1) for viewer in self.viewers.values()]
        return {"viewers": rates, **asdict(self.times.stats())}


@dataclass(frozen=True, slots=True)
class _Sent:
    number: int
    at_s: float
    picture: LivePicture | None


class Viewer:
    """One page that looks. Everything runs on the event loop; what takes long runs in threads."""

    def __init__(self, server: LiveServer, websocket: WebSocket, login: Login, owner: str) -> None:
        self.rate = Rate()
        self._server, self._websocket, self._login, self._owner = server, websocket, login, owner
        self._changed = asyncio.Event()
        self._sent: deque[_Sent] = deque(maxlen=_KEPT)
        self._under_way: dict[int, _Sent] = {}
        self._number, self._shown, self._said_s = 0, -1, 0.0
        self._cursor: tuple[int, int] | None = None
        self._regions: tuple[DrawnRegion, ...] = ()
        self._tray = False
        self._frozen: LivePicture | None = None
        self._news: dict[str, Any] = {}

    async def run(self) -> None:
        """Until the page goes, its session ends or it says something that cannot be."""
        loop = asyncio.get_running_loop()

        def made() -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended before this viewer could leave
                loop.call_soon_threadsafe(self._changed.set)

        leave = self._server.pictures.watch(made)
        jobs = [asyncio.create_task(job) for job in (self._hear(), self._show(), self._measure(), self._hold())]
        try:
            done, _ = await asyncio.wait(jobs, return_when=asyncio.FIRST_COMPLETED)
        finally:
            leave()
            for job in jobs:
                job.cancel()
            said = await asyncio.gather(*jobs, return_exceptions=True)
        await self._part([error for job, error in zip(jobs, said, strict=True) if job in done])

    async def _part(self, errors: list[Any]) -> None:
        """Close as what ended it asks; whatever was not foreseen is raised."""
        error = errors[0]
        if isinstance(error, NotAllowed):
            await self._close(ENDED, str(error))
        elif isinstance(error, InputError):
            _LOG.warning("live view of %s closed: %s", self._login.actor.account, error)
            await self._close(REFUSED, "message refused")
        elif not isinstance(error, WebSocketDisconnect):
            raise error

    async def _close(self, code: int, reason: str) -> None:
        with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it has gone already
            await self._websocket.close(code, reason[:100])

    async def _show(self) -> None:
        """Send the newest picture whenever there is room, and the state of things five times a second."""
        while True:
            if len(self._under_way) < _UNDER_WAY:
                self._server.pictures.want()
            # Not `wait_for`: in Python 3.11 it can swallow the cancellation with which this job is ended.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_STATUS_S):
                    await self._changed.wait()
            self._changed.clear()
            picture = self._due()
            if picture is not None or time.monotonic() - self._said_s >= _STATUS_S:
                await self._send(picture)

    def _due(self) -> LivePicture | None:
        """The newest picture if it is new to this viewer, fresh, and there is room for it."""
        picture = self._server.pictures.newest()
        if picture is None or picture.number == self._shown or len(self._under_way) >= _UNDER_WAY:
            return None
        return picture if time.monotonic() - picture.ended_s < _OLDEST_S else None

    async def _send(self, picture: LivePicture | None) -> None:
        """A message, with a picture or without; one with a picture waits for its acknowledgement."""
        now = time.monotonic()
        header: dict[str, Any] = {"id": self._number, "frozen": self._frozen is not None}
        fl, wl = b"", b""
        if picture is not None:
            self._shown = picture.number
            header |= _facts(picture, now)
            if self._frozen is None:
                fl, wl = picture.fl_jpeg, picture.wl_jpeg
        if now - self._said_s >= _STATUS_S:
            self._said_s = now
            header |= self._status()
        self._add_counts(header)
        header |= self._news
        self._news = {}
        sent = _Sent(self._number, now, picture)
        if picture is not None:
            self._under_way[sent.number] = sent
            self._sent.append(sent)
        self._number += 1
        await self._websocket.send_bytes(pack(header, fl, wl))

    def _status(self) -> dict[str, Any]:
        console, times = self._server.console, self._server.times.stats()
        fps = self.rate.per_second()
        shown = {"fps": round(fps, 1), "p99_ms": times.p99_ms, "painted": times.painted}
        return {
            "strip": [asdict(item) for item in strip(console.theatre.status(), console.words, fps)],
            "fault": self._server.pictures.fault,
            "shown": shown,
        }

    def _add_counts(self, header: dict[str, Any]) -> None:
        source = self._source()
        if source is not None and self._cursor is not None:
            header["cursor"] = counts_at(source.pair.fl, *self._cursor)

    def _source(self) -> LivePicture | None:
        """The picture on the screen: what is measured is what is seen."""
        return self._frozen or (self._sent[-1].picture if self._sent else None)

    async def _hear(self) -> None:
        while True:
            message = read_message(await self._websocket.receive_text())
            if message.ack is not None:
                self._painted(message.ack, message)
            self._wish(message)
            if message.scale is not None:
                await self._set_scale(message)

    def _painted(self, number: int, message: PageMessage) -> None:
        """A picture is on the screen: there is room for another, and somebody looks."""
        sent = self._under_way.pop(number, None)
        if sent is None or sent.picture is None:
            return
        now = time.monotonic()
        self._changed.set()
        if self._frozen is None and not message.skipped:
            self.rate.add()
            self._server.times.add(1000 * (now - sent.picture.ended_s))
        if message.visible and not message.skipped and now - sent.at_s <= _BEAT_S:
            self._server.console.theatre.beat(self._owner)

    def _wish(self, message: PageMessage) -> None:
        if message.cursor is not None:
            self._cursor = (int(message.cursor[0]), int(message.cursor[1])) if message.cursor else None
        if message.regions is not None:
            self._regions = message.regions
        if message.tray is not None:
            self._tray = message.tray
        if message.frozen is not None:
            kept = (sent.picture for sent in self._sent if sent.number == message.frozen)
            self._frozen = next(kept, None)

    async def _set_scale(self, message: PageMessage) -> None:
        wish = message.scale
        if wish is None:
            return
        try:
            actor = await asyncio.to_thread(self._server.console.actor, self._login)
            actor.check(Action.RUN_UNIT)
            self._server.pictures.set_scale(LiveScale(wish.low, wish.high, wish.gamma))
        except GlioscopeError as error:
            self._news["said"] = str(error)

    async def _measure(self) -> None:
        """Regions and tray twice a second, in a thread, from the picture on the screen."""
        while True:
            await asyncio.sleep(_MEASURE_S)
            source = self._source()
            if source is None or not (self._regions or self._tray):
                continue
            self._news |= await asyncio.to_thread(self._measured, source, self._regions, self._tray)

    def _measured(self, source: LivePicture, regions: tuple[DrawnRegion, ...], tray: bool) -> dict[str, Any]:
        frame = source.pair.fl
        found: dict[str, Any] = {}
        if regions:
            read = read_regions(frame, regions, self._server.offset_counts)
            found["regions"] = [asdict(reading) for reading in read]
        if tray:
            try:
                outlines: list[Outline] = self._server.tray.outlines(frame, source.wl)
                found["outlines"] = outlines
            except GlioscopeError as error:
                found |= {"outlines": [], "said": str(error)}
        return found

    async def _hold(self) -> None:
        """Look the session up again and again. Raises NotAllowed when it has ended."""
        while True:
            await asyncio.sleep(_SESSION_S)
            actor = await asyncio.to_thread(self._server.console.actor, self._login)
            actor.check(Action.WATCH)


def _facts(picture: LivePicture, now: float) -> dict[str, Any]:
    fl = picture.pair.fl
    return {
        "sequence": fl.sequence,
        "age_ms": round(1000 * (now - picture.ended_s), 1),
        "taken": fl.utc.isoformat() if fl.utc is not None else "",
        "scale": picture.scale.as_json(),
        "size": [int(fl.pixels.shape[1]), int(fl.pixels.shape[0])],
        "mm_per_px": fl.mm_per_px,
        "lit": fl.laser_on,
    }


def add_live(app: FastAPI, console: "Console") -> LiveServer:
    """Register the websocket `/live`; the guard has let in who may watch, and put the log-in into the scope."""
    server = LiveServer(console)

    @app.websocket("/live")
    async def live(websocket: WebSocket, page: str = "") -> None:
        login = login_in(websocket.scope)
        if login is None or _PAGE.fullmatch(page) is None:
            await websocket.close(REFUSED)
            return
        await server.serve(websocket, login, page)

    return server
