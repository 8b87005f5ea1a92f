"""Light on and off in theatre, and the strip that changes simulated tissue."""

from nicegui import ui

from glioscope.cases import Action

from ._frame_page import button
from ._page_theatre_state import PageState

_POLL_S = 0.3
"""The word for the laser on this page is at most so old; the live view's own strip is fresher."""


class LightControl:
    """What the laser does, one button that asks for light, and a large one that ends it."""

    def __init__(self, state: PageState) -> None:
        self._state = state
        self._shown = ""
        words, may_run = state.words, state.actor.may(Action.RUN_UNIT)
        self._may_run = may_run
        with ui.element("div").classes("gs-panel gs-light"):
            self._word = ui.label().classes("gs-light-word").props("id=gs-light-word aria-live=polite")
            self._clear = button(words["theatre.light.clear"], self.clear).mark("clear-fault")
            self._on = button(words["theatre.light.switch_on"], self.on).mark("light-on")
            button(words["theatre.light.switch_off"], self.off, "gs-danger gs-dark").mark("light-off")
        self.draw()
        ui.timer(_POLL_S, self.draw)

    def draw(self) -> None:
        """Say what the laser does now."""
        light = self._state.console.theatre.status().light
        state = "unknown" if light is None else light.state
        if state == self._shown:
            return
        self._word.classes(remove=f"gs-light-{self._shown}", add=f"gs-light-{state}")
        self._shown = state
        self._word.set_text(self._state.words[f"theatre.light.{state}"])
        self._clear.set_visibility(self._may_run and state == "fault")
        self._on.set_visibility(self._may_run and state not in ("fault", "emitting"))

    async def on(self) -> None:
        """Ask for light; this page's live picture keeps it on."""
        theatre, owner = self._state.console.theatre, self._state.owner
        await self._state.act(lambda actor: theatre.light_on(actor, owner))
        self.draw()

    async def off(self) -> None:
        """Dark, whoever switched it on: before the session is looked up or anything is written."""
        self._state.console.theatre.dark(self._state.actor)
        await self._state.act(self._state.console.theatre.light_off)
        self.draw()

    async def clear(self) -> None:
        """The operator has seen the fault."""
        await self._state.act(self._state.console.theatre.clear_fault)
        self.draw()


def simulator_strip(state: PageState) -> None:
    """Buttons that put other simulated tissue under the cameras; nothing where the unit is real."""
    simulator, words = state.console.theatre.simulator, state.words
    if simulator is None or not state.actor.may(Action.RUN_UNIT):
        return
    with ui.element("div").classes("gs-panel gs-simulator"):
        ui.label(words["theatre.simulator.title"]).classes("gs-simulated")
        for name, work in (
            ("next", simulator.next_specimen),
            ("empty", simulator.empty),
            ("tray", lambda: simulator.tray(6)),
        ):
            made = button(words[f"theatre.simulator.{name}"], lambda work=work: state.act(lambda _: work()))
            made.mark(f"simulator-{name}")
