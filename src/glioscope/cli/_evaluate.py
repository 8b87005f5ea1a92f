"""`evaluate`: from predictions and readings to the study report."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from glioscope._terminal import err, out, print_metrics, say
from glioscope.core import InputError

from ._app import app

if TYPE_CHECKING:
    import pandas as pd

REPORT_FILES = frozenset({"metrics.json", "report.html", "report.pdf", "tables", "figures", "model-cards"})
"""All that a report's folder may hold for `--out` to replace it."""


@app.command()
def evaluate(
    predictions: Annotated[
        list[Path], typer.Argument(help="Predictions: CSV, XLSX or Parquet; several files are one table.")
    ],
    folder: Annotated[Path, typer.Option("--out", help="Folder of the report; an earlier report there is replaced.")],
    readings: Annotated[
        Path | None, typer.Option(help="What readers said of the same specimens (tumour task).")
    ] = None,
    study: Annotated[
        Path | None, typer.Option(help="study.toml: what only the authors know (docs/study-files.md).")
    ] = None,
    manifest: Annotated[Path | None, typer.Option(help="Manifest of the cohort, for its counts and sectors.")] = None,
    pathology: Annotated[Path | None, typer.Option(help="What each pathologist said of each specimen.")] = None,
    suite: Annotated[
        Path | None, typer.Option(help="Suite that made the predictions: checks patients, model cards.")
    ] = None,
    evidence: Annotated[
        Path | None, typer.Option(help="What was measured on the maps of such a bundle (docs/evidence.md).")
    ] = None,
    protocol: Annotated[
        str, typer.Option(help="strict (by patient), paper (as Shen et al. 2021), or both.")
    ] = "strict",
    threshold: Annotated[
        list[str] | None,
        typer.Option(
            help="Fixed threshold on the score, 0.5 or tumor=0.5; repeatable. Default: decisions, else tuning rows."
        ),
    ] = None,
    out_of_fold: Annotated[
        bool, typer.Option("--out-of-fold", help="The test rows are of models that did not see those patients.")
    ] = False,
    pdf: Annotated[bool, typer.Option("--pdf/--no-pdf", help="Also print report.pdf (needs the extra pdf).")] = True,
    seed: Annotated[int, typer.Option(min=0, help="Of every resample and swap.")] = 0,
) -> None:
    """Evaluate predictions: metrics.json, tables, figures, report.html and report.pdf for a journal and a reviewer."""
    from glioscope.cohort import load_manifest, read_pathology, read_readings, read_study
    from glioscope.report import PdfUnavailable, StudyInputs, evaluate_study, require_pdf

    if protocol not in ("strict", "paper", "both"):
        raise InputError(f"--protocol {protocol!r} is unknown; give strict, paper or both")
    _check_folder(folder)
    given = {
        "Readings": readings,
        "Study": study,
        "Manifest": manifest,
        "Pathology": pathology,
        "Suite": suite,
        "Evidence": evidence,
    }
    inputs = StudyInputs(
        predictions=_predictions(predictions),
        readings=read_readings(readings) if readings else None,
        study=read_study(study) if study else None,
        cohort=load_manifest(manifest, check_pixels=False) if manifest else None,
        pathology=read_pathology(pathology) if pathology else None,
        suite=suite,
        evidence=evidence,
        sources={
            "Predictions": ", ".join(path.name for path in predictions),
            **{name: path.name for name, path in given.items() if path},
        },
    )
    if pdf:
        try:
            require_pdf()
        except PdfUnavailable as error:
            say("warning", "yellow", f"no report.pdf: {error}")
            pdf = False
    with err.status("reading") as status:
        analysis = evaluate_study(
            inputs,
            folder,
            protocol=protocol,
            thresholds=_thresholds(threshold or []),
            out_of_fold=out_of_fold,
            pdf=pdf,
            seed=seed,
            say=status.update,
        )
    for warning in analysis.warnings:
        say("warning", "yellow", warning)
    print_metrics(analysis.to_json(), inputs.data_kind)
    out.print(f"report: {folder / 'report.html'}   metrics: {folder / 'metrics.json'}", soft_wrap=True)


def _predictions(paths: list[Path]) -> "pd.DataFrame":
    """One table of several files; what stands in two of them word for word counts once."""
    import pandas as pd

    from glioscope.cohort import PREDICTION_COLUMNS, check_predictions, read_predictions

    tables = [read_predictions(path) for path in paths]
    if len(tables) == 1:
        return tables[0]
    joined = pd.concat(tables, ignore_index=True).drop_duplicates(list(PREDICTION_COLUMNS), ignore_index=True)
    check_predictions(joined, " and ".join(str(path) for path in paths))
    return joined


def _thresholds(given: list[str]) -> dict[str, float]:
    """Task -> threshold; "" stands for every task that is not named."""
    found: dict[str, float] = {}
    for text in given:
        task, equals, number = text.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            raise InputError(f"--threshold {text!r} is no number; give 0.5 or tumor=0.5") from None
        if equals and not task:
            raise InputError(f"--threshold {text!r} names no task; give 0.5 or tumor=0.5")
        if not 0 <= value <= 1:
            raise InputError(f"--threshold {text!r} is out of range; scores lie between 0 and 1")
        if task in found:
            raise InputError(f"--threshold is given twice for {task or 'all tasks'}")
        found[task] = value
    return found


def _check_folder(folder: Path) -> None:
    """Refuse to replace a folder that no evaluation wrote: a training run, say, has a metrics.json as well."""
    if not folder.exists():
        return
    if folder.resolve() == Path.cwd():
        raise InputError(f"{folder}: is the folder that you are in, which cannot be replaced; name another one")
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {""}
    if names and not {"metrics.json", "report.html"} <= names <= REPORT_FILES:
        raise InputError(f"{folder}: exists already and is no earlier report; choose a new folder")
