"""The sections of README.md that `make demo ARGS=--record` writes, from what the demo left behind."""

from typing import Any

from common import ROOT
from glioscope.core import write_text

README = ROOT / "README.md"
METRICS = {"auc": "AUC", "sensitivity": "sensitivity", "specificity": "specificity"}


def write_section(name: str, content: str) -> None:
    """Put content between the markers of a section."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    text = README.read_text(encoding="utf-8")
    head, _, rest = text.partition(begin)
    tail = rest.partition(end)[2]
    write_text(README, f"{head}{begin}\n{content}\n{end}{tail}")


def answers_section(printed: str, rows: int = 6) -> str:
    """What `diagnose` printed, indented as Markdown shows it: the head, the first rows, and all below the table."""
    lines = printed.splitlines()
    table = next((i for i, line in enumerate(lines) if line.startswith(("[", "%"))), len(lines))
    return "\n".join(f"    {line.rstrip()}" for line in [*lines[: 2 + rows], *lines[table:]])


def study_section(metrics: dict[str, Any]) -> str:
    """Markdown: the primary model and the readers under both protocols."""
    strict, paper = (metrics["protocols"][name]["tasks"]["tumor"] for name in ("strict", "paper"))
    primary = strict["primary"]
    n = f"{strict['n_specimens']} specimens of {strict['n_patients']} test patients"
    rows = [
        (f"{primary}: {shown}", strict["models"][primary][metric], paper["models"][primary][metric])
        for metric, shown in METRICS.items()
    ]
    for modality in strict["readers"]["modalities"]:
        means = [of["readers"]["modalities"][modality]["mean"] for of in (strict, paper)]
        rows += [
            (f"mean reader ({modality.upper()}): {metric}", means[0][metric], means[1][metric])
            for metric in ("sensitivity", "specificity")
        ]
    lines = [f"SIMULATED: tumour, {n}, three readers.", "", "| | strict | paper |", "| --- | --- | --- |"]
    lines += [f"| {name} | {_value(a)} | {_value(b)} |" for name, a, b in rows]
    errors = strict["readers"]["errors"]
    corrected = ", ".join(f"{e['corrected']} of {e['reader_errors']}" for e in errors)
    introduced = ", ".join(str(e["introduced"]) for e in errors)
    names = ", ".join(f"{e['reader']} {e['modality'].upper()}" for e in errors)
    lines += ["", f"Readers' errors ({names}) that {primary} corrects: {corrected}; that it introduces: {introduced}."]
    of_tumour = [warning for warning in metrics["warnings"] if "tumor" in warning.partition(":")[0].split(", ")]
    rest = len(metrics["warnings"]) - len(of_tumour)
    warned = [f"- {warning}" for warning in of_tumour]
    return "\n".join([*lines, "", f"The report's own warnings of this task (and {rest} of others):", "", *warned])


def _value(estimate: dict[str, Any]) -> str:
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    return f"{value:.3f}" if low is None else f"{value:.3f} ({low:.3f}, {high:.3f})"
