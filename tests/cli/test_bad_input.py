"""Bad manifests and images at every command that takes them: one sentence a problem, exit code 2, nothing written."""

import json
import os
import tracemalloc

import pytest

from ..commands import refused, run
from .cohorts import BAD_IMAGES, bad_image, rows, write_manifest

HEADER = "patient_id,specimen_id,fl_image,wl_image,pathology\n"
FOUR = [("P1", "tumor"), ("P1", "non-tumor"), ("P2", "tumor"), ("P2", "non-tumor")]


def commands(manifest, tmp_path, request):
    """Every command that reads a manifest."""
    suite = request.getfixturevalue("tiny_suite")
    yield run("check", manifest)
    yield run("diagnose", suite, "--manifest", manifest, "--json")
    yield run("train", manifest, "--out", tmp_path / "RUN", "--strategy", "probe", "--task", "tumor")
    assert not (tmp_path / "RUN").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "is empty (0 bytes)"),
        ("\n\n", "no header and no rows"),
        (HEADER, "has a header and no rows"),
        ("specimen_id,fl_image\nS1,a.tif\n", "patient_id: is a required column that is missing"),
        ("\0\0\0\0", ""),
    ],
)
def test_no_table(tmp_path, request, content, words):
    manifest = tmp_path / "manifest.csv"
    manifest.write_text(content)
    for ran in commands(manifest, tmp_path, request):
        assert ran.code == 2
        assert not ran.out
        assert str(manifest) in ran.errors[0]
        assert any(words in sentence for sentence in ran.errors), ran.errors


def test_no_such_manifest(tmp_path, request):
    for ran in commands(tmp_path / "none.csv", tmp_path, request):
        refused(ran, str(tmp_path / "none.csv"), "does not exist")


@pytest.mark.parametrize(
    ("specimens", "words"),
    [
        ([("P1", "tumor"), ("P2", "tumor"), ("P3", "tumor")], "non-tumour"),
        ([("P1", "tumor"), ("P1", "non-tumor")], "patient"),
        ([("P1", "tumor"), ("P1", "tumor"), ("P2", "non-tumor")], "patient"),
        ([("P1", ""), ("P2", "")], "tumour"),
    ],
    ids=["one class", "one patient", "one patient has all non-tumour", "no labels"],
)
@pytest.mark.parametrize("scheme", [(), ("--folds", 2), ("--leave-one-patient-out",)])
def test_a_cohort_that_cannot_be_split(tmp_path, specimens, words, scheme):
    manifest = write_manifest(tmp_path, rows(tmp_path, specimens))
    ran = run("train", manifest, "--out", tmp_path / "RUN", "--strategy", "probe", "--task", "tumor", *scheme)
    refused(ran, str(manifest), words)
    assert not (tmp_path / "RUN").exists()
    assert run("check", manifest).code == 0


def test_a_class_that_only_lacks_images_of_one_modality(tmp_path):
    table = rows(tmp_path, [*FOUR, ("P3", "tumor"), ("P3", "non-tumor")])
    for row in table:
        if row["pathology"] == "non-tumor":
            row["wl_image"] = ""
    manifest = write_manifest(tmp_path, table)
    ran = run("train", manifest, "--out", tmp_path / "RUN", "--strategy", "probe", "--task", "tumor")
    refused(ran, str(manifest), "task tumor", "wl images", "non-tumour / tumour; both are needed")
    assert not (tmp_path / "RUN").exists()


@pytest.mark.parametrize("kind", BAD_IMAGES)
def test_a_bad_image_is_refused_by_check_and_diagnose(tmp_path, tiny_suite, kind):
    table = rows(tmp_path, FOUR)
    words = bad_image(tmp_path / "image1.tif", kind)
    manifest = write_manifest(tmp_path, table)
    refused(run("check", manifest), f"{manifest}: row 3, fl_image: 'image1.tif'", words)
    arguments = ("--fl", tmp_path / "image1.tif", "--wl", tmp_path / "image1.png")
    ran = run("diagnose", tiny_suite, *arguments, "--json")
    refused(ran, "1 of 1 specimens could not be diagnosed")
    assert words in ran.out


@pytest.mark.parametrize("kind", ["20000x20000", "png 20000x20000"])
def test_a_huge_image_is_refused_before_it_is_decoded(tmp_path, kind):
    from glioscope.imaging import read_fl

    bad_image(tmp_path / "a.tif", kind)
    tracemalloc.start()
    with pytest.raises(Exception, match="20000 x 20000 px"):
        read_fl(tmp_path / "a.tif")
    assert tracemalloc.get_traced_memory()[1] < 20_000_000  # 800 MB if it were decoded
    tracemalloc.stop()


@pytest.mark.parametrize("kind", ["text", "truncated", "nan"])
def test_train_refuses_a_bad_image_before_it_begins(tmp_path, kind):
    table = rows(tmp_path, FOUR)
    words = bad_image(tmp_path / "image1.tif", kind)
    manifest = write_manifest(tmp_path, table)
    ran = run("train", manifest, "--out", tmp_path / "RUN", "--strategy", "probe", "--task", "tumor")
    refused(ran, "row 3, fl_image: 'image1.tif'", words)
    assert not (tmp_path / "RUN").exists()


def test_all_problems_are_listed_at_once(tmp_path):
    table = rows(tmp_path, FOUR)
    for i, kind in enumerate(("text", "zero", "truncated")):
        bad_image(tmp_path / f"image{i}.tif", kind)
    ran = run("check", write_manifest(tmp_path, table))
    assert ran.code == 2
    assert [sentence.split(": ")[1].split(",")[0] for sentence in ran.errors] == ["row 2", "row 3", "row 4"]


def outside_by_dots(cohort, secret):
    return "../secret.tif"


def outside_absolutely(cohort, secret):
    return str(secret)


def outside_by_a_link(cohort, secret):
    (cohort / "link.tif").symlink_to(secret)
    return "link.tif"


def outside_by_a_linked_folder(cohort, secret):
    (cohort / "folder").symlink_to(secret.parent)
    return "folder/secret.tif"


def round_in_a_circle(cohort, secret):
    (cohort / "loop.tif").symlink_to(cohort / "loop.tif")
    return "loop.tif"


@pytest.mark.parametrize(
    "lead", [outside_by_dots, outside_absolutely, outside_by_a_link, outside_by_a_linked_folder, round_in_a_circle]
)
def test_paths_that_lead_out_of_the_cohort_are_not_read(tmp_path, tiny_suite, lead):
    cohort = tmp_path / "cohort"
    table = rows(cohort, FOUR)
    secret = tmp_path / "secret.tif"
    os.link(cohort / "image0.tif", secret)
    table[0]["fl_image"] = lead(cohort, secret)
    manifest = write_manifest(cohort, table)
    refused(run("check", manifest), "row 2, fl_image", table[0]["fl_image"])
    refused(run("train", manifest, "--out", tmp_path / "RUN", "--task", "tumor"), "row 2, fl_image")
    ran = run("diagnose", tiny_suite, "--manifest", manifest, "--json")
    refused(ran, "1 of 4 specimens")
    assert "row 2, fl_image" in json.loads(ran.out.splitlines()[0])["error"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("framing", "wide"),
        ("roi", "1,2"),
        ("mm_per_px", "-0.1"),
        ("fl_exposure_ms", "long"),
        ("irradiance_mw_cm2", "0"),
        ("fl_dark", "none.tif"),
        ("fl_flat", "../flat.tif"),
        ("wl_image", "image0.tif"),
    ],
)
def test_a_specimen_is_not_answered_on_a_guess(tmp_path, tiny_suite, column, value):
    table = [{"framing": "", "roi": "", **row} for row in rows(tmp_path, FOUR)]
    table = [{column: "", **row} for row in table]
    table[1][column] = value
    ran = run("diagnose", tiny_suite, "--manifest", write_manifest(tmp_path, table), "--json")
    refused(ran, "1 of 4 specimens")
    records = [json.loads(line) for line in ran.out.splitlines()]
    assert [bool(r["tasks"]) for r in records] == [True, False, True, True]
    assert f"row 3, {column}: {value!r}" in records[1]["error"]


def test_a_row_with_a_cell_too_many_is_not_answered(tmp_path, tiny_suite):
    manifest = write_manifest(tmp_path, rows(tmp_path, FOUR))
    lines = manifest.read_text().splitlines()
    lines[2] += ",more"
    manifest.write_text("\n".join(lines))
    ran = run("diagnose", tiny_suite, "--manifest", manifest, "--json")
    refused(ran, "1 of 4 specimens")
    assert "row 3: has 6 cells" in json.loads(ran.out.splitlines()[1])["error"]


def test_a_wrong_label_is_only_told(tmp_path, tiny_suite):
    table = [{**row, "who_grade": ""} for row in rows(tmp_path, FOUR)]
    table[0]["who_grade"] = "9"
    ran = run("diagnose", tiny_suite, "--manifest", write_manifest(tmp_path, table), "--json")
    assert ran.code == 0
    assert all(json.loads(line)["tasks"] for line in ran.out.splitlines())
    assert "row 2, who_grade: '9' is no WHO grade" in ran.err


def test_windows_line_ends_and_a_byte_order_mark_change_nothing(tmp_path):
    manifest = write_manifest(tmp_path, rows(tmp_path, FOUR))
    first = run("check", manifest)
    content = manifest.read_bytes().replace(b"\r\n", b"\n")
    manifest.write_bytes(b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n"))
    second = run("check", manifest)
    assert first.code == second.code == 0
    assert first.out == second.out


def test_very_long_identifiers_and_unicode_names(tmp_path, tiny_suite):
    folder = tmp_path / "Universitätsklinik Köln 北京 \u202e"
    table = rows(folder, FOUR)
    table[0]["specimen_id"] = "S" * 5000
    table[1]["specimen_id"] = "Gewebe Nr. 1 – übrig, „zwei“"
    manifest = write_manifest(folder, table, "Liste der Präparate.csv")
    assert run("check", manifest).code == 0
    ran = run("diagnose", tiny_suite, "--manifest", manifest)
    assert ran.code == 0, ran.err
