"""The map of the resection cavity: eight sectors seen in cross-section, one sign a specimen (Apache ECharts)."""

from collections import Counter
from collections.abc import Collection
from typing import Any, Final

from glioscope.cases import Case, Specimen
from glioscope.runtime import FIRST_TASK

from ._answer import LOOKS, Kind, kind_of
from ._words import Words

N_SECTORS: Final = 8
RINGS: Final = (
    (0.85, (0.0, -1 / 3, 1 / 3)),
    (0.66, (0.0, -1 / 3, 1 / 3)),
    (0.48, (-1 / 4, 1 / 4)),
    (0.31, (-1 / 4, 1 / 4)),
)
"""Radius of each ring and the places on it within a sector, in the order in which they are filled: from the margin
inwards, and a sign never moves again."""
_N_PLACES: Final = sum(len(places) for _, places in RINGS)
_FEW: Final = 40
"""Up to so many specimens the signs are large and carry their numbers."""
_SIZES_PX: Final = {True: (24.0, 38.0), False: (14.0, 26.0)}


def sector_angle(sector: int) -> float:
    """Middle of a sector in turns of 1/8, clockwise from 12 o'clock: sector 1 lies between 0 and 1."""
    return sector - 0.5


def place_in_sector(rank: int, sector: int) -> tuple[float, float]:
    """Radius (0 to 1) and angle (0 to 8, clockwise from 12 o'clock) of a sector's specimen of this rank, from 0.

    The 11th and later ones lie beside the first ones again.
    """
    lap, rest = divmod(rank, _N_PLACES)
    radius, offset = [(radius, place) for radius, places in RINGS for place in places][rest]
    return radius + 0.07 * (lap % 3), sector_angle(sector) + offset


def place_in_centre(rank: int) -> tuple[float, float]:
    """Radius and angle of a specimen whose sector nobody told: in the middle, on a spiral."""
    return min(0.2, 0.07 * rank**0.5), (rank * 3.056) % N_SECTORS  # the golden angle, in eighths of a turn


def cavity_map(case: Case, words: Words, *, hidden: Collection[str] = frozenset(), chosen: str = "") -> dict[str, Any]:
    """Options of the chart: a sign a specimen, in its sector, coloured by decision, as large as tumour is probable.

    Parameters
    ----------
    hidden : identifiers of specimens whose answer may not be seen: they are drawn without it.
    chosen : identifier of the specimen that is shown beside the map; it gets a white edge.

    Returns
    -------
    dict : for `ui.echart`; the `name` of a point is the specimen's identifier.
    """
    few = len(case.specimens) <= _FEW
    points, ranks = [], Counter[int | None]()
    for specimen in case.specimens:
        rank = ranks[specimen.sector]
        ranks[specimen.sector] += 1
        at = place_in_centre(rank) if specimen.sector is None else place_in_sector(rank, specimen.sector)
        is_hidden = specimen.specimen_id in hidden
        points.append(_point(specimen, at, few=few, hidden=is_hidden, chosen=specimen.specimen_id == chosen))
    return {
        "animation": False,
        "polar": {"radius": "82%"},
        "angleAxis": _angle_axis(),
        "radiusAxis": {"min": 0, "max": 1, "show": False},
        "series": [_sector_names(words), {"type": "scatter", "coordinateSystem": "polar", "data": points}],
    }


def legend(words: Words) -> list[tuple[str, str, str]]:
    """Sign, colour and word of each kind, for the line below the map; the last is "hidden"."""
    return [(look.sign, look.colour, words[f"theatre.word.{kind}"]) for kind, look in LOOKS.items()]


def _point(specimen: Specimen, at: tuple[float, float], *, few: bool, hidden: bool, chosen: bool) -> dict[str, Any]:
    kind = kind_of(specimen, hidden=hidden)
    look = LOOKS[kind]
    hollow = bool(specimen.withdrawn) or kind in (Kind.INDETERMINATE, Kind.HIDDEN)
    style: dict[str, Any] = {
        "color": "#141b23" if hollow else look.colour,
        "borderColor": "#ffffff" if chosen else look.colour,
        "borderWidth": 4 if chosen else 2,
        "borderType": "dashed" if specimen.withdrawn else "solid",
        "opacity": 0.6 if specimen.withdrawn and not chosen else 1.0,
    }
    return {
        "name": specimen.specimen_id,
        "value": [round(at[0], 4), round(at[1] % N_SECTORS, 4)],
        "symbol": look.symbol,
        "symbolSize": _size(specimen, kind, few=few),
        "itemStyle": style,
        "label": _number(specimen, hollow=hollow, few=few),
    }


def _size(specimen: Specimen, kind: Kind, *, few: bool) -> float:
    """Diameter in px: from the smallest at probability 0 to the largest at 1; the smallest where there is none."""
    smallest, largest = _SIZES_PX[few]
    if kind is Kind.HIDDEN or kind is Kind.NOT_ASSESSABLE:
        return smallest
    answer = specimen.answers.get(FIRST_TASK, {})
    probability = answer.get("y_probability")
    share = float(answer.get("y_score") or 0.0) if probability is None else float(probability)
    return round(smallest + (largest - smallest) * share, 1)


def _number(specimen: Specimen, *, hollow: bool, few: bool) -> dict[str, Any]:
    text = f"×{specimen.number}" if specimen.withdrawn else str(specimen.number)
    return {
        "show": few,
        "formatter": text,
        "position": "inside",
        "fontSize": 14,
        "fontWeight": "bold",
        "color": "#e8eef4" if hollow else "#0b0f14",
    }


def _sector_names(words: Words) -> dict[str, Any]:
    """Numbers of the sectors, round the map."""
    label = {"show": True, "fontSize": 20, "fontWeight": "bold", "color": "#e8eef4", "position": "inside"}
    names = [
        {"value": [1.13, sector_angle(sector)], "label": {**label, "formatter": str(sector)}, "symbolSize": 1}
        for sector in range(1, N_SECTORS + 1)
    ]
    return {
        "type": "scatter",
        "coordinateSystem": "polar",
        "name": words["theatre.sectors"],
        "data": names,
        "silent": True,
        "clip": False,
        "itemStyle": {"color": "transparent"},
    }


def _angle_axis() -> dict[str, Any]:
    line = {"show": True, "lineStyle": {"color": "#4a5b6d", "width": 1.5}}
    return {
        "type": "value",
        "min": 0,
        "max": N_SECTORS,
        "interval": 1,
        "startAngle": 90,
        "clockwise": True,
        "axisLabel": {"show": False},
        "axisTick": {"show": False},
        "axisLine": line,
        "splitLine": line,
    }
