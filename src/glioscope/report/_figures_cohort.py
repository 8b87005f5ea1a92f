"""Figures of who is in the study: specimens by class and set, and patients by role."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Plot

from glioscope.core import InputError

from ._document import Figure
from ._echarts import Json, chart, value_axis
from ._style import (
    CHARACTER,
    LINE,
    PAGE,
    PALE,
    canvas,
    class_fills,
    draw_key,
    filled,
    journal,
    looks,
    new_plot,
)

NO_LABEL: Final = "no label"
Blocks = dict[str, dict[str, list["ClassSize"]]]


@dataclass(frozen=True, slots=True)
class ClassSize:
    """Specimens of one class of a task, and the patients who have at least one of them (None: not known).

    `name` is `NO_LABEL` for specimens whose label is missing. `role` is the set (train, tune, test), or empty where
    the whole cohort is counted.
    """

    task: str
    name: str
    specimens: int
    patients: int | None = None
    role: str = ""


@dataclass(frozen=True, slots=True)
class SplitPatient:
    """Specimens of one patient, and what the patient is used for (train, tune, test, or a fold)."""

    patient_id: str
    role: str
    specimens: int


def cohort_counts(sizes: Sequence[ClassSize], caption: str, *, name: str = "figure-1a-cohort") -> Figure:
    """Specimens and patients per class and task, with missing labels, as in the paper's Fig. 1a.

    Parameters
    ----------
    sizes : in the order in which they are drawn; classes of a task from lowest to highest.

    Raises
    ------
    InputError : nothing to draw, or a count below 0.
    """
    return _class_figure(sizes, name, "Specimens per class", caption)


def test_sets(sizes: Sequence[ClassSize], caption: str, *, name: str = "figure-s1-sets") -> Figure:
    """Specimens per class in every set (`role`) of every task, as in the paper's Fig. S1; parameters as above."""
    return _class_figure(sizes, name, "Specimens per class in each set", caption)


def _class_figure(sizes: Sequence[ClassSize], name: str, title: str, caption: str) -> Figure:
    _check_counts([size.specimens for size in sizes])
    blocks: Blocks = {}
    for size in sizes:
        blocks.setdefault(size.task, {}).setdefault(size.role, []).append(size)
    rows = [
        f"{task}{f' ({role})' if role else ''}: {', '.join(map(_in_words, row))}"
        for task, by_role in blocks.items()
        for role, row in by_role.items()
    ]
    with journal():
        plot = _draw_blocks(blocks)
    return Figure(name, title, caption, f"{title}. {'; '.join(rows)}.", plot, _class_option(blocks))


def _in_words(size: ClassSize) -> str:
    return f"{size.name} {size.specimens}{_patients(size)}"


def _patients(size: ClassSize) -> str:
    if size.patients is None:
        return ""
    return f" ({size.patients} patient{'' if size.patients == 1 else 's'})"


def _fills(row: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Colour and hatch of each class name of a task."""
    named = [name for name in row if name != NO_LABEL]
    return {**dict(zip(named, class_fills(len(named)), strict=True)), NO_LABEL: (PALE, "....")}


def _class_names(by_role: Mapping[str, Sequence[ClassSize]]) -> list[str]:
    return list(dict.fromkeys(size.name for row in by_role.values() for size in row))


def _draw_blocks(blocks: Blocks) -> Plot:
    """One block a task: its name, the key of its classes, and one stacked bar a set with the sum beside it."""
    rows = [row for by_role in blocks.values() for row in by_role.values()]
    left = CHARACTER * max(len(role) for by_role in blocks.values() for role in by_role) + 0.08
    room = PAGE - left - CHARACTER * max(len(_sum_text(row)) for row in rows)
    scale = max(room, 0.3 * PAGE) / max(*map(_total, rows), 1)
    plot, axes = canvas(PAGE, 1)
    top = 0.0
    for task, by_role in blocks.items():
        fills = _fills(_class_names(by_role))
        axes.text(left, top + LINE / 2, task, va="center", weight="bold", fontsize=8)
        top = draw_key(axes, _key(by_role, fills), left, top + 1.1 * LINE) + 0.2 * LINE
        for role, row in by_role.items():
            axes.text(left - 0.08, top + LINE / 2, role, ha="right", va="center", fontsize=7)
            _draw_stack(axes, row, fills, left, top, scale)
            top += 1.25 * LINE
        top += 0.8 * LINE
    height = top - 0.7 * LINE
    plot.set_figheight(height)
    axes.set_ylim(height, 0)
    return plot


def _key(
    by_role: Mapping[str, Sequence[ClassSize]], fills: Mapping[str, tuple[str, str]]
) -> list[tuple[str, tuple[str, str]]]:
    """Every class with its fill; with its patients where the whole cohort is counted."""
    patients = {size.name: _patients(size) for size in by_role.get("", ())}
    return [(name + patients.get(name, ""), fills[name]) for name in _class_names(by_role)]


def _draw_stack(
    axes: Axes, row: Sequence[ClassSize], fills: Mapping[str, tuple[str, str]], left: float, top: float, scale: float
) -> None:
    for size in row:
        axes.add_patch(filled([(left, top, scale * size.specimens, LINE)], fills[size.name]))
        left += scale * size.specimens
    axes.text(left + 0.06, top + LINE / 2, _sum_text(row), va="center", fontsize=7)


def _sum_text(row: Sequence[ClassSize]) -> str:
    parts = " + ".join(str(size.specimens) for size in row)
    return f"{parts} = {_total(row)}" if len(row) > 1 else parts


def _total(row: Sequence[ClassSize]) -> int:
    return sum(size.specimens for size in row)


def _class_option(blocks: Blocks) -> Json:
    """Stacked bars: one category a task and set, one series a class name; patients in the tooltip."""
    rows = [
        (f"{task}, {role}" if role else task, row, _fills(_class_names(by_role)))
        for task, by_role in blocks.items()
        for role, row in by_role.items()
    ]
    series: dict[str, Json] = {}
    for index, (_, row, fills) in enumerate(rows):
        for size in row:
            one = series.setdefault(
                size.name,
                {
                    "type": "bar",
                    "name": size.name,
                    "stack": "specimens",
                    "dimensions": ["specimens", "row", "patients"],
                    "encode": {"x": 0, "y": 1, "tooltip": [0, 2]},
                    "itemStyle": {"color": fills[size.name][0]},
                    "data": [],
                },
            )
            one["data"].append([size.specimens, index, size.patients])
    ordered = sorted(series, key=lambda name: name == NO_LABEL)
    return chart(
        [series[name] for name in ordered],
        ordered,
        grid={"left": 8, "right": 24, "top": 8, "bottom": 64, "containLabel": True},
        xAxis=value_axis("specimens", high=None),
        yAxis={"type": "category", "inverse": True, "data": [label for label, _, _ in rows]},
    )


def dataset_split(patients: Sequence[SplitPatient], caption: str, *, name: str = "figure-patients") -> Figure:
    """Patients by size within their role: how uneven they are, and what each is used for.

    Raises
    ------
    InputError : nothing to draw, or a count below 0.
    """
    _check_counts([patient.specimens for patient in patients])
    by_role: dict[str, list[SplitPatient]] = {}
    for patient in patients:
        by_role.setdefault(patient.role, []).append(patient)
    ordered = {role: sorted(row, key=lambda p: (-p.specimens, p.patient_id)) for role, row in by_role.items()}
    sums = {
        role: f"{role}: {len(row)} patient{'' if len(row) == 1 else 's'}, {sum(p.specimens for p in row)} specimens"
        for role, row in ordered.items()
    }
    counts = [p.specimens for p in patients]
    alt = f"Specimens per patient, {min(counts)} to {max(counts)}. {'; '.join(sums.values())}."
    with journal():
        plot = _draw_patients(ordered, sums)
    return Figure(name, "Patients and their specimens", caption, alt, plot, _patient_option(ordered))


def _draw_patients(ordered: Mapping[str, Sequence[SplitPatient]], sums: Mapping[str, str]) -> Plot:
    plot = new_plot(PAGE, 2.6)
    axes = plot.add_subplot()
    names = [patient.patient_id for row in ordered.values() for patient in row]
    start = 0
    cycle = list(looks(list(ordered)[:7]).values())
    for index, (role, row) in enumerate(ordered.items()):
        look = cycle[index % len(cycle)]
        bars = [(start + place - 0.4, 0, 0.8, patient.specimens) for place, patient in enumerate(row)]
        axes.add_patch(filled(bars, (look.color, look.hatch), label=sums[role]))
        start += len(row)
    few = len(names) <= 60 and max(map(len, names)) <= 20
    axes.set_xticks(range(len(names)) if few else [], names if few else [], rotation=90, fontsize=7)
    tallest = max(patient.specimens for row in ordered.values() for patient in row)
    axes.set(ylabel="specimens", xlim=(-0.7, max(len(names), 6) - 0.3), ylim=(0, 1.05 * max(tallest, 1)))
    axes.set_xlabel("" if few else f"{len(names)} patients")
    plot.legend(loc="outside upper left", ncols=min(3, len(ordered)))
    return plot


def _patient_option(ordered: Mapping[str, Sequence[SplitPatient]]) -> Json:
    names = [patient.patient_id for row in ordered.values() for patient in row]
    series = [
        {"type": "bar", "name": role, "stack": "patient", "data": [[p.patient_id, p.specimens] for p in row]}
        for role, row in ordered.items()
    ]
    return chart(
        series,
        ordered,
        grid={"left": 8, "right": 16, "top": 32, "bottom": 40, "containLabel": True},
        xAxis={"type": "category", "data": names, "axisLabel": {"rotate": 90}},
        yAxis={"type": "value", "name": "specimens"},
    )


def _check_counts(specimens: Sequence[int]) -> None:
    if not specimens:
        raise InputError("there are no specimens to draw")
    if min(specimens) < 0:
        raise InputError(f"a number of specimens is {min(specimens)}; it must be 0 or more")
