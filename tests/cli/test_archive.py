"""`glioscope diagnose --manifest`: an archive that is scored in pieces."""

import json

import pytest

from ..commands import refused, run
from ..suites import copy_suite, set_suite


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def whole(tiny_suite, tiny_cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "answers.jsonl"
    ran = run("diagnose", tiny_suite, "--manifest", tiny_cohort, "--out", out)
    assert ran.code == 0, ran.err
    assert "answers.jsonl: " in ran.out
    return out


def without_times(records):
    return [{k: v for k, v in record.items() if k != "timings_ms"} for record in records]


def test_every_specimen_is_answered_once_in_the_order_of_the_manifest(whole, tiny_cohort):
    header, *rows = tiny_cohort.read_text().splitlines()
    column = header.split(",").index("specimen_id")
    assert [r["specimen_id"] for r in lines(whole)] == list(dict.fromkeys(row.split(",")[column] for row in rows))


@pytest.mark.parametrize("cut", [0, 1, 17])
def test_a_run_that_was_cut_off_goes_on_and_gives_the_same(tiny_suite, tiny_cohort, whole, tmp_path, cut):
    out = tmp_path / "answers.jsonl"
    content = whole.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(content[:50]) + content[50][:cut])
    ran = run("diagnose", tiny_suite, "--manifest", tiny_cohort, "--out", out)
    assert ran.code == 0, ran.err
    assert "50 answered before" in ran.out
    assert without_times(lines(out)) == without_times(lines(whole))
    again = run("diagnose", tiny_suite, "--manifest", tiny_cohort, "--out", out)
    assert "nothing left to do; 120 answered before" in again.out
    assert len(lines(out)) == 120


def test_answers_of_another_suite_and_other_files_are_not_continued(tiny_suite, tiny_cohort, whole, tmp_path):
    other = copy_suite(tiny_suite, tmp_path / "suite")
    set_suite(other, bundles=[])
    ran = run("diagnose", other, "--manifest", tiny_cohort, "--out", whole)
    refused(ran, "answers.jsonl", "line 1", "another suite", "give --out another name")
    notes = tmp_path / "notes.txt"
    notes.write_text("hello\n")
    refused(run("diagnose", tiny_suite, "--manifest", tiny_cohort, "--out", notes), "line 1 is not an answer")
    assert notes.read_text() == "hello\n"


def test_out_belongs_to_a_manifest(tiny_suite, tmp_path):
    image = tmp_path / "a.tif"
    image.write_bytes(b"x")
    ran = run("diagnose", tiny_suite, "--fl", image, "--out", tmp_path / "answers.jsonl")
    refused(ran, "--out belongs to --manifest")
