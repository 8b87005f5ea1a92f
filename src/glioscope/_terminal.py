"""What the command line prints: lines, tables and bars. Answers go to stdout, everything else to stderr."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from glioscope import RESEARCH_USE
from glioscope.core import Decision, Diagnosis, TaskDiagnosis

PROBABILITY = (
    "%: calibrated probability of the answer and its 95 % interval (of 'indeterminate': of the positive class); "
    "a score is no probability"
)
TRAINED_ON = {"simulated": "Trained on SIMULATED images.", "real": "Trained on real images."}
UNSTATED = "The training manifest did not say whether its images are real."
# Names of files and specimens are printed as they are: "[red]" or ":warning:" in one is no markup.
out = Console(markup=False, emoji=False, highlight=False)
err = Console(stderr=True, markup=False, emoji=False, highlight=False)


def say_error(sentence: str) -> None:
    """One line on stderr that begins with "error"."""
    say("error", "red", sentence)


def say(kind: str, colour: str, sentence: str) -> None:
    """One line on stderr; the sentence is never read as markup, and never broken."""
    err.print(Text.assemble((f"{kind} ", colour), sentence), soft_wrap=True)


@contextmanager
def progress(label: str, *, shown: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A function of (done, total) that draws a bar on stderr from its first call until all is done.

    The bar is away before and after, so that other bars may be drawn there; it is never drawn where stderr is no
    terminal.
    """
    if not (shown and err.is_terminal):
        yield lambda done, total: None
        return
    from rich.progress import Progress

    # What goes to stdout stays there: it may be a file.
    bar = Progress(console=err, transient=True, redirect_stdout=False)
    line = bar.add_task(label, total=None)

    def advance(done: int, total: int) -> None:
        if not bar.live.is_started:
            bar.start()
        bar.update(line, completed=done, total=total)
        if done >= total:
            bar.stop()

    try:
        yield advance
    finally:
        bar.stop()


def print_answers(answers: Sequence[Diagnosis], bundles: Mapping[str, str], data_kind: str) -> None:
    """A table with a row a specimen, and below it the notes that its cells point to.

    `bundles`: task -> name of the bundle that answers it. `data_kind`: of the images that the suite was trained on.
    """
    table = Table(show_edge=False)
    for column in ("specimen", *bundles.values(), "ms"):
        table.add_column(column)
    notes: dict[str, int] = {}
    for answer in answers:
        table.add_row(*_diagnosis_row(answer, list(bundles), notes))
    out.print(table)
    for note, number in notes.items():
        out.print(f"[{number}] {note}", soft_wrap=True)
    print_basis(data_kind, PROBABILITY)


def print_tally(decisions: Mapping[str, int], path: Path, before: int, data_kind: str) -> None:
    """How many answers of each kind went to a file, `before` of them in an earlier run."""
    words = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in sorted(decisions.items()))
    out.print(f"{path}: {words or 'nothing left to do'}" + (f"; {before} answered before" if before else ""))
    print_basis(data_kind)


def print_basis(data_kind: str, *lines: str) -> None:
    """What the answers rest on, and the notice."""
    for line in (*lines, f"{TRAINED_ON.get(data_kind, UNSTATED)} {RESEARCH_USE}"):
        out.print(line, style="dim", soft_wrap=True)


def _diagnosis_row(answer: Diagnosis, tasks: list[str], notes: dict[str, int]) -> list[str | Text]:
    if answer.error is not None:
        return [answer.specimen_id, Text(answer.error, "red"), *[""] * len(tasks)]
    by_task = {t.task: t for t in answer.tasks}
    cells = [_answer_cell(by_task[task], notes) for task in tasks]
    return [answer.specimen_id, *cells, f"{answer.timings_ms['total']:.0f}"]


def _answer_cell(answer: TaskDiagnosis, notes: dict[str, int]) -> str:
    """The answer with its probability and interval, or its score where it has none, and the numbers of its notes."""
    shown = answer.answer + _certainty(answer)
    return shown + "".join(f" [{notes.setdefault(r.sentence, len(notes) + 1)}]" for r in answer.reasons)


def _certainty(answer: TaskDiagnosis) -> str:
    if answer.level_probabilities:
        return f" {100 * max(answer.level_probabilities):.0f} %"
    if answer.y_probability is not None and answer.y_interval is not None:
        values = (answer.y_probability, *answer.y_interval)
        if answer.decision is Decision.NEGATIVE:
            values = (1 - values[0], 1 - values[2], 1 - values[1])
        middle, low, high = (f"{100 * value:.0f}" for value in values)
        return f" {middle} % ({low}-{high})"
    if answer.y_score is None or answer.threshold is None:
        return ""
    sign = ">=" if answer.y_score >= answer.threshold else "<"
    return f", score {_apart(answer.y_score, answer.threshold)} {sign} {_apart(answer.threshold, answer.y_score)}"


def _apart(value: float, other: float) -> str:
    """Two digits, or as many more as tell a score from its threshold."""
    digits = next((d for d in range(2, 7) if f"{value:.{d}f}" != f"{other:.{d}f}"), 2)
    return f"{value:.{digits}f}"


def print_metrics(metrics: dict[str, Any], data_kind: str) -> None:
    """The test metrics of `metrics.json`: a table for each protocol, one row a task and model."""
    for protocol, of_protocol in metrics["protocols"].items():
        rows = []
        for task, entry in of_protocol["tasks"].items():
            for model, values in entry["models"].items():
                auc = values.get("auc")
                shown = "one class only" if auc is None else f"{auc['value']:.3f}{_interval(auc)}"
                cells = [f"{values[k]['value']:.3f}" if k in values else "" for k in ("sensitivity", "specificity")]
                # A model without WL, say, is measured on the specimens that have FL.
                counts = [str(values.get(key, entry[key])) for key in ("n_specimens", "n_patients")]
                rows.append((task, model, shown, *cells, " / ".join(counts)))
        unit = "patient" if protocol == "strict" else "specimen"
        title = f"Test patients ({data_kind} images), {protocol} protocol: intervals by {unit}"
        print_table(
            title, ("task", "model", "AUC (95 % CI)", "sensitivity", "specificity", "specimens / patients"), rows
        )


def _interval(value: dict[str, Any]) -> str:
    return "" if value["low"] is None else f" ({value['low']:.3f}, {value['high']:.3f})"


def print_table(title: str, columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """A table with its title, and the notice below it."""
    table = Table(title=title, title_justify="left", show_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number < 2 else "right", no_wrap=number == 2, overflow="fold")
    for row in rows:
        table.add_row(*row)
    out.print(table)
    out.print(RESEARCH_USE, style="dim")
