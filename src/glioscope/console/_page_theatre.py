"""The page `/`, on which a whole operation runs: live view, taking, answer, map, suggestions, the case so far."""

import asyncio
from typing import TYPE_CHECKING, Final

from fastapi import Request
from nicegui import Client, background_tasks, context, run, ui

from glioscope import __version__
from glioscope.cases import Action
from glioscope.core import GlioscopeError

from ._console import Console
from ._frame_page import button, page_frame, say_error
from ._page_theatre_answer import AnswerSheet
from ._page_theatre_case import CaseLine
from ._page_theatre_sheets import FirstSheet, MapSheet, TimelineSheet
from ._page_theatre_state import PageState, Seen
from ._page_theatre_take import TakeControl
from ._page_theatre_unit import LightControl, simulator_strip
from ._sessions import login_of

if TYPE_CHECKING:
    from ._taken import Taken

_AFTER_ANSWER_S: Final = 0.25
"""The case is read again a moment after the news: the answer of a key press comes first."""
SHEETS: Final = ("answer", "map", "first", "timeline")
"""On a small screen one is seen at a time; on a large one all of them."""


def add_pages(console: Console) -> None:
    """Register the page."""

    @ui.page("/", response_timeout=10)
    async def theatre_page(request: Request) -> None:
        page = TheatrePage(console, request)
        await page.refresh()


class TheatrePage:
    """One browser in theatre. Whatever happens in theatre draws it anew, whoever did it."""

    def __init__(self, console: Console, request: Request) -> None:
        from ._live import live_view

        login = login_of(request)
        self.state = PageState(console, login, changed=self.draw)
        self._client = context.client
        ui.add_head_html(f'<script defer src="/static/theatre.js?{__version__}"></script>')
        with page_frame(console, login, console.words["theatre.title"], fixed=True):
            ui.element("div").classes("gs-said").props("id=gs-said role=alert hidden")
            with self._root():
                with ui.element("div").classes("gs-left"):
                    with ui.element("div").classes("gs-live"):
                        self.state.owner = live_view(console, login)
                    simulator_strip(self.state)
                self._controls()
                self._tabs()
                self._answer = AnswerSheet(self.state)
                self._sheets = (MapSheet(self.state), FirstSheet(self.state), TimelineSheet(self.state))
        self._listen()

    async def refresh(self) -> None:
        """Read the case again and draw it."""
        seen = await run.io_bound(self._read)
        if isinstance(seen, Seen):
            if _is_older(seen, self.state.seen):
                return  # read before a specimen that is shown already; its own news follows
            self._leave_sector_behind(seen)
            self.state.seen = seen
            self.draw()
        elif seen is not None:
            say_error(seen)

    def _leave_sector_behind(self, seen: Seen) -> None:
        """What was chosen in one case is not proposed in another."""
        before, now = (None if one.case is None else one.case.case_id for one in (self.state.seen, seen))
        if before != now:
            self.state.shown = ""
            if self.state.sector is not None:
                self._take.choose(self.state.sector)

    def draw(self) -> None:
        """Everything that shows the case; what has not changed costs nothing."""
        self._case_line.draw()
        self._take.draw()
        self._answer.draw()
        for sheet in self._sheets:
            sheet.draw()

    def _root(self) -> ui.element:
        words, settings = self.state.words, self.state.console.settings
        root = ui.element("div").classes("gs-theatre").props("id=gs-theatre data-tab=answer")
        may_take = self.state.actor.may(Action.TAKE)
        root.props["data-may-take"] = "yes" if may_take else "no"
        root.props["data-take-key"] = settings.take_key
        root.props["data-not-connected"] = words["frame.not_connected"]
        root.props["data-lost-press"] = words["theatre.lost_press"]
        root.props["data-dialog-open"] = words["theatre.dialog_open"]
        self._shell = root
        return root

    def _controls(self) -> None:
        with ui.element("div").classes("gs-controls"):
            self._case_line = CaseLine(self.state)
            light = LightControl(self.state)
            self._take = TakeControl(self.state, self._taken, self._failed)
        ui.on("gs_dark", light.off)

    def _tabs(self) -> None:
        self._tab_buttons = {}
        with ui.element("div").classes("gs-tabs").props("role=group"):
            for name in SHEETS:
                made = button(self.state.words[f"theatre.tab.{name}"], lambda name=name: self._show_tab(name))
                self._tab_buttons[name] = made.mark(f"tab-{name}")
        self._show_tab("answer")

    def _show_tab(self, name: str) -> None:
        self._shell.props(f"data-tab={name}")
        for other, made in self._tab_buttons.items():
            made.classes(add="gs-chosen") if other == name else made.classes(remove="gs-chosen")

    def _taken(self, taken: "list[Taken]") -> None:
        """Show the new answer at once; the rest follows with the news that theatre sends to every page."""
        state, case = self.state, self.state.seen.case
        state.shown = ""
        state.took_ms |= {one.specimen.specimen_id: one.took_ms for one in taken}
        if case is not None and taken and taken[-1].specimen.case_id == case.case_id:
            known = {s.specimen_id: s for s in case.specimens}
            known |= {one.specimen.specimen_id: one.specimen for one in taken}
            specimens = tuple(sorted(known.values(), key=lambda s: s.number))
            state.seen = state.view(case.model_copy(update={"specimens": specimens}))
        self._answer.hide_heatmap()
        self._answer.draw()
        self._take.draw()
        self._show_tab("answer")

    def _failed(self) -> None:
        self.state.shown = ""
        self._answer.draw_failure()
        self._show_tab("answer")

    def _read(self) -> Seen | GlioscopeError:
        try:
            return self.state.read()
        except GlioscopeError as error:
            return error

    def _listen(self) -> None:
        """Follow the theatre until the browser has gone for good."""
        loop, news = asyncio.get_running_loop(), asyncio.Event()

        def heard(kind: str, facts: dict[str, object]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(news.set)

        leave = self.state.console.theatre.listen(heard)
        task = background_tasks.create(self._follow(self._client, news), name="theatre page")

        def gone() -> None:
            leave()
            task.cancel()

        self._client.on_delete(gone)

    async def _follow(self, client: Client, news: asyncio.Event) -> None:
        while True:
            await news.wait()
            await asyncio.sleep(_AFTER_ANSWER_S)
            news.clear()
            with client:
                await self.refresh()


def _is_older(read: Seen, shown: Seen) -> bool:
    """Whether a case as it was read lacks specimens that are shown."""
    if read.case is None or shown.case is None or read.case.case_id != shown.case.case_id:
        return False
    return len(read.case.specimens) < len(shown.case.specimens)
