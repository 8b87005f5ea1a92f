"""bench-cold: from `glioscope diagnose` in a shell to the first answer of a three-CNN suite, and its resident memory.

Three EfficientNet-B0 at 224 px on a frame pair of 640 x 512 px on disk. The answering bundles are made to take every
specimen for tumour by their threshold, written and locked anew, so that the command itself asks all three.
"""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from common import WORK, finish, parser
from glioscope.cli._measure import cold_start, write_pairs
from glioscope.core import QualityLimits
from suites import B0, speed_suite


def always_tumour(suite: Path, out: Path) -> Path:
    """A copy of the suite that calls everything tumour, refuses nothing, and is locked again."""
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(suite, out)
    locked = json.loads((out / "suite.json").read_text())
    for name in set(locked["answers"].values()):
        path = out / name / "bundle.json"
        info = json.loads(path.read_text())
        info |= {"abstention": None, "conditions": {}, "quality": dict.fromkeys(QualityLimits.model_fields)}
        info["threshold"]["logit"] = [-1e9] * len(info["threshold"]["logit"])
        if info["envelope"] is not None:
            info["envelope"]["limit"] = 1e9
        path.write_text(json.dumps(info))
        names = sorted(p.name for p in (out / name).iterdir() if p.name != "SHA256SUMS")
        sums = "".join(f"{hashlib.sha256((out / name / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
        (out / name / "SHA256SUMS").write_text(sums)
        locked["sha256"][name] = hashlib.sha256(sums.encode()).hexdigest()
    (out / "suite.json").write_text(json.dumps(locked))
    return out


def main() -> None:
    arguments = parser(__doc__)
    arguments.add_argument("--runs", type=int, default=15)
    options = arguments.parse_args()
    suite = always_tumour(speed_suite(B0), WORK / "cold-suite")
    with tempfile.TemporaryDirectory() as folder:
        (source,) = write_pairs(Path(folder), 1)[0]
        words = ["--full-frame", "--mm-per-px", str(source.mm_per_px)]
        seconds, rss = cold_start(suite, source.fl_image, source.wl_image, options.runs, words)
    finish(
        "bench-cold",
        {
            "first_answer_s": round(float(np.median(seconds)), 3),
            "slowest_s": round(max(seconds), 3),
            "rss_mb": round(rss),
            "runs": options.runs,
            "backbone": B0,
            "size_px": 224,
            "frames": "simulated",
        },
        record=options.record,
    )


if __name__ == "__main__":
    main()
