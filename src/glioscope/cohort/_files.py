"""The image files that a manifest names: inside its folder, there, readable, of the right kind, and no two the same."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from glioscope.core import ImageError, Problem

from ._columns import IMAGE_COLUMNS

if TYPE_CHECKING:
    from glioscope.imaging import ImageHeader

Progress = Callable[[int, int], None]
_PROBE_BYTES = 16_384


@dataclass(frozen=True, slots=True)
class _Use:
    """One cell that names an image."""

    row: int
    column: str
    text: str
    specimen_id: str
    roi: str


def check_paths(table: pd.DataFrame, root: Path) -> tuple[pd.DataFrame, list[Problem]]:
    """Refuse paths that lead out of `root`; they become blank, so that nothing reads them."""
    result, problems = table.copy(), []
    inside: dict[Path, bool] = {}
    for column in IMAGE_COLUMNS:
        kept = []
        for row, text in zip(table["row"], table[column], strict=True):
            message = _path_message(text, root, inside) if text else None
            kept.append(text if message is None else "")
            if message is not None:
                problems.append(Problem(int(row), column, text, message))
        result[column] = pd.Series(kept, index=table.index, dtype="str")
    return result, problems


def _path_message(text: str, root: Path, inside: dict[Path, bool]) -> str | None:
    try:
        return _path_problem(text, root, inside)
    except (OSError, RuntimeError) as error:  # a name that is too long, links that go round in a circle
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error).split(" from ")[0]
        return f"is a path that cannot be followed: {reason}"


def _path_problem(text: str, root: Path, inside: dict[Path, bool]) -> str | None:
    """What is wrong with a path as written, or None. `inside` remembers folders that were resolved."""
    if Path(text).is_absolute() or (len(text) > 1 and text[1] == ":"):
        return "is an absolute path; give it relative to the manifest"
    path = root / text
    if "\\" in text and not path.exists():
        return "has a backslash; write folders with /"
    if path.is_symlink() or ".." in Path(text).parts:
        return None if path.resolve().is_relative_to(root) else _outside(path, root)
    folder = path.parent
    if folder not in inside:
        inside[folder] = folder.resolve().is_relative_to(root)
    return None if inside[folder] else _outside(path, root)


def _outside(path: Path, root: Path) -> str:
    how = "a link that leads" if Path(os.path.normpath(path)).is_relative_to(root) else "a path that leads"
    return f"is {how} out of the manifest's folder; put the file inside it"


def check_images(
    table: pd.DataFrame, root: Path, *, check_pixels: bool, progress: Progress
) -> tuple[list[Problem], list[Problem]]:
    """Errors and warnings of the files themselves: headers, or with `check_pixels` every pixel."""
    uses = [
        _Use(int(row), column, str(text), str(specimen), str(roi))
        for column in IMAGE_COLUMNS
        for row, text, specimen, roi in zip(
            table["row"], table[column], table["specimen_id"], table["roi"], strict=True
        )
        if text
    ]
    problems: list[Problem] = []
    headers: dict[tuple[str, str], ImageHeader | None] = {}
    for done, use in enumerate(uses, start=1):
        key = (use.text, use.column[:2])
        if key not in headers:
            headers[key] = _probe(root / use.text, use, check_pixels, problems)
        progress(done, len(uses))
    pictures = [use for use in uses if use.column in ("fl_image", "wl_image")]
    again = _same_path(pictures)
    found, warnings = _same_content([use for use in pictures if headers[use.text, use.column[:2]] is not None], root)
    problems += again + found + _frames(table, headers)
    return problems, warnings + _eight_bits(pictures, headers) + _sizes(table, headers)


def _probe(path: Path, use: _Use, check_pixels: bool, problems: list[Problem]) -> "ImageHeader | None":
    from glioscope.imaging import probe_image, read_fl, read_wl

    try:
        header = probe_image(path)
        wrong = _wrong_kind(header, use.column)
        if wrong is None and check_pixels:
            (read_wl if use.column == "wl_image" else read_fl)(path)
    except ImageError as error:
        header, wrong = None, error.reason
    if wrong is not None:
        problems.append(Problem(use.row, use.column, use.text, wrong))
    return header


def _wrong_kind(header: "ImageHeader", column: str) -> str | None:
    if column == "wl_image" and header.bits != 8:
        return f"has {header.bits} bits a channel; a white-light image needs 8"
    if column == "wl_image" and header.channels < 3:
        return "is grey; a white-light image needs three colour channels"
    if column != "wl_image" and header.bits > 16:
        return f"has {header.bits} bits a pixel; a fluorescence image needs 8 to 16"
    return None


def _same_path(uses: Iterable[_Use]) -> list[Problem]:
    """Images that several rows name. A full frame of a tray may be named again, each time with another region."""
    problems, seen = [], dict[str, dict[str, _Use]]()
    for use in uses:
        earlier = seen.setdefault(os.path.normpath(use.text), {})
        first = next(iter(earlier.values()), use)
        if earlier and (use.roi in earlier or "" in (use.roi, first.roi) or use.column != first.column):
            message = f"is named in row {first.row}, {first.column} already; only other regions of a full frame may be"
            problems.append(Problem(use.row, use.column, use.text, message))
        earlier.setdefault(use.roi, use)
    return problems


def _same_content(uses: Iterable[_Use], root: Path) -> tuple[list[Problem], list[Problem]]:
    """Copies of one picture: an error under two specimens, a warning within one."""
    files = {os.path.normpath(use.text): use for use in reversed(list(uses))}
    problems: list[Problem] = []
    warnings: list[Problem] = []
    for same in _identical(root, sorted(files, key=lambda name: (files[name].row, name))):
        first = files[same[0]]
        for name in same[1:]:
            use = files[name]
            where = f"holds the same bytes as {first.text} (row {first.row}, specimen {first.specimen_id})"
            target = warnings if use.specimen_id == first.specimen_id else problems
            target.append(Problem(use.row, use.column, use.text, where))
    return problems, warnings


def _identical(root: Path, names: list[str]) -> list[list[str]]:
    """Groups of files with the same content. Cheap tests first: size, then both ends, then everything."""
    groups = [names]
    for key in (_size, _ends, _digest):
        split: list[list[str]] = []
        for group in groups:
            by_key: dict[object, list[str]] = defaultdict(list)
            for name in group:
                by_key[key(root / name)].append(name)
            split += [part for part in by_key.values() if len(part) > 1]
        groups = split
    return groups


def _size(path: Path) -> int:
    return path.stat().st_size


def _ends(path: Path) -> bytes:
    with path.open("rb") as stream:
        middle = max(_size(path) // 2 - _PROBE_BYTES // 2, 0)
        stream.seek(middle)
        return hashlib.sha256(stream.read(_PROBE_BYTES)).digest()


def _digest(path: Path) -> bytes:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").digest()


def _frames(table: pd.DataFrame, headers: "dict[tuple[str, str], ImageHeader | None]") -> list[Problem]:
    """A region outside its frame; a dark or flat frame of another size than the image."""
    problems = []
    for row in table.to_dict("records"):
        image, wl_image = headers.get((row["fl_image"], "fl")), headers.get((row["wl_image"], "wl"))
        known = [header for header in (image, wl_image) if header is not None]
        scale_unknown = pd.isna(row["mm_per_px"]) and known and all(header.mm_per_px is None for header in known)
        if row["framing"] == "full" and not row["roi"] and scale_unknown:
            message = "needs mm_per_px (here or in the file) to find the specimen, or its roi"
            problems.append(Problem(row["row"], "framing", "full", message))
        for header in known:
            if row["roi"]:
                x, y, width, height = (int(part) for part in row["roi"].split(","))
                if x + width > header.width or y + height > header.height:
                    message = f"leaves the frame of {header.width} x {header.height} px"
                    problems.append(Problem(row["row"], "roi", row["roi"], message))
                    break
        for column in ("fl_dark", "fl_flat"):
            side = headers.get((row[column], "fl"))
            if image is not None and side is not None and (side.width, side.height) != (image.width, image.height):
                message = f"is {side.width} x {side.height} px and the image {image.width} x {image.height}"
                problems.append(Problem(row["row"], column, row[column], message))
    return problems


def _eight_bits(uses: Iterable[_Use], headers: "dict[tuple[str, str], ImageHeader | None]") -> list[Problem]:
    found = [headers.get((use.text, "fl")) for use in uses if use.column == "fl_image"]
    eight = sum(header is not None and header.bits <= 8 for header in found)
    if not eight:
        return []
    message = "have 8 bits; a fluorescence camera gives 12 to 16, and what was cut off is lost"
    return [Problem(None, "fl_image", f"{eight} of {len(found)} images", message)]


def _sizes(table: pd.DataFrame, headers: "dict[tuple[str, str], ImageHeader | None]") -> list[Problem]:
    rows = []
    for row in table[table["framing"] == "cut"].to_dict("records"):
        fl, wl = headers.get((row["fl_image"], "fl")), headers.get((row["wl_image"], "wl"))
        if fl is not None and wl is not None and (fl.width, fl.height) != (wl.width, wl.height):
            rows.append((row["row"], f"FL {fl.width} x {fl.height}, WL {wl.width} x {wl.height} px"))
    if not rows:
        return []
    message = f"differ in size between FL and WL, first in row {rows[0][0]}: {rows[0][1]}"
    return [Problem(None, "fl_image, wl_image", f"{len(rows)} cut pairs", message)]
