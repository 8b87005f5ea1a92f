import os

import numpy as np
import pandas as pd
import pytest

from glioscope.cohort import load_manifest, sources
from glioscope.core import ManifestError


def problems(path, **options):
    with pytest.raises(ManifestError) as caught:
        load_manifest(path, **options)
    return [(p.row, p.column, p.value, p.message) for p in caught.value.problems]


def only_problem(path, **options):
    found = problems(path, **options)
    assert len(found) == 1, found
    return found[0]


def test_a_good_manifest_is_typed(folder):
    path = folder.manifest(
        [
            {
                "patient_id": "007",
                "wl_image": folder.wl(0),
                "fl_image": folder.fl(0),
                "pathology": "Tumour",
                "who_grade": "IV",
                "who_edition": "2016",
                "ki67_percent": "12.5",
                "ki67_level": "≥10 %",
                "idh": "wild-type",
                "codel_1p19q": "No",
                "sector": "8",
                "mm_per_px": "0.1",
                "acquired_at": "2021-03-04T10:15:00+01:00",
                "colour": "red",
                "data_kind": "real",
            },
            {"pathology": "non_tumor", "data_kind": "real"},
        ],
        encoding="utf-8-sig",
    )
    cohort = load_manifest(path, check_pixels=True)
    first, second = cohort.table.to_dict("records")
    expected = {"row": 2, "patient_id": "007", "pathology": "tumor", "who_grade": "4", "grade_class": "GBM"}
    expected |= {"ki67_percent": 12.5, "ki67_level": ">=10", "idh": "wildtype", "codel_1p19q": "no", "sector": 8}
    expected |= {"framing": "cut", "colour": "red", "diagnosis": "", "acquired_at": "2021-03-04T10:15:00+01:00"}
    assert {key: first[key] for key in expected} == expected
    assert (second["pathology"], second["who_grade"], second["grade_class"]) == ("non-tumor", "", "")
    assert pd.isna(second["ki67_percent"])
    assert pd.isna(second["sector"])
    assert cohort.data_kind == "real"
    assert len(cohort.sha256) == 64


def test_every_problem_is_listed_at_once(folder):
    rows = [
        {"pathology": "maybe"},
        {"ki67_percent": "140"},
        {"who_grade": "5"},
        {"sector": "9"},
        {"mm_per_px": "0"},
        {"fl_image": "images/none.tif"},
        {"pathology": "non-tumor", "who_grade": "2"},
        {"ki67_percent": "4", "ki67_level": ">=10"},
        {"who_edition": "2030"},
        {"acquired_at": "yesterday"},
        {"specimen_id": ""},
        {"fl_exposure_ms": "1,5"},
    ]
    found = problems(folder.manifest(rows))
    assert [(row, column, value) for row, column, value, _ in found] == [
        (2, "pathology", "maybe"),
        (3, "ki67_percent", "140"),
        (4, "who_grade", "5"),
        (5, "sector", "9"),
        (6, "mm_per_px", "0"),
        (7, "fl_image", "images/none.tif"),
        (8, "who_grade", "2"),
        (9, "ki67_level", ">=10"),
        (10, "who_edition", "2030"),
        (11, "acquired_at", "yesterday"),
        (12, "specimen_id", ""),
        (13, "fl_exposure_ms", "1,5"),
    ]
    messages = [message for *_, message in found]
    assert "tumor or non-tumor" in messages[0]
    assert "from 0 to 100" in messages[1]
    assert "does not exist" in messages[5]
    assert "non-tumor row" in messages[6]
    assert "2007, 2016, 2021" in messages[8]


def test_keep_returns_rows_and_problems(folder):
    path = folder.manifest([{"pathology": "maybe"}, {"fl_image": "images/none.tif"}, {"specimen_id": ""}, {}])
    cohort = load_manifest(path, on_error="keep")
    assert [p.row for p in cohort.problems] == [2, 3, 4]
    assert list(cohort.table["row"]) == [2, 3, 5]
    assert cohort.table["pathology"].iloc[0] == ""
    assert sources(cohort)[1].fl_image == folder.root.resolve() / "images" / "none.tif"


@pytest.mark.parametrize("text", ["../elsewhere.tif", "/etc/hostname", "images/../../elsewhere.tif", "C:\\a.tif"])
def test_paths_out_of_the_folder(folder, tmp_path_factory, text):
    row, column, value, message = only_problem(folder.manifest([{"fl_image": text}]))
    assert (row, column, value) == (2, "fl_image", text)
    assert "absolute" in message or "out of the manifest's folder" in message


@pytest.mark.parametrize("of_folder", [False, True])
def test_links_out_of_the_folder(folder, tmp_path_factory, of_folder):
    outside = tmp_path_factory.mktemp("outside")
    folder.fl(1, name=os.path.relpath(outside / "a.tif", folder.root))
    if of_folder:
        (folder.root / "linked").symlink_to(outside)
    else:
        (folder.root / "linked").mkdir()
        (folder.root / "linked" / "a.tif").symlink_to(outside / "a.tif")
    rows = [{"fl_image": "linked/a.tif", "wl_image": folder.wl(0)}]
    assert "link that leads out" in only_problem(folder.manifest(rows))[3]
    kept = load_manifest(folder.root / "manifest.csv", on_error="keep")
    assert sources(kept)[0].fl_image is None


def test_paths_that_cannot_be_followed(folder):
    (folder.root / "round.tif").symlink_to(folder.root / "round.tif")
    rows = [{"fl_image": "round.tif"}, {"fl_image": "x" * 300 + ".tif"}, {"fl_image": "images"}]
    found = problems(folder.manifest(rows))
    assert {row for row, *_ in found} == {2, 3, 4}
    assert all(len(message) < 200 for *_, message in found)


def test_dots_and_links_that_stay_inside_are_fine(folder):
    folder.fl(1)
    (folder.root / "alias.tif").symlink_to(folder.root / "images" / "fl1.tif")
    assert not load_manifest(folder.manifest([{"fl_image": "images/../alias.tif"}])).problems


def test_duplicate_images(folder):
    name = folder.fl(1)
    row, _, value, message = only_problem(folder.manifest([{"fl_image": name}, {"fl_image": "images/../" + name}]))
    assert (row, value) == (3, "images/../" + name)
    assert "row 2" in message
    (folder.root / "images" / "copy.tif").write_bytes((folder.root / name).read_bytes())
    _, _, value, message = only_problem(folder.manifest([{"fl_image": name}, {"fl_image": "images/copy.tif"}]))
    assert value == "images/copy.tif"
    assert "same bytes" in message
    same = [{"specimen_id": "s", "patient_id": "p", "image_id": i} for i in "ab"]
    rows = [same[0] | {"fl_image": name}, same[1] | {"fl_image": "images/copy.tif"}]
    assert "same bytes" in load_manifest(folder.manifest(rows)).warnings[0].message


def test_a_tray_may_be_named_for_each_of_its_regions(folder):
    tray = folder.fl(1, shape=(40, 60))
    rows = [{"fl_image": tray, "framing": "full", "roi": roi} for roi in ("0,0,20,20", "20,0,20,20")]
    cohort = load_manifest(folder.manifest(rows))
    assert sources(cohort)[1].roi == (20, 0, 20, 20)
    rows[1]["roi"] = rows[0]["roi"]
    assert "only other regions" in only_problem(folder.manifest(rows))[3]


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({"roi": "0,0,4,4"}, "cut image"),
        ({"roi": "0,0,4", "framing": "full", "mm_per_px": "0.1"}, "x,y,w,h"),
        ({"roi": "0,0,0,4", "framing": "full", "mm_per_px": "0.1"}, "empty region"),
        ({"roi": "10,0,7,4", "framing": "full"}, "leaves the frame of 16 x 12"),
        ({"framing": "full"}, "needs mm_per_px"),
        ({"framing": "half"}, "cut or full"),
    ],
)
def test_regions_and_framing(folder, row, sentence):
    assert sentence in only_problem(folder.manifest([row]))[3]


def test_rows_of_one_specimen(folder):
    rows = [{"specimen_id": "s", "patient_id": "p", "image_id": "a", "idh": "mutant"}]
    rows.append(rows[0] | {"image_id": "b", "idh": ""})
    assert len(load_manifest(folder.manifest(rows)).table) == 2
    assert "contradicts row 2" in only_problem(folder.manifest([rows[0], rows[1] | {"idh": "wildtype"}]))[3]
    assert "gives to patient p" in only_problem(folder.manifest([rows[0], rows[1] | {"patient_id": "q"}]))[3]
    assert "own image_id" in only_problem(folder.manifest([rows[0], rows[1] | {"image_id": "a"}]))[3]


def test_bad_images(folder):
    good = folder.root / folder.fl(1)
    truncated = folder.root / "images" / "short.tif"
    truncated.write_bytes(good.read_bytes()[:200])
    (folder.root / "images" / "text.tif").write_text("this is not a picture")
    (folder.root / "images" / "empty.tif").touch()
    rows = [{"fl_image": f"images/{name}.tif"} for name in ("short", "text", "empty")]
    rows.append({"wl_image": folder.wl(3, dtype=np.uint16)})
    rows.append({"wl_image": folder.fl(4, dtype=np.uint8)})
    found = problems(folder.manifest(rows), check_pixels=True)
    assert [row for row, *_ in found] == [2, 3, 4, 5, 6]
    assert "16 bits" in found[3][3]
    assert "grey" in found[4][3]


def test_damage_that_only_decoding_shows(folder):
    folder.fl(1)
    import tifffile

    tifffile.imwrite(folder.root / "zero.tif", np.zeros((12, 16), np.uint16))
    path = folder.manifest([{"fl_image": "zero.tif"}])
    assert not load_manifest(path).problems
    assert "blank frame" in only_problem(path, check_pixels=True)[3]


def test_warnings(folder):
    rows = [
        {"patient_id": "P-1", "fl_image": folder.fl(11, dtype=np.uint8), "wl_image": folder.wl(1)},
        {"patient_id": "p01", "fl_image": folder.fl(12), "wl_image": folder.wl(2, shape=(10, 10))},
        {"WHO-Grade": "4"},
    ]
    found = {w.column: w for w in load_manifest(folder.manifest(rows)).warnings}
    assert found["patient_id"].value == "p01"
    assert "who_grade" in found["WHO-Grade"].message
    assert found["fl_image"].value == "1 of 3 images"
    assert "first in row 3" in found["fl_image, wl_image"].message
    masked = [{"who_grade": "4", "who_edition": "2021", "idh": "mutant"}]
    assert load_manifest(folder.manifest(masked)).warnings[0].value == "1 specimens"


def test_data_kind_must_be_one(folder):
    assert only_problem(folder.manifest([{"data_kind": "real"}, {"data_kind": "simulated"}]))[1] == "data_kind"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "0 bytes"),
        (b"\n\n", "no header"),
        (b"patient_id,specimen_id,fl_image\n", "header and no rows"),
        (b"patient_id,patient_id,fl_image\na,b,c\n", "stands twice"),
        (b"patient_id,,fl_image\na,b,c\n", "no name over column 2"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "not a text table"),
        (b"patient_id,specimen_id,fl_image\nM\xfcller,s,a.tif\n", "not UTF-8 text (byte 0xfc in line 2)"),
        (b"Patient ID,specimen_id,fl_image\na,b,c\n", "rename 'Patient ID'"),
        (b"patient_id,specimen_id\na,b\n", "at least one is required"),
        (b"patient_id,specimen_id,fl_image\n,,\n", "header and no rows"),
    ],
)
def test_files_that_are_no_manifest(tmp_path, content, sentence):
    path = tmp_path / "manifest.csv"
    path.write_bytes(content)
    with pytest.raises(ManifestError) as caught:
        load_manifest(path, on_error="keep")
    assert sentence in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["none.csv", "folder.csv", "manifest.txt", "fake.xlsx", "fake.parquet"])
def test_other_files(tmp_path, name):
    if name.startswith("folder"):
        (tmp_path / name).mkdir()
    elif not name.startswith("none"):
        (tmp_path / name).write_text("a,b\n1,2\n")
    with pytest.raises(ManifestError):
        load_manifest(tmp_path / name)


def test_row_numbers_count_blank_lines_and_short_rows_are_named(tmp_path, folder):
    folder.fl(1)
    path = folder.root / "m.csv"
    path.write_text("patient_id,specimen_id,fl_image,pathology\n\np,s,images/fl1.tif,odd\np,t,images/fl1.tif\n")
    found = problems(path)
    assert (3, "pathology", "odd") in [f[:3] for f in found]
    assert any(row == 4 and "3 cells" in message for row, _, _, message in found)


@pytest.mark.parametrize("suffix", [".xlsx", ".parquet"])
def test_other_formats_give_the_same_table(folder, suffix):
    rows = [{"patient_id": "007", "who_grade": 2, "ki67_percent": 5.5, "pathology": "tumor", "sector": None}]
    rows.append({"patient_id": "8", "who_grade": None, "ki67_percent": None, "pathology": "non-tumor", "sector": 3})
    reference = load_manifest(folder.manifest([{k: "" if v is None else v for k, v in row.items()} for row in rows]))
    frame = pd.DataFrame(rows).assign(specimen_id=["s0", "s1"], fl_image=["images/fl0.tif", "images/fl1.tif"])
    path = folder.root / f"manifest{suffix}"
    frame.to_excel(path, index=False) if suffix == ".xlsx" else frame.to_parquet(path)
    pd.testing.assert_frame_equal(load_manifest(path).table, reference.table)


def test_excel_numbers_keep_the_zeros_that_are_shown(folder):
    import openpyxl

    folder.fl(1)
    book = openpyxl.Workbook()
    book.active.append(["patient_id", "specimen_id", "fl_image"])
    book.active.append([7, "s", "images/fl1.tif"])
    book.active["A2"].number_format = "000"
    book.save(folder.root / "manifest.xlsx")
    assert load_manifest(folder.root / "manifest.xlsx").table["patient_id"].iloc[0] == "007"


def test_percentages_in_disguise(folder):
    import openpyxl

    folder.fl(1)
    book = openpyxl.Workbook()
    book.active.append(["patient_id", "specimen_id", "fl_image", "ki67_percent"])
    book.active.append(["p", "s", "images/fl1.tif", 0.12])
    book.active["D2"].number_format = "0%"
    book.save(folder.root / "manifest.xlsx")
    assert only_problem(folder.root / "manifest.xlsx")[:3] == (2, "ki67_percent", "12%")
    cohort = load_manifest(folder.manifest([{"ki67_percent": str(p / 10)} for p in range(6)]))
    assert "not a fraction" in str(cohort.warnings[0])


def test_progress_reaches_the_end(folder):
    seen = []
    load_manifest(folder.manifest([{}, {}, {}]), progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_real_images_load(shared):
    cohort = load_manifest(shared / "data" / "tcell" / "manifest.csv", check_pixels=True)
    assert len(cohort.table) == 852
    assert cohort.table["patient_id"].nunique() == 6
    assert "852 of 852" in str(cohort.warnings[0])
    assert sources(cohort)[0].fl_image.is_file()
