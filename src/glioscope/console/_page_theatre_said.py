"""What is said of a specimen in theatre: its sector corrected, a note, a withdrawal. Nothing disappears by it."""

from collections.abc import Callable
from uuid import uuid4

from nicegui import ui

from glioscope.cases import Actor, Annotation, AnyEntry, Correction, Specimen, Withdrawal

from ._frame_page import asking, button, clear_error, say_error
from ._page_theatre_state import PageState


def ask_correction(state: PageState, specimen: Specimen) -> None:
    """Eight large buttons, and one for "not told"."""
    clear_error()
    words = state.words
    request_id = str(uuid4())
    with asking(words("theatre.dialog.correct", number=specimen.number)) as dialog:
        reason = ui.input(words["theatre.dialog.reason"]).props("outlined maxlength=2000")

        async def choose(sector: int | None) -> None:
            said = Correction(sector=sector, reason=(reason.value or "").strip())
            await _store(state, specimen, said, request_id, dialog)

        with ui.element("div").classes("gs-grid-4"):
            for sector in range(1, 9):
                look = "gs-chosen" if sector == specimen.sector else ""
                made = button(str(sector), lambda sector=sector: choose(sector), f"gs-digit {look}")
                made.mark(f"correct-{sector}")
        with ui.element("div").classes("gs-row"):
            button(words["theatre.not_told"], lambda: choose(None))
            button(words["theatre.dialog.cancel"], dialog.close, "gs-quiet")


def ask_annotation(state: PageState, specimen: Specimen) -> None:
    """A note in words."""
    title = state.words("theatre.dialog.annotate", number=specimen.number)
    _ask_text(state, specimen, title, state.words["theatre.dialog.note"], (), lambda text: Annotation(text=text))


def ask_withdrawal(state: PageState, specimen: Specimen) -> None:
    """A reason is asked for; the commonest ones are one tap."""
    title = state.words("theatre.dialog.withdraw", number=specimen.number)
    offered = tuple(state.words["theatre.dialog.withdraw_reasons"].split("|"))
    label = state.words["theatre.dialog.reason"]
    _ask_text(state, specimen, title, label, offered, lambda text: Withdrawal(reason=text))


def _ask_text(
    state: PageState,
    specimen: Specimen,
    title: str,
    label: str,
    offered: tuple[str, ...],
    entry: Callable[[str], AnyEntry],
) -> None:
    clear_error()
    words = state.words
    request_id = str(uuid4())
    with asking(title) as dialog:
        text = ui.input(label).props("outlined maxlength=2000").mark("said-text")
        if offered:
            with ui.element("div").classes("gs-row"):
                for reason in offered:
                    button(reason, lambda reason=reason: text.set_value(reason))

        async def store() -> None:
            said = (text.value or "").strip()
            if not said:
                say_error(words["theatre.dialog.needs_text"])
                return
            await _store(state, specimen, entry(said), request_id, dialog)

        with ui.element("div").classes("gs-row"):
            button(words["theatre.dialog.cancel"], dialog.close, "gs-quiet")
            button(words["theatre.dialog.store"], store, "gs-strong").mark("store-said")


async def _store(state: PageState, specimen: Specimen, said: AnyEntry, request_id: str, dialog: ui.dialog) -> None:
    if await say_of(state, specimen, said, request_id):
        dialog.close()


async def say_of(state: PageState, specimen: Specimen, said: AnyEntry, request_id: str) -> bool:
    """Store an entry and tell all pages; the same `request_id` is stored once."""
    console = state.console

    def work(actor: Actor) -> None:
        console.store.add_entry(actor, specimen.specimen_id, said, request_id=request_id)
        console.theatre.tell("entry", {"specimen_id": specimen.specimen_id, "kind": said.kind})

    return await state.act(work)
