"""Headers that every answer carries, and the pages' policy on what browsers may run."""

import re
import secrets
from typing import Any, Final

from starlette.types import Message, Send

_ALWAYS: Final = {
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"no-referrer",
    b"x-frame-options": b"DENY",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"permissions-policy": b"camera=(), microphone=(), geolocation=(), usb=(), serial=(), payment=()",
}
_HSTS: Final = b"max-age=31536000"
_ENDS: Final = "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
_FORM_POLICY: Final = f"default-src 'none'; style-src 'self'; img-src 'self'; {_ENDS}"
"""Log-in and log-out run no script at all."""
_FILE_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; object-src 'self'; frame-ancestors 'none'"
)
"""For what is no page: an SVG brings its style along, and browsers embed a PDF in a page of their own."""
_SCRIPT: Final = re.compile(rb"<script(?=[\s>])", re.IGNORECASE)


def page_policy(nonce: str) -> str:
    """Return the Content-Security-Policy of a NiceGUI page: nothing but this console's own files.

    - script 'nonce': NiceGUI writes its start-up code into the page; only what has the nonce of this answer runs, so
      'unsafe-inline' is not needed.
    - script 'unsafe-eval': Vue compiles its templates in the browser, and NiceGUI evaluates event handlers, options of
      ECharts and `run_javascript` by `eval`.
    - style 'unsafe-inline': Quasar, Tailwind and ECharts write `style` attributes and elements.
    - img, font `data:`: icons of Quasar, symbols of ECharts; img `blob:`: pictures of the live view.
    """
    return (
        f"default-src 'self'; script-src 'self' 'nonce-{nonce}' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        f"img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self'; {_ENDS}"
    )


class HeadedSend:
    """An ASGI `send` that adds the headers; the script elements of pages get the nonce of their answer.

    What users wrote cannot get one: NiceGUI and jinja2 escape every "<" of it.

    Parameters
    ----------
    form : the answer is a page without scripts.
    fixed : the answer is a file of the program, which browsers may keep; all else is not kept anywhere.
    """

    def __init__(self, send: Send, *, tls: bool, form: bool = False, fixed: bool = False) -> None:
        self.started = False
        self._send, self._tls, self._form, self._fixed = send, tls, form, fixed
        self._nonce = secrets.token_urlsafe(18)
        self._held: Message | None = None
        self._body = b""

    async def __call__(self, message: Message) -> None:
        """Pass a message on; the body of a page is held back until it is complete."""
        if message["type"] == "http.response.start":
            self.started = True
            page = self._head(message)
            if not page:
                await self._send(message)
            self._held = message if page else None
        elif self._held is None:
            await self._send(message)
        else:
            self._body += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._held)

    def _head(self, message: Message) -> bool:
        """Set the headers; say whether this is a page with scripts."""
        headers = {key.lower(): value for key, value in message.get("headers", []) if key.lower() != b"set-cookie"}
        cookies = [(key, value) for key, value in message.get("headers", []) if key.lower() == b"set-cookie"]
        html = headers.get(b"content-type", b"").startswith(b"text/html")
        page = html and not self._form
        policy = page_policy(self._nonce) if page else _FORM_POLICY if html else _FILE_POLICY
        headers |= _ALWAYS | {b"content-security-policy": policy.encode()}
        headers |= {b"strict-transport-security": _HSTS} if self._tls else {}
        if self._fixed:
            headers.setdefault(b"cache-control", b"no-cache")
        else:
            headers[b"cache-control"] = b"no-store"
        message["headers"] = [*headers.items(), *cookies]
        return page

    async def _finish(self, start: Message) -> None:
        body = _SCRIPT.sub(b'<script nonce="' + self._nonce.encode() + b'"', self._body)
        kept: list[Any] = [(key, value) for key, value in start["headers"] if key != b"content-length"]
        # The answer to HEAD has no body: then its length stays unsaid.
        start["headers"] = [*kept, (b"content-length", str(len(body)).encode())] if body else kept
        await self._send(start)
        await self._send({"type": "http.response.body", "body": body})
