"""What a request must look like before anybody asks whom it comes from."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from glioscope.core import GlioscopeError

SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LONGEST_PATH: Final = 1024
_ENCODED: Final = re.compile(rb"%(2e|2f|5c|25|00)", re.IGNORECASE)
"""Dot, slash, backslash, percent and NUL have no business in an encoded form: they are how paths are disguised."""


class Refused(GlioscopeError):  # noqa: N818
    """A request that is not let in.

    Attributes
    ----------
    status : of HTTP.
    reason : for the log; holds nothing that the client sent.
    """

    def __init__(self, status: int, reason: str) -> None:
        self.status, self.reason = status, reason
        super().__init__(reason)


def header_of(scope: Mapping[str, Any], name: bytes) -> str | None:
    """Return the only header of a name; None where there is none.

    Raises
    ------
    Refused : there are several.
    """
    found = [value for key, value in scope["headers"] if key == name]
    if len(found) > 1:
        raise Refused(400, f"several {name.decode()} headers")
    return found[0].decode("latin-1") if found else None


def check_host(scope: Mapping[str, Any], names: Iterable[str]) -> str:
    """Return the Host header of a request that was meant for this console.

    A page elsewhere can make its own name point to this machine (DNS rebinding), but not change the name that browsers
    then send. An address instead of a name cannot be made to point anywhere: that of the connection is right as well.

    Raises
    ------
    Refused : no host, or another than `names` and the connection's own address.
    """
    host = header_of(scope, b"host")
    if not host:
        raise Refused(400, "no host header")
    server = scope.get("server") or ("", None)
    if name_of(host) not in {*names, *LOOPBACK_NAMES, str(server[0]).lower()}:
        raise Refused(400, "host is not in the list")
    return host


def name_of(host: str) -> str:
    """Return a host without its port and brackets, in lower case."""
    host = host.strip().lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def check_path(scope: Mapping[str, Any]) -> str:
    """Return the decoded path.

    Raises
    ------
    Refused : dots, backslashes, control characters, empty parts, disguises, or more than 1024 bytes.
    """
    raw: bytes = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
    path: str = scope["path"]
    parts = path.split("/")
    if len(raw) > _LONGEST_PATH:
        raise Refused(414, "path is too long")
    if not path.startswith("/") or "//" in path or {".", ".."} & set(parts):
        raise Refused(400, "path has empty or dotted parts")
    if _ENCODED.search(raw) or "\\" in path or not path.isprintable():
        raise Refused(400, "path has characters that are not allowed")
    return path


def check_origin(scope: Mapping[str, Any], host: str, *, tls: bool) -> None:
    """Let pass what a page of this console sends, and nothing that another page could send.

    Browsers send Origin with every websocket and every unsafe method, but as "null" under the referrer policy that we
    set; then Sec-Fetch-Site tells. One of the two must speak for the request and none against it.

    Raises
    ------
    Refused : it comes from elsewhere, or does not say where from.
    """
    origin, site = header_of(scope, b"origin"), header_of(scope, b"sec-fetch-site")
    own = f"{'https' if tls else 'http'}://{host}".lower()
    if site not in (None, "same-origin") or (origin not in (None, "null") and origin.lower() != own):
        raise Refused(403, "comes from another origin")
    if site is None and origin in (None, "null"):
        raise Refused(403, "does not say from which origin it comes")
