"""`train`: from a manifest to a locked suite."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from glioscope._terminal import err, out, print_metrics, progress, say
from glioscope.core import BundleInfo, InputError, Modality

from ._app import CutOffOption, ManifestArgument, TaskFileOption, TaskOption, app

if TYPE_CHECKING:
    from glioscope.cohort import Cohort, Split
    from glioscope.core import Task
    from glioscope.models import TrainSettings

PAPER_TASKS = ("tumor", "grade", "ki67")


@app.command()
def train(
    manifest: ManifestArgument,
    folder: Annotated[Path, typer.Option("--out", help="Folder of the run.")],
    task: TaskOption = None,
    task_file: TaskFileOption = None,
    ki67_cut_off: CutOffOption = 10.0,
    modality: Annotated[
        list[Modality] | None, typer.Option(help="Default: fl and wl. fusion trains both as well.")
    ] = None,
    strategy: Annotated[str | None, typer.Option(help="probe (frozen features) or finetune (default).")] = None,
    backbone: Annotated[str | None, typer.Option(help="A timm model name; default tf_efficientnet_lite0.")] = None,
    weights: Annotated[str | None, typer.Option(help="auto, none, or a state-dict file.")] = None,
    size: Annotated[int | None, typer.Option(min=32, help="Input size in pixels.")] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs of fine-tuning.")] = None,
    settings_file: Annotated[Path | None, typer.Option("--settings", help="TOML file with training settings.")] = None,
    test_fraction: Annotated[float, typer.Option(min=0.05, max=0.9, help="Share of specimens to test.")] = 0.3,
    folds: Annotated[int | None, typer.Option(min=2, help="K patient-level folds instead of one split.")] = None,
    leave_one_patient_out: Annotated[bool, typer.Option("--leave-one-patient-out")] = False,
    split_file: Annotated[Path | None, typer.Option("--split", help="Reuse a split.csv of an earlier run.")] = None,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    precision: Annotated[str | None, typer.Option(help="auto, 32-true, bf16-mixed or 16-mixed.")] = None,
    calibration_folds: Annotated[
        int | None,
        typer.Option(min=0, help="Folds that fit calibration and abstention (default 5, fine-tuning 3); 0: neither."),
    ] = None,
    miscoverage: Annotated[
        float | None,
        typer.Option(
            help="Insist on this bound on the share of a class's specimens, in a new patient, that get the other "
            "class's name. Default: 0.10, for classes with enough patients."
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Train on patient-level splits; write a locked suite, predictions and metrics."""
    from glioscope.cohort import load_manifest, present_levels, resolve_tasks

    try:
        from glioscope.models import train_study
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("glioscope"):
            raise
        raise InputError(f"training needs glioscope[train] ({error.name} is not installed)") from error
    named = resolve_tasks(task or PAPER_TASKS, task_file, ki67_cut_off=ki67_cut_off)
    settings = _settings(
        settings_file,
        {
            "strategy": strategy,
            "backbone": backbone,
            "weights": weights,
            "seed": seed,
            "precision": precision,
            "calibration_folds": calibration_folds,
            "miscoverage": miscoverage,
        },
        size,
        epochs,
    )
    cohort = load_manifest(manifest)
    tasks = list(named.values()) if task else _trainable(cohort, named)
    for number, asked in enumerate(tasks):
        tasks[number] = present_levels(cohort, asked)
        absent = [level for level in asked.levels if level not in tasks[number].levels]
        if absent:
            say("task", "yellow", f"{asked.name}: no specimen of level {', '.join(absent)}; trained on the others")
    split = _split(cohort, tasks, split_file, folds, leave_one_patient_out, test_fraction, seed)
    for note in split.notes:
        say("split", "yellow", note)
    modalities = modality or [Modality.FL, Modality.WL]
    with progress("preparing images") as advance:
        result = train_study(
            cohort,
            tasks,
            modalities,
            split,
            settings,
            folder,
            resume=resume,
            report=lambda line: err.print(line, soft_wrap=True),
            progress=err.is_terminal,
            prepare_progress=advance,
        )
    print_metrics(result.metrics, cohort.data_kind)
    _warn_of_thresholds(result.suites)
    _print_suites(result.suites, folder)


def _trainable(cohort: "Cohort", tasks: "Mapping[str, Task]") -> "list[Task]":
    """The tasks that have specimens of every class; the others are named and left out."""
    from glioscope.cohort import summarise

    chosen = []
    for counted in summarise(cohort, tasks).tasks:
        absent = [found.name for found in counted.classes if not found.specimens]
        if absent:
            say("task", "yellow", f"{counted.task}: skipped, no specimen is labelled {' or '.join(absent)}")
        else:
            chosen.append(tasks[counted.task])
    if not chosen:
        raise InputError(f"{cohort.path}: none of the tasks {', '.join(tasks)} has specimens of both classes")
    return chosen


def _warn_of_thresholds(suites: Mapping[int, Path]) -> None:
    """Name the models whose threshold no tuning patient chose."""
    from glioscope.runtime import load_suite_info, threshold_note

    folds: dict[str, list[int]] = {}
    for fold, suite in suites.items():
        for name in load_suite_info(suite).bundles:
            info = BundleInfo.model_validate_json((suite / name / "bundle.json").read_text(encoding="utf-8"))
            note = threshold_note(info)
            if note is not None:
                folds.setdefault(note.sentence, []).append(fold)
    for sentence, where in folds.items():
        which = "" if len(suites) == 1 else f", fold {', '.join(map(str, where))}"
        say("warning", "yellow", sentence + which)


def _print_suites(suites: Mapping[int, Path], folder: Path) -> None:
    predictions = folder / "predictions.csv"
    if len(suites) == 1:
        out.print(f"suite: {next(iter(suites.values()))}   predictions: {predictions}", soft_wrap=True)
        return
    out.print(f"predictions: {predictions}", soft_wrap=True)
    out.print(
        f"The suites of the {len(suites)} folds ({folder / 'fold-K' / 'suite'}) are for measuring. For the suite that "
        "goes to the theatre, train on one split, without --folds or --leave-one-patient-out.",
        soft_wrap=True,
    )


def _settings(path: Path | None, given: dict[str, Any], size: int | None, epochs: int | None) -> "TrainSettings":
    """Settings from the TOML file, with the options given on the command line on top."""
    import tomllib

    from pydantic import ValidationError

    from glioscope.models import TrainSettings

    raw: dict[str, Any] = {}
    if path is not None:
        try:
            raw = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise InputError(f"{path}: not a readable TOML file: {error}") from error
    raw.update({key: value for key, value in given.items() if value is not None})
    if size is not None:
        for plan in ("fl_plan", "wl_plan"):
            _put(raw, (plan, "canvas", "size_px"), size)
    if epochs is not None:
        _put(raw, ("finetune", "epochs"), epochs)
    try:
        return TrainSettings.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        if first["type"] == "extra_forbidden":
            raise InputError(f"{path or 'options'}: {where} is not a known setting") from error
        raise InputError(f"{path or 'options'}: {where} = {first['input']!r}: {first['msg']}") from error


def _put(raw: dict[str, Any], keys: tuple[str, ...], value: int) -> None:
    """Set a nested value. What stands where a table belongs is left for the check of types to name."""
    table: Any = raw
    for key in keys[:-1]:
        table = table.setdefault(key, {})
        if not isinstance(table, dict):
            return
    table[keys[-1]] = value


def _split(
    cohort: "Cohort",
    tasks: "list[Task]",
    split_file: Path | None,
    folds: int | None,
    leave_one_out: bool,
    test_fraction: float,
    seed: int,
) -> "Split":
    from glioscope.cohort import group_folds, leave_one_patient_out, read_split, split_patients

    if sum([split_file is not None, folds is not None, leave_one_out]) > 1:
        raise InputError("--split, --folds and --leave-one-patient-out exclude each other")
    if split_file is not None:
        return read_split(split_file, cohort)
    if folds is not None:
        return group_folds(cohort, tasks, n_folds=folds, seed=seed)
    if leave_one_out:
        return leave_one_patient_out(cohort, tasks, seed=seed)
    return split_patients(cohort, tasks, test_fraction=test_fraction, seed=seed)
