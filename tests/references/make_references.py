"""Ask R's pROC about score tables and keep its answers: `python -m tests.references.make_references`.

The tables follow from formulas and are not stored. `proc.json` holds case -> quantity -> numbers, as `proc.R` names
them.
"""

import csv
import json
import math
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from scipy import special

HERE = Path(__file__).parent
STORED = HERE / "proc.json"
SMALL_CASES = ("ordinary", "tied", "tiny", "perfect")
CASES = (*SMALL_CASES, "unbalanced", "huge")


def score_table(case):
    """Labels (0, 1) and the scores of two methods on the same specimens, the second one correlated with the first."""
    n, n_positive, digits, gap_a, gap_b = {
        "ordinary": (300, 120, 4, 1.5, 1.1),
        "tied": (300, 120, 0, 1.2, 0.9),
        "tiny": (12, 5, 4, 0.8, 1.0),
        "perfect": (60, 25, 4, 9.0, 1.0),
        "unbalanced": (4020, 20, 4, 1.3, 0.8),
        "huge": (200_000, 70_000, 6, 1.0, 0.99),
    }[case]
    # Multiples of unrelated irrational numbers, modulo 1, are evenly spread: no generator whose stream may change.
    first, second, third = np.outer(np.sqrt([2, 3, 5]), np.arange(1, n + 1)) % 1
    labels = (np.argsort(np.argsort(first)) < n_positive).astype(int)
    shared, own = special.ndtri(second), special.ndtri(third)
    score_a = gap_a * labels + shared
    score_b = gap_b * labels + 0.6 * shared + 0.8 * own
    return labels, score_a.round(digits), score_b.round(digits)


def thresholds(case):
    """Where sensitivity and the like are asked for: midway between neighbouring scores, the median one first."""
    distinct = np.unique(score_table(case)[1])
    middles = (distinct[1:] + distinct[:-1]) / 2
    chosen = middles[:: math.ceil(middles.size / 60)]
    return np.concatenate([[np.median(middles) if middles.size % 2 else middles[middles.size // 2]], chosen])


def ask_proc(cases, n_resamples=0):
    """pROC's answers: case -> quantity -> list of numbers; those of the bootstrap only with `n_resamples`."""
    with tempfile.TemporaryDirectory() as folder:
        for case in cases:
            _write(Path(folder) / f"{case}.csv", ("y_true", "score_a", "score_b"), score_table(case))
            _write(Path(folder) / f"{case}.thresholds.csv", ("threshold",), (thresholds(case),))
        command = ["Rscript", "--vanilla", str(HERE / "proc.R"), folder, str(n_resamples)]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    answers = {}
    for case, quantity, *numbers in csv.reader(lines):
        answers.setdefault(case, {})[quantity] = numbers if case == "version" else [float(x) for x in numbers]
    return answers


def _write(path, names, columns):
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        writer.writerows(zip(*(column.tolist() for column in columns), strict=True))


def main():
    answers = ask_proc(CASES, n_resamples=10_000)
    cases = [f"{json.dumps(case)}: {_lines(quantities)}" for case, quantities in answers.items()]
    STORED.write_text("{\n" + ",\n".join(cases) + "\n}\n")


def _lines(quantities):
    """One quantity a line, so that a change shows where it is."""
    return (
        "{\n" + ",\n".join(f"  {json.dumps(key)}: {json.dumps(numbers)}" for key, numbers in quantities.items()) + "\n}"
    )


if __name__ == "__main__":
    main()
