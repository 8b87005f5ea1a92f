"""Copies of a suite to tamper with: hard links, so that a copy costs nothing."""

import hashlib
import json
import os
import shutil
from pathlib import Path

from glioscope.core import QualityLimits


def copy_suite(suite: Path, folder: Path, **answers: str) -> Path:
    """A copy in which these bundles answer these tasks (and no other task is asked, if any is given)."""
    shutil.copytree(suite, folder, copy_function=os.link)
    if answers:
        set_suite(folder, answers=answers)
    return folder


def lenient_suite(suite: Path, folder: Path, **answers: str) -> Path:
    """A copy that answers whatever it is shown: no gate, no envelope, no trained range, no abstention."""
    copy_suite(suite, folder, **answers)
    gate = dict.fromkeys(QualityLimits.model_fields)
    for name in set(json.loads((folder / "suite.json").read_text())["answers"].values()):
        change_bundle(folder, name, quality=gate, envelope=None, conditions={}, abstention=None)
    return folder


def set_suite(folder: Path, **fields: object) -> None:
    """Change fields of `suite.json`."""
    replace(folder / "suite.json", json.dumps({**json.loads((folder / "suite.json").read_text()), **fields}).encode())


def replace(path: Path, content: bytes) -> None:
    """Write a new file: writing into the linked one would change the original."""
    path.unlink(missing_ok=True)
    path.write_bytes(content)


def change_bundle(folder: Path, name: str, **fields: object) -> None:
    """Change fields of a bundle's `bundle.json`, and lock it again."""
    path = folder / name / "bundle.json"
    replace(path, json.dumps({**json.loads(path.read_text()), **fields}).encode())
    lock_again(folder, name)


def lock_again(folder: Path, name: str) -> None:
    """Make bundle `name` consistent with its changed files, as someone with access to everything could."""
    bundle = folder / name
    files = sorted(p for p in bundle.iterdir() if p.name != "SHA256SUMS")
    sums = "".join(f"{hashlib.sha256(p.read_bytes()).hexdigest()}  {p.name}\n" for p in files).encode()
    replace(bundle / "SHA256SUMS", sums)
    known = json.loads((folder / "suite.json").read_text())["sha256"]
    set_suite(folder, sha256={**known, name: hashlib.sha256(sums).hexdigest()})
