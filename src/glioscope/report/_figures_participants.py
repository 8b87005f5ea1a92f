"""Figure of participants and specimens through the study, as STARD 2015 asks for (Bossuyt et al. 2015, item 19)."""

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot
from matplotlib.markers import CARETDOWN, CARETRIGHT
from matplotlib.patches import Rectangle

from glioscope.core import InputError

from ._document import Figure
from ._style import CHARACTER, INK, PAGE, canvas, journal

_LINE: Final = 0.135
_PAD: Final = 0.07
_GAP: Final = 0.22
_NO_BREAK: Final = "\N{NO-BREAK SPACE}"
_UNKNOWN: Final = "not reported"
_MAIN: Final = 3.1
"""Width of the boxes in the middle line, in inches; exclusions stand to their right."""
_SIDE: Final = _MAIN + 0.55


@dataclass(frozen=True, slots=True)
class Size:
    """Patients and specimens; None: not reported."""

    patients: int | None = None
    specimens: int | None = None


@dataclass(frozen=True, slots=True)
class IndexResult:
    """One result of the index test (positive, indeterminate ...), and what the reference standard says of it."""

    name: str
    size: Size
    reference: tuple[tuple[str, Size], ...]


@dataclass(frozen=True, slots=True)
class ParticipantFlow:
    """A study from the patients approached to its results.

    `eligible` are the patients approached and `excluded` the reasons why some of them were not enrolled, with
    patients each (None: not reported). `not_evaluated` are reasons why enrolled patients or specimens have no result
    here, for example that a network was trained on them.
    """

    enrolled: Size
    evaluated: Size
    results: tuple[IndexResult, ...]
    eligible: int | None = None
    excluded: tuple[tuple[str, int | None], ...] | None = None
    not_evaluated: tuple[tuple[str, Size], ...] = ()


def participant_flow(flow: ParticipantFlow, caption: str, *, name: str = "figure-participants") -> Figure:
    """The STARD diagram: who was approached, enrolled and evaluated, and what index test and reference standard said.

    Numbers that are not known print "not reported". Where eligible patients less the excluded are not the enrolled
    ones, the caption says so.

    Raises
    ------
    InputError : no result or more than four, a number below 0, or results whose specimens do not add up to those
        evaluated.
    """
    _check(flow)
    main, side = _boxes(flow)
    columns = [(f"{result.name}\n{_size(result.size)}", _reference(result.reference)) for result in flow.results]
    with journal():
        plot = _draw(main, side, columns)
    parts = [*main[:1], side[0], main[1], side[1], main[2], *(f"{head}: {below}" for head, below in columns)]
    alt = ". ".join(part.replace("\n", ", ").replace(_NO_BREAK, " ") for part in parts if part)
    caption = f"{caption} {_mismatch(flow)}".strip()
    return Figure(name, "Participants and specimens through the study", caption, f"{alt}.", plot)


def _boxes(flow: ParticipantFlow) -> tuple[list[str], list[str]]:
    """Text of the three boxes of the middle line, and of what leaves it after the first and the second."""
    main = [
        f"Approached\n{_UNKNOWN if flow.eligible is None else _counted(flow.eligible, 'patient')}",
        f"Enrolled\n{_size(flow.enrolled)}",
        f"Index test applied\n{_size(flow.evaluated)}",
    ]
    if flow.excluded is None:
        excluded = f"Excluded\n{_UNKNOWN}"
    else:
        known = [patients for _, patients in flow.excluded if patients is not None]
        total = _counted(sum(known), "patient") if len(known) == len(flow.excluded) else f"total {_UNKNOWN}"
        reasons = [f"{reason}: {_counted(patients, 'patient')}" for reason, patients in flow.excluded]
        excluded = "\n".join([f"Excluded: {total}", *reasons])
    lines = [f"{reason}: {_size(size)}" for reason, size in flow.not_evaluated]
    return main, [excluded, "\n".join(["Not evaluated here", *lines]) if lines else ""]


def _reference(reference: Sequence[tuple[str, Size]]) -> str:
    lines = [f"{name}: {_size(size)}" for name, size in reference]
    return "\n".join(["Reference standard", *(lines or [_UNKNOWN])])


def _counted(number: int | None, what: str) -> str:
    """As in "7 patients"; its spaces do not break."""
    text = f"{what}s not reported" if number is None else f"{number} {what}{'' if number == 1 else 's'}"
    return text.replace(" ", _NO_BREAK)


def _size(size: Size) -> str:
    if size.patients is None and size.specimens is None:
        return _UNKNOWN
    return f"{_counted(size.specimens, 'specimen')}, {_counted(size.patients, 'patient')}"


def _check(flow: ParticipantFlow) -> None:
    if not 1 <= len(flow.results) <= 4:
        raise InputError(f"{len(flow.results)} results of the index test; a diagram shows 1 to 4")
    sizes = [flow.enrolled, flow.evaluated, *(size for _, size in flow.not_evaluated)]
    sizes += [size for result in flow.results for size in (result.size, *(part for _, part in result.reference))]
    numbers = [number for size in sizes for number in (size.patients, size.specimens)]
    numbers += [flow.eligible, *(patients for _, patients in flow.excluded or ())]
    lowest = min((number for number in numbers if number is not None), default=0)
    if lowest < 0:
        raise InputError(f"a number of participants is {lowest}; it must be 0 or more")
    _check_sum("the evaluated", flow.evaluated, [result.size for result in flow.results])
    for result in flow.results:
        _check_sum(f"result {result.name!r}", result.size, [size for _, size in result.reference])


def _check_sum(what: str, whole: Size, parts: Sequence[Size]) -> None:
    """Specimens are in one part only; patients can be in several."""
    specimens = [part.specimens for part in parts if part.specimens is not None]
    known = whole.specimens is not None and parts and len(specimens) == len(parts)
    if known and sum(specimens) != whole.specimens:
        raise InputError(
            f"the parts of {what} have {sum(specimens)} specimens; together they must be {whole.specimens}"
        )


def _mismatch(flow: ParticipantFlow) -> str:
    excluded = None if flow.excluded is None else [patients for _, patients in flow.excluded]
    if flow.eligible is None or flow.enrolled.patients is None or excluded is None or None in excluded:
        return ""
    left = flow.eligible - sum(patients for patients in excluded if patients is not None)
    if left == flow.enrolled.patients:
        return ""
    return f"The numbers given do not agree: approached less excluded is {left}, enrolled are {flow.enrolled.patients}."


def _draw(main: Sequence[str], side: Sequence[str], columns: Sequence[tuple[str, str]]) -> Plot:
    plot, axes = canvas(PAGE, 1)
    y = 0.05
    for index, text in enumerate(main):
        height = _draw_box(axes, 0.05, y, _MAIN, text)
        y += height
        beside = side[index] if index < len(side) else ""
        below = _GAP + (_box_height(beside, PAGE - _SIDE - 0.05) + _GAP if beside else 0)
        if index < len(main) - 1:
            _arrow(axes, (0.05 + _MAIN / 2, y), (0.05 + _MAIN / 2, y + below))
        if beside:
            top = y + _GAP
            box_height = _draw_box(axes, _SIDE, top, PAGE - _SIDE - 0.05, beside)
            _arrow(axes, (0.05 + _MAIN / 2, top + box_height / 2), (_SIDE, top + box_height / 2))
        y += below if index < len(main) - 1 else 0
    height = _draw_results(axes, columns, y) + 0.05
    plot.set_figheight(height)
    axes.set_ylim(height, 0)
    return plot


def _draw_results(axes: Axes, columns: Sequence[tuple[str, str]], top: float) -> float:
    """The results side by side, each above its reference standard; the lower end in inches."""
    step = PAGE / len(columns)
    width = min(step - 0.1, _MAIN)
    bar, heads = top + _GAP, top + 2 * _GAP
    height = max(_box_height(head, width) for head, _ in columns)
    lowest = max(_box_height(below, width) for _, below in columns)
    middles = [0.05 + width / 2 + index * step for index in range(len(columns))]
    start = 0.05 + _MAIN / 2
    ends = [min(start, *middles), max(start, *middles)]
    axes.plot([start, start, *ends], [top, bar, bar, bar], color=INK, linewidth=0.8, solid_capstyle="butt")
    for middle, (head, below) in zip(middles, columns, strict=True):
        _arrow(axes, (middle, bar), (middle, heads))
        _draw_box(axes, middle - width / 2, heads, width, head, height)
        _arrow(axes, (middle, heads + height), (middle, heads + height + _GAP))
        _draw_box(axes, middle - width / 2, heads + height + _GAP, width, below, lowest)
    return heads + height + _GAP + lowest


def _wrapped(text: str, width: float) -> tuple[list[str], list[str]]:
    """Lines of the name (the first line, bold and so wider) and of the rest that fit a box of this width in inches."""
    room = (width - 2 * _PAD) / CHARACTER
    name, *rest = text.split("\n")
    body = [part for line in rest for part in wrap(line, int(room / 0.9), subsequent_indent="   ")]
    return wrap(name, int(room)), body


def _box_height(text: str, width: float) -> float:
    return sum(map(len, _wrapped(text, width))) * _LINE + 2 * _PAD


def _draw_box(axes: Axes, x: float, y: float, width: float, text: str, height: float | None = None) -> float:
    """A box whose first line is its name; its height in inches."""
    height = _box_height(text, width) if height is None else height
    axes.add_patch(Rectangle((x, y), width, height, facecolor="white", edgecolor=INK, linewidth=0.8))
    head, body = _wrapped(text, width)
    axes.text(x + _PAD, y + _PAD, "\n".join(head), va="top", weight="bold", fontsize=7, linespacing=1.25)
    top = y + _PAD + len(head) * _LINE
    axes.text(x + _PAD, top, "\n".join(body), va="top", fontsize=7, linespacing=1.25)
    return height


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """A line with its tip at `end`: downwards or to the right. (Markers; `annotate` takes ten times as long.)"""
    tip = CARETDOWN if start[0] == end[0] else CARETRIGHT
    axes.plot(*zip(start, end, strict=True), color=INK, linewidth=0.8, solid_capstyle="butt")
    axes.plot(*end, color=INK, marker=tip, markersize=5)
