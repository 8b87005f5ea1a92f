"""A report of the size and shape of a real one, with texts that would break a careless printer."""

import math

import numpy as np

from glioscope.report._document import Document, Figure, PValue, Section, Table
from glioscope.report._style import COLUMN, PAGE, journal, new_plot
from glioscope.stats import Estimate

HOSTILE = '<script>alert("1")</script> & 100 % of_them [red] {x} \\par ~^ $5 #1 </script><!-- \'"'
LONG = "Neurosurgical_reader_number_three_of_the_department_with_a_very_long_name_and_no_blank_anywhere_in_it"
RATES = ("sensitivity", "specificity", "ppv", "npv", "f1", "accuracy")


def estimate(value: float) -> Estimate:
    return Estimate(value, value - 0.093, min(1.0, value + 0.055), "clustered DeLong, t(K-1)", 1000, 23)


def document(**changes: object) -> Document:
    parts = {
        "title": "Diagnosis of glioma specimens & <their> grade",
        "data_kind": "simulated",
        "facts": (
            ("Patients", "23"),
            ("Specimens", "1874"),
            ("Protocol", "strict: locked threshold"),
            ("Name", HOSTILE),
        ),
        "warnings": ("Only 7 patients: intervals are wide.", HOSTILE),
        "sections": sections(),
    }
    return Document(**{**parts, **changes})


def sections() -> tuple[Section, ...]:
    drawn = figures()
    return (
        Section("cohort", "Cohort", ("23 patients gave 1874 specimens.", HOSTILE), (counts(), hostile()), drawn[:1]),
        Section("performance", "Diagnostic performance", ("Thresholds were locked.",), (rates(), wide()), drawn[1:4]),
        Section("comparisons", "Comparisons", (), (comparisons(), long()), drawn[4:]),
    )


def counts() -> Table:
    rows = (("Tumour", 1200, 64.04), ("Non-tumour", 674, 35.96), ("Not known", 0, math.nan))
    return Table("table-1-cohort", "Table 1. Specimens by pathology", ("Pathology", "n", "%"), rows)


def hostile() -> Table:
    rows = (("[red]", HOSTILE, 1), ("* star", LONG, 2), (HOSTILE, "=1+1", None))
    return Table("table-2-hostile", HOSTILE, ("<b>Name</b> & %", HOSTILE, "n"), rows, (HOSTILE, "Second note."))


def rates() -> Table:
    rows = tuple(
        (model, *(estimate(0.822 - 0.02 * i - 0.03 * j) for j in range(3)), PValue(p, 1 / 128))
        for i, (model, p) in enumerate((("FL-CNN", 0.00002), ("WL-CNN", 0.5216), ("Reader (FL)", math.nan)))
    )
    columns = ("Model", "Sensitivity (95 % CI)", "Specificity (95 % CI)", "AUC (95 % CI)", "P")
    notes = ("Intervals by patient: clustered DeLong on the logit scale, t(K-1), K = 23.",)
    return Table("table-3-tumor-strict", "Table 3. Tumour, strict protocol", columns, rows, notes)


def wide() -> Table:
    columns = ("Model", "n", "Patients", *RATES, "AUC", "Threshold", "P")
    rows = tuple(
        (
            f"{name} {i}",
            608 - i,
            7,
            *(estimate(0.9 - 0.01 * i) for _ in RATES),
            estimate(0.945),
            -0.3 + i,
            PValue(0.01 * i),
        )
        for i, name in enumerate(("FL-CNN", "WL-CNN", "Fusion", "Reader 1", "Reader 2", "Reader 3"))
    )
    return Table("table-4-wide", "Table 4. Every rate, strict protocol", columns, rows, ("K = 7 patients.",))


def comparisons() -> Table:
    rows = (
        (
            "FL-CNN - WL-CNN",
            "AUC",
            Estimate(0.072, 0.031, 0.113, "bootstrap by patient"),
            PValue(0.0003),
            PValue(0.0156, 1 / 64),
        ),
        (
            "FL-CNN - Reader (FL)",
            "specificity",
            Estimate(-0.005, note="one patient only"),
            PValue(1.0),
            PValue(math.nan),
        ),
    )
    return Table(
        "table-5-comparisons", "Table 5. Comparisons", ("a - b", "Metric", "Difference", "P", "P, patients"), rows
    )


def long() -> Table:
    rng = np.random.default_rng(2)
    rows = tuple(
        (f"P{i:02d}", int(rng.integers(5, 200)), estimate(float(value)) if i % 7 else None, float(value))
        for i, value in enumerate(rng.uniform(0.1, 0.9, 40))
    )
    return Table("table-6-patients", "Table 6. By patient", ("Patient", "Specimens", "Accuracy", "Prevalence"), rows)


def figures() -> tuple[Figure, ...]:
    shapes = (
        (COLUMN, 2.4, 1, 1),
        (COLUMN, 3.0, 1, 1),
        (PAGE, 3.0, 1, 2),
        (PAGE, 4.5, 2, 3),
        (PAGE, 8.0, 4, 1),
        (5.0, 2.0, 1, 1),
    )
    return tuple(figure(index, *shape) for index, shape in enumerate(shapes))


def figure(index: int, width: float, height: float, rows: int, columns: int) -> Figure:
    rng = np.random.default_rng(index)
    x = np.linspace(0, 1, 400)
    with journal():
        plot = new_plot(width, height)
        for axes in plot.subplots(rows, columns, squeeze=False).ravel():
            axes.plot(x, x**0.3, label="FL-CNN <AUC> & 0.945")
            axes.scatter(rng.random(300), rng.random(300), s=4, color="#D55E00")
            axes.set(xlabel="1 - specificity", ylabel="Sensitivity", title="$F_1$ – α ≥ β")
        axes.legend()
    option = roc_option(x) if index == 1 else None
    caption = f"{HOSTILE} Shaded: 95 % CI by patient."
    return Figure(
        f"figure-{index + 1}", f"Figure {index + 1}.", caption, f"ROC curve, AUC 0.945. {HOSTILE}", plot, option
    )


def roc_option(x: np.ndarray) -> dict:
    return {
        "animation": False,
        "aria": {"enabled": True},
        "title": {"text": HOSTILE, "textStyle": {"fontSize": 10}},
        "tooltip": {"trigger": "axis"},
        "legend": {"bottom": 0},
        "xAxis": {"type": "value", "name": "1 - specificity", "nameLocation": "middle", "nameGap": 28},
        "yAxis": {"type": "value", "name": "Sensitivity"},
        "series": [{"type": "line", "name": "FL-CNN", "data": np.c_[x, x**0.3].round(4).tolist(), "showSymbol": False}],
    }
