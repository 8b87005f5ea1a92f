import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score
from statsmodels.stats.inter_rater import aggregate_raters
from statsmodels.stats.inter_rater import fleiss_kappa as reference_kappa
from tests.report.studies import predictions, readings

from glioscope.cohort import StudyInfo
from glioscope.report import StudyInputs
from glioscope.report._analysis import analyse
from glioscope.report._evaluate import _agreement
from glioscope.report._reader_tables import error_list_table, pathologist_agreement, reader_tables
from glioscope.report._tables import table_csv, table_html, table_latex

TABLE = predictions(tasks=("tumor",), models=("fl-finetune",))
READ = readings(TABLE)


@pytest.fixture(scope="module")
def analysis():
    return analyse(TABLE, readings=READ, protocol="both")


def tables_of(analysis, protocol="strict", info=None):
    of = analysis.by_protocol[protocol]["tumor"]
    made = reader_tables(protocol, of.readers, of.result.methods[of.primary], info or StudyInfo())
    return {table.name.removesuffix(f"-{protocol}"): table for table in made}


def records(table):
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


def test_every_reader_stands_with_experience_and_counts(analysis):
    info = StudyInfo.model_validate({"readers": [{"reader": "B", "role": "neurosurgeon", "experience_years": 7}]})
    rows = records(tables_of(analysis, info=info)["table-s2-readers"])
    assert [(row["Reader"], row["Images"]) for row in rows] == [
        (reader, images) for images in ("FL", "WL") for reader in ("A", "B", "C", "mean")
    ]
    assert [(row["Role"], row["Years"]) for row in rows[:4]] == [
        (None, None),
        ("neurosurgeon", 7),
        (None, None),
        ("all readers", None),
    ]
    truth = TABLE.query("split == 'test'").set_index("specimen_id")["y_true"]
    for row in rows:
        own = READ[READ["modality"] == row["Images"].lower()]
        own = own if row["Reader"] == "mean" else own[own["reader"] == row["Reader"]]
        true = own["specimen_id"].map(truth) == 1
        assert row["Specimens"] == 150
        assert row["Sensitivity"].value == pytest.approx(own["reading"][true].mean())
        assert row["Specificity"].value == pytest.approx(1 - own["reading"][~true].mean())


def test_errors_corrected_and_introduced_balance(analysis):
    for protocol, test in (("strict", "Obuchowski"), ("paper", "exact")):
        table = tables_of(analysis, protocol)["table-s4-errors"]
        assert test in table.notes[0]
        for row in records(table):
            assert row["Corrected"] + row["Both wrong"] == row["Reader's errors"]
            assert row["Share corrected"] == pytest.approx(row["Corrected"] / row["Reader's errors"])
            gain = (row["Corrected"] - row["Introduced"]) / row["Specimens"]
            assert row["Accuracy, model - reader"].value == pytest.approx(gain)


def test_the_multi_reader_table_has_all_three_forms_and_only_under_strict(analysis):
    rows = records(tables_of(analysis)["table-multi-reader"])
    forms = [row["Form"] for row in rows]
    assert [forms.count(form) for form in ("standalone", "factorial", "single reader")] == [8, 4, 12]
    for row in rows:
        gap = row["First"].value - row["Second"].value
        assert row["First - second"].value == pytest.approx(gap)
        assert 0 <= row["P"].value <= 1
    assert "table-multi-reader" not in tables_of(analysis, "paper")


def test_a_single_reader_has_neither_kappa_nor_share_of_no_errors():
    read = READ[READ["reader"] == "A"].merge(TABLE.query("split == 'test'")[["specimen_id", "y_true"]])
    perfect = read.assign(reading=read["y_true"].astype(int)).drop(columns="y_true")
    made = tables_of(analyse(TABLE, readings=perfect))
    assert "table-reader-agreement" not in made
    rows = records(made["table-s4-errors"])
    assert [(row["Reader's errors"], row["Share corrected"]) for row in rows] == [(0, None), (0, None)]


def test_all_tables_print(analysis):
    of = analysis.headline["tumor"]
    listed = error_list_table(of.readers, of.result.methods[of.primary])
    expected = sum(e.table.corrected + e.table.introduced for e in of.readers.errors)
    assert len(listed.rows) == expected > 0
    for table in (*tables_of(analysis).values(), *tables_of(analysis, "paper").values(), listed):
        for form in (table_csv, table_latex, table_html):
            assert form(table)


def pathology(n=120, raters=("X", "Y", "Z"), seed=0):
    rng = np.random.default_rng(seed)
    grade = rng.integers(1, 5, n)
    parts = [
        pd.DataFrame(
            {
                "specimen_id": [f"s{i:03d}" for i in range(n)],
                "pathologist": name,
                "who_grade": np.where(rng.random(n) < 0.8, grade, rng.integers(1, 5, n)).astype(str),
            }
        )
        for name in raters
    ]
    table = pd.concat(parts, ignore_index=True)
    table.loc[rng.random(len(table)) < 0.1, "who_grade"] = ""
    return table


def test_kappas_of_pathologists_are_those_of_the_references_on_what_they_share():
    read = pathology()
    table, pairs, levels = pathologist_agreement(read, {})
    wide = read[read["who_grade"] != ""].pivot(index="specimen_id", columns="pathologist", values="who_grade")
    whole = wide.dropna()
    rows = {(row["Pathologists"], row["Kappa"]): row for row in records(table)}
    overall = rows["all pathologists", "Fleiss"]
    assert overall["Specimens"] == len(whole) < 120
    assert overall["Value"].value == pytest.approx(reference_kappa(aggregate_raters(whole.astype(int).to_numpy())[0]))
    for pair, (first, second) in zip(pairs, (("X", "Y"), ("X", "Z"), ("Y", "Z")), strict=True):
        both = wide[[first, second]].dropna()
        for kind, weights in (("Cohen", None), ("Cohen, quadratic weights", "quadratic")):
            found = rows[f"{first} and {second}", kind]
            assert found["Specimens"] == len(both) > len(whole)
            assert found["Value"].value == pytest.approx(cohen_kappa_score(both[first], both[second], weights=weights))
        assert pair.counts == tuple(map(tuple, pd.crosstab(both[first], both[second]).to_numpy().tolist()))
    assert levels == ("I", "II", "III", "IV")


def test_intervals_of_kappa_are_by_patient_where_all_are_known():
    read = pathology()
    patients = {f"s{i:03d}": f"p{i // 20}" for i in range(120)}
    by_patient, by_specimen = (pathologist_agreement(read, known)[0].rows[0][3] for known in (patients, {}))
    assert by_patient.n_groups == 6
    assert by_specimen.n_groups == 0
    assert by_patient.value == by_specimen.value
    patients.pop("s000")
    read = read[read["who_grade"] != ""]
    assert pathologist_agreement(read, dict.fromkeys(patients, "one"))[0].rows[0][3].n_groups == 0


@pytest.mark.parametrize(
    "read",
    [
        pathology(raters=("X",)),
        pathology().assign(who_grade=""),
        pathology(raters=("X", "Y"))[lambda t: (t["pathologist"] == "X") == (t["specimen_id"] < "s060")],
        pathology(n=1)[:0],
    ],
    ids=["one pathologist", "no grade", "nothing in common", "empty"],
)
def test_there_is_no_agreement_where_no_two_graded_the_same(read):
    assert pathologist_agreement(read, {}) is None


def test_pathologists_who_all_say_the_same_print():
    table, pairs, _ = pathologist_agreement(pathology().assign(who_grade="4"), {})
    assert table_csv(table)
    assert pairs[0].counts[3][3] == 120


def test_six_pathologists_stand_in_the_table_and_as_many_pairs_as_it_holds_in_the_figure():
    section = _agreement(StudyInputs(TABLE, pathology=pathology(raters="UVWXYZ")))
    assert len(section.tables[0].rows) == 1 + 2 * 15
    assert len(section.figures) == 1
