"""Names that exist, the likeliest meant first, for messages about a name that does not."""

from collections.abc import Iterable
from difflib import SequenceMatcher

_SHOWN = 12


def closest_first(wanted: str, names: Iterable[str]) -> str:
    """At most 12 names as one text, the most similar first, and how many more there are; "none" if there are none."""
    ranked = sorted(names, key=lambda name: -SequenceMatcher(None, wanted.lower(), name.lower()).ratio())
    if not ranked:
        return "none"
    more = f" and {len(ranked) - _SHOWN} more" if len(ranked) > _SHOWN else ""
    return ", ".join(ranked[:_SHOWN]) + more
