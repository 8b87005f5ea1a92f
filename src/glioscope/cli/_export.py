"""`export`: from the cases of a store to a folder that `check`, `train` and `evaluate` read."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glioscope import RESEARCH_USE
from glioscope._terminal import out, progress, say

from ._app import app

if TYPE_CHECKING:
    from glioscope.cases import CaseStore, ExportSummary

StoreArgument = Annotated[Path, typer.Argument(metavar="STORE", help="Folder of the case store.")]
UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="GLIOSCOPE_DATABASE",
        help="PostgreSQL URL, where the store's rows are on a server; else SQLite.",
    ),
]


def open_store(folder: Path, url: str | None, *, create: bool = False) -> "CaseStore":
    """The store that is there, or with `create` a new one. Raises InputError if there is none."""
    from glioscope.cases import CaseStore

    return CaseStore.open(folder, url=url or None, create=create)


@app.command()
def export(
    store: StoreArgument,
    folder: Annotated[Path, typer.Option("--out", help="New folder for manifest, tables and images.")],
    case: Annotated[
        list[str] | None, typer.Option("--case", help="A case to export; may be repeated. Default: all.")
    ] = None,
    url: UrlOption = None,
) -> None:
    """Turn cases into training data: manifest, pathology, readings, theatre's answers, images."""
    from glioscope.cases import COMMAND_LINE, export_cases

    with open_store(store, url) as kept, progress("exporting") as advance:
        summary = export_cases(kept, folder, actor=COMMAND_LINE, case_ids=case, labels=known_labels, progress=advance)
    _say(summary)


def known_labels(manifest: Path) -> Mapping[tuple[str, str], float]:
    """`y_true` of the built-in tasks with two classes, for the predictions; a manifest with a problem raises."""
    from glioscope.cohort import labels, load_manifest
    from glioscope.core import BUILT_IN_TASKS

    cohort = load_manifest(manifest)
    found: dict[tuple[str, str], float] = {}
    for task in BUILT_IN_TASKS.values():
        if not task.ordinal:
            known = labels(cohort, task).dropna()
            found |= {(str(specimen), task.name): float(label) for specimen, label in known.items()}
    return found


def _say(summary: "ExportSummary") -> None:
    out.print(f"{summary.folder / 'manifest.csv'}: {summary.data_kind} data", soft_wrap=True)
    out.print(
        f"cases: {summary.n_cases}, patients: {summary.n_patients}, specimens: {summary.n_specimens} "
        f"({summary.n_labelled} with pathology), pathologists' opinions: {summary.n_opinions}, "
        f"readings: {summary.n_readings}, answers: {summary.n_predictions}",
        soft_wrap=True,
    )
    for reason, count in summary.left_out.items():
        out.print(f"left out, {reason}: {count}", soft_wrap=True)
    for remark in summary.remarks:
        say("warning", "yellow", remark)
    out.print(
        f"The images leave the store unsealed: keep this folder as safe as the store. {RESEARCH_USE}", style="dim"
    )
