"""Servers of these tests run in programs of their own: they learn by the environment which suite they serve."""

import os

import pytest

from ..suites import lenient_suite
from .theatres import served_suite


@pytest.fixture(scope="session", autouse=True)
def suite_for_servers(request, tmp_path_factory):
    """Where `make demo` has not run, a tiny suite that answers whatever it is shown."""
    if not (served_suite() / "suite.json").is_file():
        pytest.importorskip("torch", reason="no suite: `make demo` makes one, or glioscope[train] a tiny one")
        folder = tmp_path_factory.mktemp("served") / "suite"
        os.environ["GLIOSCOPE_TEST_SUITE"] = str(
            lenient_suite(request.getfixturevalue("tiny_suite"), folder, tumor="tumor-fl")
        )
