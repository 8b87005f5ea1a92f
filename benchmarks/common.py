"""What every benchmark shares: where real data are, the last line, and the section in docs/results.md."""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from glioscope.core import write_text

ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "benchmarks" / "work"
RESULTS = ROOT / "docs" / "results.md"


def shared_data(name: str) -> Path:
    """Folder of a real data set: `$GLIOSCOPE_SHARED/data/NAME`, or `shared/data/NAME` beside the checkout."""
    base = Path(os.environ.get("GLIOSCOPE_SHARED", ROOT.parent / "shared"))
    folder = base / "data" / name
    if not folder.is_dir():
        sys.exit(f"{folder}: the real data set {name!r} is not here; set GLIOSCOPE_SHARED to the folder that has it")
    return folder


def parser(description: str) -> argparse.ArgumentParser:
    """Argument parser with the option that every benchmark has."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--record", action="store_true", help="write the result into docs/results.md")
    return made


def machine() -> str:
    """One line on the machine: processor, cores, memory."""
    model = platform.processor() or "unknown processor"
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.is_file():
        found = re.search(r"model name\s*:\s*(.+)", cpuinfo.read_text())
        model = found.group(1) if found else model
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, no GPU used"


def commit() -> str:
    """The commit that is measured, with a mark where the tree differs from it."""
    head = _git("rev-parse", "--short=10", "HEAD")
    if not head:
        return "no commit known"
    # The results page is left out: benchmarks write it.
    return f"commit {head}" + ("-dirty" if _git("status", "--porcelain", "--", ".", ":!docs/results.md") else "")


def _git(*words: str) -> str:
    found = subprocess.run(["git", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() if found.returncode == 0 else ""


def finish(name: str, result: dict[str, Any], *, record: bool) -> None:
    """Print the result as the last line and, if asked, write its section of docs/results.md."""
    result = {**result, "code": commit()}
    if record:
        _write_section(name, result)
    print(json.dumps(result), flush=True)


def log_line(heading: str, line: str) -> None:
    """Append one line to a log section of docs/results.md, always: what was looked at stays written down."""
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else "# Results\n"
    marker = f"## {heading}\n"
    if marker not in text:
        text = text.rstrip("\n") + f"\n\n{marker}\n"
    head, _, tail = text.partition(marker)
    body, separator, rest = tail.partition("\n## ")
    write_text(RESULTS, f"{head}{marker}{body.rstrip()}\n- {line}\n{separator}{rest}")


def now() -> str:
    """Date and time for records, UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _write_section(name: str, result: dict[str, Any]) -> None:
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else "# Results\n"
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    body = f"{begin}\n### `make {name}`\n\n{now()}, {machine()}.\n\n```json\n{json.dumps(result, indent=1)}\n```\n{end}"
    if begin in text:
        head, _, rest = text.partition(begin)
        text = head + body + rest.partition(end)[2]
    else:
        text = text.rstrip("\n") + "\n\n" + body + "\n"
    write_text(RESULTS, text)
