"""What is wrong with a form, as one sentence: the words of pydantic speak of types, which a person does not fill in."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic import ValidationError

_Context = Mapping[str, Any]
_LONGEST_SHOWN: Final = 40

_WORDS: Final[dict[str, Callable[[_Context], str]]] = {
    "missing": lambda _: "is missing",
    "float_parsing": lambda _: "is no number",
    "float_type": lambda _: "is no number",
    "int_parsing": lambda _: "is no whole number",
    "int_from_float": lambda _: "is no whole number",
    "finite_number": lambda _: "is no number",
    "greater_than": lambda c: f"must be above {c['gt']:g}",
    "greater_than_equal": lambda c: f"must be at least {c['ge']:g}",
    "less_than": lambda c: f"must be below {c['lt']:g}",
    "less_than_equal": lambda c: f"must be at most {c['le']:g}",
    "string_too_long": lambda c: f"is longer than {c['max_length']} letters",
    "string_too_short": lambda _: "is empty",
    "string_pattern_mismatch": lambda _: "may hold letters, digits, dot, hyphen and underscore only, 64 at most",
    "timezone_aware": lambda _: "has no time zone",
    "literal_error": lambda c: f"must be {c['expected']}",
}


def why_not(error: ValidationError, names: Mapping[str, str]) -> str:
    """The first thing that is wrong, as one sentence.

    Parameters
    ----------
    names : field -> what the form calls it.
    """
    first = error.errors(include_url=False)[0]
    word = _WORDS.get(first["type"])
    reason = word(first.get("ctx", {})) if word else _own(first["msg"])
    field = str(first["loc"][-1]) if first["loc"] else ""
    given = first["input"]
    shown = f", not {given}" if isinstance(given, str | int | float) and 0 < len(str(given)) <= _LONGEST_SHOWN else ""
    return f"{names.get(field, field)} {reason}{shown}" if field else reason


def _own(message: str) -> str:
    """What our own validators say is a sentence already."""
    return message.removeprefix("Value error, ")
