"""The command line: parses, wires rooms together, prints. Rooms are imported inside each command to start fast."""

import errno
import io
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from glioscope import RESEARCH_USE, __version__
from glioscope._terminal import err, out, print_answers, print_metrics, print_table, progress, say, say_error
from glioscope.core import (
    BUILT_IN_TASKS,
    BundleInfo,
    Diagnosis,
    InputError,
    ManifestError,
    Modality,
)

if TYPE_CHECKING:
    from glioscope.cohort import Cohort, Split
    from glioscope.core import Task
    from glioscope.imaging import SpecimenSource
    from glioscope.models import TrainSettings
    from glioscope.runtime import Cascade

PAPER_TASKS = ("tumor", "grade", "ki67")
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it."""
_SAYABLE = frozenset(
    getattr(errno, name)
    for name in (
        *("ENOSPC", "EDQUOT", "EFBIG", "EIO", "EACCES", "EPERM", "EROFS", "EBUSY"),
        *("ENOENT", "EEXIST", "ENOTDIR", "EISDIR", "ENOTEMPTY", "ENAMETOOLONG", "ELOOP"),
    )
    if hasattr(errno, name)
)
"""Operating-system errors that are the user's to mend, not ours."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=f"Specimen diagnosis from near-infrared fluorescence (FL) and white light (WL). {RESEARCH_USE}",
    pretty_exceptions_enable=False,
)
ManifestArgument = Annotated[Path, typer.Argument(help="Manifest: CSV, XLSX or Parquet (docs/manifest.md).")]
TaskOption = Annotated[
    list[str] | None, typer.Option("--task", help="tumor, grade, ki67, grade4, idh, codel, or one of --task-file.")
]
TaskFileOption = Annotated[Path | None, typer.Option("--task-file", help="TOML file with tasks of your own.")]
CutOffOption = Annotated[float, typer.Option("--ki67-cut-off", help="Ki-67 is high at or above this, in percent.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        out.print(f"glioscope {__version__}")
        raise typer.Exit


@app.command()
def simulate(
    folder: Annotated[Path, typer.Argument(metavar="OUT", help="New folder for the cohort.")],
    patients: Annotated[int, typer.Option(min=1)] = 23,
    specimens: Annotated[int, typer.Option(min=2)] = 1874,
    size: Annotated[str, typer.Option(help="Width x height of a cut specimen image in pixels.")] = "160x128",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    trays: Annotated[int, typer.Option(min=0, help="Frame pairs with many specimens each, beside the cohort.")] = 0,
    full_frames: Annotated[bool, typer.Option("--full-frames", help="640 x 512 frames instead of cut images.")] = False,
) -> None:
    """Write a SIMULATED cohort of the paper's size: manifest, images, readings, and the true ceiling."""
    from glioscope.sim import simulate as run

    width, _, height = size.partition("x")
    if not (width.isdigit() and height.isdigit()):
        raise InputError(f"--size {size!r} is not WIDTHxHEIGHT, for example 160x128")
    _refuse_existing(folder)
    with progress("rendering") as advance:
        run(
            folder,
            n_patients=patients,
            n_specimens=specimens,
            size=(int(width), int(height)),
            seed=seed,
            trays=trays,
            framing="full" if full_frames else "cut",
            progress=advance,
        )
    manifest = folder / "manifest.csv"
    out.print(f"SIMULATED cohort: {manifest} (ceilings in oracle.csv, readers in readings.csv)", soft_wrap=True)


@app.command()
def check(
    manifest: ManifestArgument,
    task: TaskOption = None,
    task_file: TaskFileOption = None,
    ki67_cut_off: CutOffOption = 10.0,
    headers_only: Annotated[bool, typer.Option("--headers-only", help="Do not decode every image.")] = False,
) -> None:
    """List every problem of a manifest at once, and count specimens and patients as the paper's Fig. 1a does."""
    from glioscope.cohort import load_manifest, resolve_tasks, summarise

    tasks = resolve_tasks(task or list(BUILT_IN_TASKS), task_file, ki67_cut_off=ki67_cut_off)
    with progress("reading images") as advance:
        cohort = load_manifest(manifest, check_pixels=not headers_only, on_error="keep", progress=advance)
    for warning in cohort.warnings:
        say("warning", "yellow", str(warning))
    summary = summarise(cohort, tasks)
    print_table(
        f"{manifest}: {summary.specimens} specimens of {summary.patients} patients ({cohort.data_kind} images); "
        f"{summary.fl_specimens} with FL, {summary.wl_specimens} with WL",
        ("task", "class", "specimens", "patients"),
        [tuple(str(cell) for cell in row.values()) for row in summary.rows()],
    )
    if cohort.problems:
        raise ManifestError(manifest, cohort.problems)


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
        {"strategy": strategy, "backbone": backbone, "weights": weights, "seed": seed, "precision": precision},
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


@app.command()
def diagnose(
    suite: Annotated[Path, typer.Argument(help="Folder of a locked suite, as `train` writes it.")],
    fl: Annotated[Path | None, typer.Option(help="Fluorescence image of one specimen.")] = None,
    wl: Annotated[Path | None, typer.Option(help="White-light image of the same specimen.")] = None,
    manifest: Annotated[Path | None, typer.Option(help="Many specimens; labels are not needed.")] = None,
    full_frame: Annotated[bool, typer.Option("--full-frame", help="--fl/--wl are frames: find the specimen.")] = False,
    mm_per_px: Annotated[float | None, typer.Option(help="Scale of --fl/--wl; needed by --full-frame.")] = None,
    exposure_ms: Annotated[float | None, typer.Option(help="Exposure of --fl, where the suite scales by it.")] = None,
    irradiance: Annotated[float | None, typer.Option(help="On the specimen in mW/cm2, likewise.")] = None,
    fl_dark: Annotated[Path | None, typer.Option(help="Dark frame of --fl.")] = None,
    fl_flat: Annotated[Path | None, typer.Option(help="Flat frame of --fl.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON record a line.")] = False,
) -> None:
    """Diagnose specimens with a locked suite: tumour first; grade and Ki-67 of tumours only."""
    from glioscope.imaging import SpecimenSource
    from glioscope.runtime import Cascade

    if (manifest is None) == (fl is None and wl is None):
        raise InputError("give either --fl and/or --wl, or --manifest")
    frames = {"--fl-dark": fl_dark, "--fl-flat": fl_flat}
    numbers = {"--mm-per-px": mm_per_px, "--exposure-ms": exposure_ms, "--irradiance": irradiance}
    faults: dict[str, str] = {}
    if manifest is None:
        _check_single({"--fl": fl, "--wl": wl, **frames}, numbers)
        source = SpecimenSource(
            (fl or wl or Path("specimen")).stem,
            fl_image=fl,
            wl_image=wl,
            framing="full" if full_frame else "cut",
            mm_per_px=mm_per_px,
            fl_exposure_ms=exposure_ms,
            irradiance_mw_cm2=irradiance,
            fl_dark=fl_dark,
            fl_flat=fl_flat,
        )
        specimens = [[source]]
    else:
        described = {**frames, **numbers, "--full-frame": full_frame or None}
        given = [option for option, value in described.items() if value is not None]
        if given:
            raise InputError(f"{given[0]} belongs to --fl/--wl; in a manifest it is a column (docs/manifest.md)")
        specimens, faults = _manifest_sources(manifest)
    cascade = Cascade.load(suite)
    watched = manifest is not None and not (as_json and sys.stdout.isatty())
    answers = []
    with progress("diagnosing", shown=watched) as advance:
        for answer in _answers(cascade, specimens, faults):
            answers.append(answer)
            if as_json:
                print(json.dumps({**answer.to_json(), "data_kind": cascade.data_kind}), flush=True)  # noqa: T201
            advance(len(answers), len(specimens))
    if not as_json:
        names = {task: bundle.info.name for task, bundle in cascade.bundles.items()}
        print_answers(answers, names, cascade.data_kind)
    failed = sum(answer.error is not None for answer in answers)
    if failed:
        say_error(f"{failed} of {len(specimens)} specimens could not be diagnosed")
        raise typer.Exit(2)


def _check_single(paths: Mapping[str, Path | None], numbers: Mapping[str, float | None]) -> None:
    for path in paths.values():
        if path is not None and not path.is_file():
            raise InputError(f"{path}: no such file")
    for option, value in numbers.items():
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"{option} {value:g} is out of range; give more than 0")


def _answers(
    cascade: "Cascade", specimens: list[list["SpecimenSource"]], faults: Mapping[str, str]
) -> Iterator[Diagnosis]:
    for sets in specimens:
        name = sets[0].specimen_id
        yield Diagnosis(name, error=faults[name]) if name in faults else cascade.diagnose(sets)


def _manifest_sources(manifest: Path) -> tuple[list[list["SpecimenSource"]], dict[str, str]]:
    """Image sets by specimen, and why some specimens must not be answered."""
    from glioscope.cohort import load_manifest, sources

    cohort = load_manifest(manifest, on_error="keep")
    faults = _faults(cohort)
    by_specimen: dict[str, list[SpecimenSource]] = {}
    owner: dict[str, str] = {}
    for source, patient in zip(sources(cohort), cohort.table["patient_id"], strict=True):
        first = owner.setdefault(source.specimen_id, patient)
        if patient != first:
            raise InputError(f"{manifest}: specimen {source.specimen_id} stands under patients {first} and {patient}")
        by_specimen.setdefault(source.specimen_id, []).append(source)
    if not by_specimen:
        raise InputError(f"{manifest}: no row names a patient and a specimen")
    return list(by_specimen.values()), faults


def _faults(cohort: "Cohort") -> dict[str, str]:
    """Specimen -> what is wrong with cells that decide which pixels a network sees.

    Such a cell was left blank on reading, so that an answer would rest on a guess. Other problems (labels, which need
    not be known here) are only told.
    """
    from glioscope.imaging import SpecimenSource

    needed = {"image_id", *(field.name for field in fields(SpecimenSource))}
    owner = dict[int | None, str](zip(cohort.table["row"], cohort.table["specimen_id"], strict=True))
    found: dict[str, list[str]] = {}
    for problem in cohort.problems:
        whole_row = problem.column is None
        if problem.row in owner and (whole_row or needed & set(str(problem.column).split(", "))):
            found.setdefault(owner[problem.row], []).append(str(problem))
        else:
            say("warning", "yellow", f"{cohort.path}: {problem}")
    return {specimen: "; ".join(sentences) for specimen, sentences in found.items()}


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
                folds.setdefault(note, []).append(fold)
    for note, where in folds.items():
        which = "" if len(suites) == 1 else f", fold {', '.join(map(str, where))}"
        say("warning", "yellow", note + which)


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


def _refuse_existing(folder: Path) -> None:
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder}: exists already and is not empty; choose a new folder")


def main() -> NoReturn:
    """Run the command line; bad input is one sentence (or all problems of a manifest) and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        # A file name may hold bytes that are no text, or that this terminal cannot show: print them escaped.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False) or 0
    except typer.TyperException as error:
        say_error(f"{error.format_message().rstrip('.')}; see glioscope --help")
        code = 2
    except ManifestError as error:
        for problem in error.problems:
            say_error(f"{error.path}: {problem}")
        code = 2
    except InputError as error:
        say_error(str(error))
        code = 2
    except OSError as error:
        if error.errno is not None and error.errno not in _SAYABLE:
            raise
        say_error(f"{error.filename or 'output'}: {error.strerror}" if error.errno is not None else str(error))
        code = 2
    if code == INTERRUPTED:
        err.print()  # a progress bar may have left the cursor in its line
        training = " ".join(sys.argv[1:2]) == "train"
        say_error(
            "stopped" + ("; go on from the last whole epoch with the same command and --resume" if training else "")
        )
    sys.exit(code)
