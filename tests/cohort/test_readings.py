import numpy as np
import pandas as pd
import pytest

from glioscope.cohort._readings import read_readings
from glioscope.core import ManifestError
from glioscope.sim import simulate

GOOD = """reader,specimen_id,modality,reading,rating,read_order,room
R1,007,fl,1,5,2,theatre
R1,007,WL,0,,1,theatre
R2,007,fl,1,4,,
"""


def written(tmp_path, text):
    path = tmp_path / "readings.csv"
    path.write_text(text)
    return path


def problems_of(tmp_path, text):
    with pytest.raises(ManifestError) as caught:
        read_readings(written(tmp_path, text))
    return [str(problem) for problem in caught.value.problems]


def test_a_good_table_is_typed_and_keeps_its_extra_columns(tmp_path):
    table = read_readings(written(tmp_path, GOOD))
    assert list(table) == ["reader", "specimen_id", "modality", "reading", "rating", "read_order", "room"]
    assert list(table["specimen_id"]) == ["007"] * 3
    assert list(table["modality"]) == ["fl", "wl", "fl"]
    assert table["reading"].dtype == np.int64
    assert list(table["reading"]) == [1, 0, 1]
    assert table["rating"].dtype == np.float64
    np.testing.assert_array_equal(table["rating"], [5, np.nan, 4])
    assert table["read_order"].isna().tolist() == [False, False, True]


def test_an_extra_column_may_have_any_name(tmp_path):
    table = read_readings(written(tmp_path, "reader,specimen_id,modality,reading,row,index\na,1,fl,1,top,x\n"))
    assert (table["row"].iloc[0], table["index"].iloc[0]) == ("top", "x")
    assert list(table.index) == [0]


def test_ratings_and_order_may_be_left_out(tmp_path):
    table = read_readings(written(tmp_path, "reader,specimen_id,modality,reading\na,1,fl,1\n"))
    assert table["rating"].isna().all()
    assert table["read_order"].isna().all()


def test_a_spreadsheet_reads_the_same(tmp_path):
    text = read_readings(written(tmp_path, GOOD))
    text.to_excel(tmp_path / "readings.xlsx", index=False)
    pd.testing.assert_frame_equal(read_readings(tmp_path / "readings.xlsx"), text)


def test_all_problems_are_found_at_once(tmp_path):
    found = problems_of(
        tmp_path,
        "reader,specimen_id,modality,reading,rating,read_order\n"
        "R1,1,fusion,1,3,1\n"
        "R1,2,fl,2,0,1\n"
        "R1,3,fl,,6,first\n"
        ",4,fl,yes,2.5,1\n"
        "R1,5,fl,1,,\n"
        "R1,5,fl,0,,\n",
    )
    assert [text.split(":")[0] for text in found] == [
        "row 2, modality",
        "row 3, reading",
        "row 3, rating",
        "row 4, reading",
        "row 4, rating",
        "row 4, read_order",
        "row 5, reader",
        "row 5, reading",
        "row 5, rating",
        "row 7, specimen_id",
    ]
    assert "'fusion' is no modality that readers read; give fl or wl" in found[0]
    assert "'6' is no rating; give a whole number from 1" in found[4]
    assert "is read twice by the same reader in the same modality" in found[-1]


def test_blank_identifiers_are_not_called_repeated(tmp_path):
    found = problems_of(tmp_path, "reader,specimen_id,modality,reading\n,1,fl,1\n,1,fl,1\n")
    assert found == [f"row {row}, reader: is blank; every row needs one" for row in (2, 3)]


def test_missing_columns_are_named(tmp_path):
    found = problems_of(tmp_path, "reader,specimen,reading\na,1,1\n")
    assert found == [f"{name}: is a required column that is missing" for name in ("specimen_id", "modality")]


def test_simulated_readings_are_read_whole(tmp_path):
    cohort = simulate(tmp_path / "c", n_patients=2, n_specimens=20, n_jobs=1)
    table = read_readings(cohort.readings)
    assert len(table) == 3 * 2 * 20
    assert ((table["rating"] >= 4) == (table["reading"] == 1)).all()
