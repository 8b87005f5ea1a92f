import pytest
from tests.report.studies import decided, predictions, readings

from glioscope.cohort import StudyInfo
from glioscope.report._analysis import analyse
from glioscope.report._document import Section
from glioscope.report._facts import run_facts
from glioscope.report._methods_text import methods_text
from glioscope.report._reader_tables import reader_tables
from glioscope.report._study_document import build_document
from glioscope.report._tables import check_names

TABLE = decided(predictions(), indeterminate=0.1)
READ = readings(TABLE)


def document_of(table, **options):
    analysis = analyse(table, **options)
    readers = {
        name: reader_tables(name, of.readers, of.result.methods[of.primary], StudyInfo())
        for name, tasks in analysis.by_protocol.items()
        for of in tasks.values()
        if of.readers
    }
    return build_document(
        analysis,
        title="A study",
        data_kind="simulated",
        sources={"Predictions": "p.csv"},
        cohort=Section("cohort", "Who was studied", ("Everyone.",)),
        readers=readers,
        agreement=None,
        maps=None,
        facts=run_facts(analysis, table, (), pathologists=False),
    )


@pytest.fixture(scope="module")
def document():
    return document_of(TABLE, readings=READ, protocol="both")


def anchors(document):
    return [section.anchor for section in document.sections]


def test_sections_stand_in_the_order_of_a_paper(document):
    found = anchors(document)
    order = ["tumor", "grade-ki67", "readers", "cascade", "thresholds", "calibration", "published", "protocol-paper"]
    assert [name for name in found if name in order] == order
    assert found[-3:] == ["cohort", "methods", "checklists"]
    assert len(set(found)) == len(found)


def test_tables_and_figures_have_names_of_their_own(document):
    check_names("table", [table.name for section in document.sections for table in section.tables])
    check_names("figure", [figure.name for section in document.sections for figure in section.figures])


def test_the_head_says_what_was_analysed_and_the_warnings_come_along(document):
    facts = dict(document.facts)
    assert (facts["Headline protocol"], facts["Protocols"]) == ("strict", "strict, paper")
    known = TABLE.query("split == 'test' and model == 'fl-finetune' and y_true >= 0").groupby("task").size()
    assert facts["Test specimens / patients"].startswith(f"Tumour 150 / 7, Grade {known['grade']} / 7")
    assert facts["Predictions"] == "p.csv"
    assert "tumor, grade, ki67: 7 test patients, fewer than 10" in document.warnings
    assert document.data_kind == "simulated"


def test_sections_without_content_are_left_out():
    found = anchors(document_of(predictions(n_tune=0)))
    assert not {"readers", "cascade", "thresholds", "protocol-paper", "agreement"} & set(found)
    other = anchors(document_of(predictions(tasks=("mine",))))
    assert "other" in other
    assert "published" not in other


def test_methods_say_what_was_done_and_nothing_else():
    text = "\n".join(methods_text(analyse(TABLE, readings=READ, protocol="both", seed=5)))
    for part in (
        "Strict protocol",
        "Paper protocol",
        "3 readers read FL images of 150 specimens",
        "seed 5",
        "isotonic",
    ):
        assert part in text
    assert "sensitivity>0.9:youden on test" in text
    bare = "\n".join(methods_text(analyse(predictions(n_tune=0))))
    for part in ("Paper protocol", "Readers.", "Calibrators"):
        assert part not in bare
    assert "none was known, so only AUCs are given" in bare


def test_checklists_answer_no_more_than_they_know(document):
    (section,) = [section for section in document.sections if section.anchor == "checklists"]
    assert section.tables
    for table in section.tables:
        answered = sum(row[-1] not in ("", None) and "complete" not in str(row[-1]) for row in table.rows)
        assert 0 < answered < len(table.rows)
