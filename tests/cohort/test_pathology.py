import numpy as np
import pytest

from glioscope.cohort._pathology import PATHOLOGY_COLUMNS, read_pathology
from glioscope.core import ManifestError

HEADER = (
    "specimen_id,pathologist,pathology,who_grade,consensus,ki67_percent,ki67_method,ki67_positive,ki67_counted,slide\n"
)
GOOD = HEADER + (
    "007,GL,tumour,II,III,12,manual count of 500 nuclei,61,500,a\n007,JM,tumor,3,3,,,,,a\n007,SY,non-tumor,,III,,,,,a\n"
)


def written(tmp_path, text):
    path = tmp_path / "pathology.csv"
    path.write_text(text)
    return path


def problems_of(tmp_path, text):
    with pytest.raises(ManifestError) as caught:
        read_pathology(written(tmp_path, text))
    return [str(problem) for problem in caught.value.problems]


def test_a_good_table_is_normalised_as_the_manifest_is(tmp_path):
    table = read_pathology(written(tmp_path, GOOD))
    assert list(table) == [*PATHOLOGY_COLUMNS, "slide"]
    assert list(table["specimen_id"]) == ["007"] * 3
    assert list(table["pathology"]) == ["tumor", "tumor", "non-tumor"]
    assert list(table["who_grade"]) == ["2", "3", ""]
    assert list(table["consensus"]) == ["3", "3", "3"]
    np.testing.assert_array_equal(table["ki67_percent"], [12, np.nan, np.nan])
    assert table["ki67_positive"].iloc[0] == 61
    assert table["ki67_counted"].isna().tolist() == [False, True, True]


def test_two_columns_are_enough(tmp_path):
    table = read_pathology(written(tmp_path, "specimen_id,pathologist\n1,a\n1,b\n"))
    assert (table["who_grade"] == "").all()
    assert table["ki67_percent"].isna().all()


def test_all_problems_are_found_at_once(tmp_path):
    found = problems_of(
        tmp_path,
        HEADER
        + "1,a,tumor,5,2,,,,,\n"
        + "1,b,tumor,2,3,,,,,\n"
        + "1,b,benign,2,,130,,,,\n"
        + "2,,tumor,2,,,,,,\n"
        + "3,a,non-tumor,2,,4,,,,\n"
        + "4,a,tumor,,,,,7,,\n"
        + "5,a,tumor,,,,,7,5,\n"
        + "6,a,tumor,,,40,,30,100,\n"
        + "7,a,tumor,,,,,0,0,\n"
        + "8,a,tumor,,,,,,many,\n",
    )
    sentences = {
        "row 2, who_grade: '5' is no WHO grade",
        "row 3, consensus: '3' contradicts row 2, where specimen 1 has consensus 2",
        "row 4, pathology: 'benign' is not known",
        "row 4, ki67_percent: '130' is out of range",
        "row 4, specimen_id: '1' has two rows of the same pathologist",
        "row 5, pathologist: is blank",
        "row 6, who_grade: '2' stands in a non-tumor row",
        "row 6, ki67_percent: '4' stands in a non-tumor row",
        "row 7, ki67_counted: is blank; ki67_positive and ki67_counted",
        "row 8, ki67_counted: '5' is too few beside 7 positive",
        "row 9, ki67_percent: '40' contradicts 30 of 100 nuclei, which are 30.0 %",
        "row 10, ki67_counted: '0' is too few beside 0 positive",
        "row 11, ki67_counted: 'many' is no count",
    }
    for sentence in sentences:
        assert sum(sentence in text for text in found) == 1, (sentence, found)
    assert len(found) == len(sentences)


def test_a_rounded_percentage_agrees_with_its_counts(tmp_path):
    table = read_pathology(written(tmp_path, HEADER + "1,a,tumor,,,12,,62,500,\n"))
    assert table["ki67_percent"].iloc[0] == 12


def test_missing_columns_are_named(tmp_path):
    found = problems_of(tmp_path, "specimen_id,who_grade\n1,2\n")
    assert found == ["pathologist: is a required column that is missing"]
