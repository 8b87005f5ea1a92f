"""What goes over the live websocket: binary messages to the page, JSON from it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from glioscope.core import InputError

from ._regions import MOST_REGIONS, Coordinate, DrawnRegion

LONGEST_MESSAGE = 16_384
"""Characters; eight regions of 64 corners fit."""


class ScaleWish(BaseModel):
    """A scale that the operator set; `LiveScale` has the limits."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    low: int
    high: int
    gamma: float = Field(default=1.0, allow_inf_nan=False)


class PageMessage(BaseModel):
    """What a page says; whatever is left out stays as it was."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ack: int | None = None
    """Number of the message whose picture has been painted."""
    visible: bool = False
    """Whether the page was in sight then."""
    skipped: bool = False
    """It was not painted itself: a newer one was there already."""
    cursor: tuple[Coordinate, Coordinate] | tuple[()] | None = None
    """Pixel of the FL frame whose counts are wanted; empty: none any more."""
    regions: Annotated[tuple[DrawnRegion, ...], Field(max_length=MOST_REGIONS)] | None = None
    tray: bool | None = None
    frozen: int | None = None
    """Number of the message whose picture stays; -1: live again."""
    scale: ScaleWish | None = None


def read_message(text: str) -> PageMessage:
    """Check what a page sent.

    Raises
    ------
    InputError : too long, no JSON, or another shape. The sentence repeats nothing of the message.
    """
    if len(text) > LONGEST_MESSAGE:
        raise InputError(f"a message of {len(text)} characters is over the limit of {LONGEST_MESSAGE}")
    try:
        return PageMessage.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part in _KNOWN)
        raise InputError(f"a message of the live view cannot be read: {where or 'shape'} ({first['type']})") from None


_KNOWN = frozenset({*PageMessage.model_fields, *DrawnRegion.model_fields, *ScaleWish.model_fields})


def pack(header: Mapping[str, Any], fl: bytes = b"", wl: bytes = b"") -> bytes:
    """One message to the page: length of the header (4 bytes, little-endian), header (JSON), FL and WL picture."""
    text = json.dumps({**header, "fl_bytes": len(fl), "wl_bytes": len(wl)}, allow_nan=False).encode()
    return b"".join((len(text).to_bytes(4, "little"), text, fl, wl))


def live_owner(token: str, page: str) -> str:
    """Who a page is to the light: from its session and its own id; the token itself goes nowhere."""
    return f"{hashlib.sha256(token.encode()).hexdigest()[:16]}:{page}"
