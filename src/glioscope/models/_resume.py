"""What makes a training run resumable: what its folder is for, and which of its models are finished and unchanged."""

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd

from glioscope.cohort import Cohort, Split
from glioscope.core import BundleInfo, InputError, Modality, Task, atomic_file, sha256_of, write_text

from ._settings import TrainSettings

_SUMS = "SHA256SUMS"


def claim(
    out: Path,
    cohort: Cohort,
    tasks: Sequence[Task],
    modalities: Sequence[Modality],
    split: Split,
    settings: TrainSettings,
    *,
    resume: bool,
) -> None:
    """Write `run.json` that says what this folder is for; refuse a folder that is for something else."""
    weights = Path(settings.weights)
    wanted: dict[str, Any] = {
        "glioscope_version": version("glioscope"),
        "manifest_sha256": cohort.sha256,
        "tasks": [t.model_dump(mode="json") for t in tasks],
        "modalities": [m.value for m in modalities],
        "split": json.loads(split.table.to_json(orient="records")),
        "settings": settings.model_dump(mode="json"),
        # A file may be replaced by another of the same name between two starts.
        "weights_sha256": sha256_of(weights) if settings.weights not in ("auto", "none") else None,
    }
    path = out / "run.json"
    if path.is_file():
        if not resume:
            raise InputError(f"{out}: holds a training run already; continue it with --resume or choose another --out")
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path}: not JSON: {error}; choose another --out") from error
        differing = [key for key in wanted if not isinstance(found, dict) or found.get(key) != wanted[key]]
        if differing:
            raise InputError(f"{out}: was started with other {', '.join(differing)}; --resume needs the same")
        return
    write_text(path, json.dumps(wanted, indent=1))


def write_finished(part: Path, bundle: Path, table: pd.DataFrame) -> None:
    """Keep a model's predictions as `part` (CSV), and beside it the hashes of both: the model is finished."""
    with atomic_file(part) as temporary:
        table.to_csv(temporary, index=False)
    write_text(part.with_suffix(".sha256"), _stamp(part, bundle))


def read_finished(part: Path, bundle: Path) -> tuple[BundleInfo, pd.DataFrame] | str | None:
    """A finished model's record and predictions; a sentence if it was changed since; None if it is not finished."""
    stamp = part.with_suffix(".sha256")
    if not stamp.is_file():
        return None
    for path in (part, bundle / _SUMS, bundle / "bundle.json"):
        if not path.is_file():
            return f"{path} is missing"
    if stamp.read_text(encoding="utf-8") != _stamp(part, bundle):
        return f"{part} or {bundle / _SUMS} is not the one that was written"
    for line in (bundle / _SUMS).read_text(encoding="utf-8").splitlines():
        expected, _, name = line.partition("  ")
        if not (bundle / name).is_file() or sha256_of(bundle / name) != expected:
            return f"{bundle / name} is missing or was changed"
    info = BundleInfo.model_validate_json((bundle / "bundle.json").read_text(encoding="utf-8"))
    # Blank cells are told apart by column: a patient may be called "NA".
    text = {"patient_id", "specimen_id", "task", "model", "split", "decision"}
    blank = {name: [""] for name in pd.read_csv(part, nrows=0).columns if name not in text}
    types = {**dict.fromkeys(text, "str"), "y_true": "Int64", "level": "Int64"}
    return info, pd.read_csv(part, dtype=types, keep_default_na=False, na_values=blank)


def _stamp(part: Path, bundle: Path) -> str:
    return f"{sha256_of(bundle / _SUMS)}  {_SUMS}\n{sha256_of(part)}  {part.name}\n"
