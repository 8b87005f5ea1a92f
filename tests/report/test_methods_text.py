import json
import re
from pathlib import Path

import pytest

from glioscope.report._methods_text import COVERAGE, coverage_text

RESULTS = Path(__file__).resolve().parents[2] / "docs" / "results.md"


@pytest.mark.parametrize("protocol", ["strict", "paper"])
def test_the_coverage_that_a_report_states_is_that_of_the_recorded_benchmark(protocol):
    section = RESULTS.read_text(encoding="utf-8").partition("<!-- bench-coverage -->")[2]
    recorded = json.loads(re.search(r"```json\n(.*?)\n```", section, re.DOTALL)[1])[f"{protocol}_coverage"]
    assert {str(n): share for n, share in COVERAGE[protocol].items()} == pytest.approx(recorded, abs=0.001)


def test_the_sentence_names_both_protocols_and_both_sizes():
    text = coverage_text()
    for words in ("82 % with 7 test patients", "81 % with 23", "strict one in 95 % and 94 %"):
        assert words in text
