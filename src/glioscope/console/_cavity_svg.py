"""The map of the resection cavity for paper: what `_cavity_map` shows on the screen, as one small SVG."""

import math
from collections import Counter
from collections.abc import Collection
from html import escape
from typing import Final

from glioscope.cases import Case, Specimen
from glioscope.runtime import FIRST_TASK

from ._answer import LOOKS, Kind, kind_of
from ._cavity_map import N_SECTORS, place_in_centre, place_in_sector, sector_angle
from ._words import Words

_SIZE: Final = 320
_RADIUS: Final = 132.0
_INK: Final = "#1a1a1a"
_LETTERS: Final = "font-family='DejaVu Sans, Arial, sans-serif'"
_MARKS: Final = (7.0, 13.0)
"""Radius of a sign at probability 0 and at 1."""


def cavity_svg(case: Case, words: Words, *, hidden: Collection[str] = frozenset()) -> str:
    """A ring of 8 sectors, clockwise from the top, with one sign a specimen.

    Form and colour say the decision, the size how probable tumour is; withdrawn specimens are dashed.

    Parameters
    ----------
    hidden : identifiers of specimens whose answer may not be seen: drawn without it.
    """
    ranks, marks = Counter[int | None](), []
    for specimen in case.specimens:
        rank = ranks[specimen.sector]
        ranks[specimen.sector] += 1
        at = place_in_centre(rank) if specimen.sector is None else place_in_sector(rank, specimen.sector)
        marks.append(_mark(specimen, *_xy(*at), hidden=specimen.specimen_id in hidden))
    alt = words("report.map.alt", n=len(case.specimens))
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {_SIZE} {_SIZE}' width='{_SIZE}' height='{_SIZE}' "
        f"role='img'><title>{escape(alt)}</title>{_ring()}{''.join(marks)}</svg>"
    )


def sign_svg(kind: Kind) -> str:
    """The sign of a kind alone, for legends."""
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='-9 -9 18 18' width='14' height='14'>{_shape(kind, 7)}</svg>"
    )


def _ring() -> str:
    """Rim, spokes and the numbers of the sectors."""
    middle = _SIZE / 2
    parts = [
        f"<circle cx='{middle:g}' cy='{middle:g}' r='{_RADIUS:g}' fill='#f6f6f6' stroke='{_INK}' stroke-width='1.5'/>"
    ]
    for sector in range(1, N_SECTORS + 1):
        x, y = _xy(1.0, sector - 1.0)
        parts.append(f"<path d='M{middle:g} {middle:g}L{x:.1f} {y:.1f}' stroke='#9a9a9a' stroke-width='1'/>")
        x, y = _xy(1.12, sector_angle(sector))
        parts.append(_text(x, y, str(sector), 15))
    return "".join(parts)


def _mark(specimen: Specimen, x: float, y: float, *, hidden: bool) -> str:
    kind = kind_of(specimen, hidden=hidden)
    shape = _shape(kind, _size(specimen, kind), dashed=bool(specimen.withdrawn))
    number = f"×{specimen.number}" if specimen.withdrawn else str(specimen.number)
    # A triangle has its room below its middle.
    return (
        f"<g transform='translate({x:.1f} {y:.1f})'>{shape}{_text(0, 2 if kind is Kind.TUMOUR else 0, number, 8.5)}</g>"
    )


def _shape(kind: Kind, r: float, *, dashed: bool = False) -> str:
    look = "none" if kind is Kind.HIDDEN else LOOKS[kind].colour
    style = f"fill='{look}' stroke='{_INK}' stroke-width='1.2'"
    if dashed:
        style = f"fill='#ffffff' stroke='{look}' stroke-width='2' stroke-dasharray='3 2'"
    if kind is Kind.TUMOUR:
        return f"<path d='M0 {-1.25 * r:.1f}L{1.2 * r:.1f} {0.85 * r:.1f}H{-1.2 * r:.1f}Z' {style}/>"
    if kind is Kind.NON_TUMOUR:
        return f"<circle r='{r:g}' {style}/>"
    if kind is Kind.INDETERMINATE:
        return f"<path d='M0 {-1.3 * r:.1f}L{1.3 * r:.1f} 0L0 {1.3 * r:.1f}L{-1.3 * r:.1f} 0Z' {style}/>"
    cross = f"<path d='M{-r:g} {-r:g}L{r:g} {r:g}M{-r:g} {r:g}L{r:g} {-r:g}' stroke='{_INK}' stroke-width='0.7'/>"
    square = f"<rect x='{-r:g}' y='{-r:g}' width='{2 * r:g}' height='{2 * r:g}' {style}/>"
    return square + (cross if kind is Kind.NOT_ASSESSABLE else "")


def _size(specimen: Specimen, kind: Kind) -> float:
    """Radius of the sign; the smallest where there is no answer."""
    smallest, largest = _MARKS
    if kind in (Kind.HIDDEN, Kind.NOT_ASSESSABLE):
        return smallest
    answer = specimen.answers.get(FIRST_TASK, {})
    share = answer.get("y_probability")
    share = answer.get("y_score") if share is None else share
    return round(smallest + (largest - smallest) * float(share or 0.0), 1)


def _xy(radius: float, angle: float) -> tuple[float, float]:
    """Px, from a radius of 0 to 1 and an angle in eighths of a turn, clockwise from the top."""
    turn = 2 * math.pi * angle / N_SECTORS
    return _SIZE / 2 + _RADIUS * radius * math.sin(turn), _SIZE / 2 - _RADIUS * radius * math.cos(turn)


def _text(x: float, y: float, said: str, size: float) -> str:
    return (
        f"<text x='{x:.1f}' y='{y + 0.36 * size:.1f}' font-size='{size:g}' font-weight='bold' text-anchor='middle' "
        f"fill='{_INK}' {_LETTERS}>{escape(said)}</text>"
    )
