"""`glioscope bench`: this machine's figures."""

import json

from ..commands import run
from ..suites import lenient_suite


def test_the_figures_of_a_suite(tiny_suite, tmp_path):
    suite = lenient_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl", ki67="ki67-wl")
    ran = run("bench", suite, "--runs", 20, "--images", 8, "--json")
    assert ran.code == 0, ran.err
    figures = json.loads(ran.out)
    assert 0 < figures["p50_ms"] <= figures["p99_ms"]
    assert figures["images_per_s"] > 0
    assert figures["first_answer_s"] > 0
    assert figures["rss_mb"] > 50
    assert set(figures["steps_ms"]) >= {"find", "gate", "prepare", "network", "total"}
    assert figures["frames"] == "simulated"
