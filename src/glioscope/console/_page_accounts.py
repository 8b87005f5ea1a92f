"""`/accounts`: who may log in. For administrators, who see no case."""

from asyncio import to_thread
from collections.abc import Callable
from typing import Final

from fastapi import Request
from nicegui import ui

from glioscope.cases import Account, AccountRole, Actor
from glioscope.core import InputError

from ._console import Console
from ._frame_page import act, asking, button, clear_error, page_frame
from ._guard import Login, login_of
from ._record_parts import Cell, Row, add_record_style, heading, local_time, panel, sentence, store_from_dialog, table
from ._words import Words

_PASSWORD: Final = "type=password autocomplete=new-password outlined"


def add_pages(console: Console) -> None:
    """Register `/accounts`."""

    @ui.page("/accounts")
    async def page(request: Request) -> None:
        login, words = login_of(request), console.words
        accounts = await to_thread(console.store.accounts.all)
        add_record_style()
        with page_frame(console, login, words["admin.accounts.title"]):
            AccountsPage(console, login, accounts)


class AccountsPage:
    """The list of accounts, and what an administrator does with one."""

    def __init__(self, console: Console, login: Login, accounts: list[Account]) -> None:
        self._console, self._login, self._words = console, login, console.words
        with panel():
            with ui.element("div").classes("gs-head"):
                heading(self._words["admin.accounts.title"])
                button(self._words["admin.accounts.new"], self._ask_new, "gs-strong")
            ui.label(self._words["admin.accounts.hint"]).classes("gs-dim")
            self._place = ui.element("div").classes("gs-column")
        self._draw(accounts)

    async def _redraw(self) -> None:
        self._draw(await to_thread(self._console.store.accounts.all))

    def _draw(self, accounts: list[Account]) -> None:
        words = self._words
        self._place.clear()
        with self._place:
            table(
                words["admin.accounts.heads"].split("|"),
                [account_row(account, words) for account in accounts],
                words["admin.accounts.title"],
            )
            with ui.element("div").classes("gs-row gs-actions"):
                names = {account.name: account for account in accounts}
                chosen = ui.select(list(names), label=words["admin.accounts.whose"]).props("outlined")
                change = button(words["admin.accounts.change"], lambda: self._ask_password(chosen.value))
                disable = button(words["admin.accounts.disable"], lambda: self._ask_disable(chosen.value), "gs-danger")
                enable = button(words["admin.accounts.enable"], lambda: self._enable(chosen.value))

                def offer() -> None:
                    """Only what can be done with this account."""
                    account = names.get(chosen.value)
                    change.set_enabled(account is not None)
                    disable.set_visibility(account is None or account.enabled)
                    disable.set_enabled(account is not None)
                    enable.set_visibility(account is not None and not account.enabled)

                chosen.on_value_change(offer)
                offer()

    def _ask_new(self) -> None:
        words, store = self._words, self._console.store
        clear_error()
        with asking(words["admin.accounts.new_title"]) as dialog:
            name = ui.input(words["admin.accounts.name"]).props("outlined autofocus autocomplete=off")
            roles = {role: words[f"frame.role.{role}"] for role in AccountRole}
            role = ui.select(roles, value=AccountRole.OPERATOR, label=words["admin.accounts.role"]).props("outlined")
            first, second = self._passwords()

            def create(actor: Actor) -> None:
                store.accounts.create(actor, (name.value or "").strip(), AccountRole(role.value), first.value or "")

            self._end_of_form(dialog, words["admin.accounts.create"], first, second, create)

    def _ask_password(self, name: str) -> None:
        words, store = self._words, self._console.store
        clear_error()
        with asking(words("admin.accounts.change_title", name=name)) as dialog:
            first, second = self._passwords()
            self._end_of_form(
                dialog,
                words["admin.accounts.set"],
                first,
                second,
                lambda actor: store.accounts.set_password(actor, name, first.value or ""),
            )

    def _ask_disable(self, name: str) -> None:
        words, store = self._words, self._console.store
        clear_error()
        with asking(words("admin.accounts.disable_title", name=name)) as dialog:
            ui.label(words["admin.accounts.disable_hint"])

            async def disable() -> None:
                dialog.close()
                if await act(self._console, self._login, lambda actor: store.accounts.disable(actor, name)):
                    await self._redraw()

            with ui.element("div").classes("gs-row"):
                button(words["admin.accounts.cancel"], dialog.close, "gs-quiet")
                button(words["admin.accounts.disable"], disable, "gs-danger")

    async def _enable(self, name: str) -> None:
        store = self._console.store
        if await act(self._console, self._login, lambda actor: store.accounts.enable(actor, name)):
            await self._redraw()

    def _passwords(self) -> tuple[ui.input, ui.input]:
        words = self._words
        first = ui.input(words["admin.accounts.password"]).props(_PASSWORD)
        return first, ui.input(words["admin.accounts.again"]).props(_PASSWORD)

    def _end_of_form(
        self, dialog: ui.dialog, text: str, first: ui.input, second: ui.input, work: Callable[[Actor], None]
    ) -> None:
        """Place for what is wrong, and the two buttons. Passwords are hashed in a thread: that takes its time."""
        words = self._words
        said = ui.label().classes("gs-form-error").props("role=alert")

        async def store() -> None:
            try:
                check_same(first.value, second.value, words)
            except InputError as error:
                said.set_text(sentence(str(error)))
                return
            done: list[None] = []
            await store_from_dialog(self._console, self._login, work, say=said.set_text, then=done.append)
            if done:
                dialog.close()
                await self._redraw()

        with ui.element("div").classes("gs-row"):
            button(words["admin.accounts.cancel"], dialog.close, "gs-quiet")
            button(text, store, "gs-strong")


def check_same(first: str | None, second: str | None, words: Words) -> None:
    """Raise InputError where the two passwords that were typed differ."""
    if (first or "") != (second or ""):
        raise InputError(words["admin.accounts.differ"])


def account_row(account: Account, words: Words) -> Row:
    """The line of an account."""
    state = words["admin.accounts.enabled"]
    if account.disabled_at is not None:
        state = words("admin.accounts.disabled", time=local_time(account.disabled_at))
    cells = (account.name, words[f"frame.role.{account.role}"], local_time(account.created_at))
    return Row(
        (*map(Cell, cells), Cell(state, look="gs-open" if account.enabled else "")), "" if account.enabled else "gs-off"
    )
