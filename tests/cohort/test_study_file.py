import re
from datetime import date
from pathlib import Path

import pytest

from glioscope.cohort._study import StudyInfo, read_study
from glioscope.core import InputError
from glioscope.sim import simulate

DOCUMENT = Path(__file__).parents[2] / "docs" / "study-files.md"


def written(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def documented(number):
    return re.findall(r"```toml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)[number]


def test_the_papers_own_study_is_the_documented_example(tmp_path):
    study = read_study(written(tmp_path, documented(0)))
    assert study.enrolment is not None
    assert study.enrolment.start == date(2019, 3, 22)
    assert (study.registration.number, study.registration.retrospective) == ("ChiCTR2000029402", True)
    assert (study.icg.dose_mg_per_kg, study.icg.hours_before_anaesthesia) == (1, 48)
    assert (study.imaging.laser_wavelength_nm, study.imaging.irradiance_mw_cm2) == (808, 50)
    assert len(study.eligibility.inclusion) == 4
    assert [reader.reader for reader in study.readers] == ["ZXG", "SYH", "JSC"]
    assert (study.flow.enrolled, study.flow.specimens, study.flow.approached) == (23, 1874, None)
    assert study.comparisons.families == ()


def test_the_documented_families_of_tests_are_read(tmp_path):
    study = read_study(written(tmp_path, documented(1)))
    assert study.comparisons.primary == "fl-finetune"
    (family,) = study.comparisons.families
    assert [(test.a, test.b, test.metric) for test in family.tests] == [
        ("fl-finetune", "wl-finetune", "auc"),
        ("fl-finetune", "wl-finetune", "specificity"),
    ]
    assert sum(exclusion.n for exclusion in study.flow.excluded) == 5


def test_both_documented_examples_together_show_every_field():
    shown = documented(0) + documented(1)
    for name, field in StudyInfo.model_fields.items():
        assert re.search(rf"\b{name}\b", shown), name
        record = type(field.default)
        for inner in getattr(record, "model_fields", {}):
            if inner not in UNSHOWN:
                assert re.search(rf"\b{inner}\b", shown), f"{name}.{inner}"


UNSHOWN = {
    *("exclusion", "reference", "statement", "protocol", "intended_users", "rationale", "assessors_knew", "interval"),
    *("wl_camera", "specificity", "deidentification", "fairness", "patient_involvement", "adverse_events"),
}


def test_an_empty_file_is_a_study_of_which_nothing_is_known(tmp_path):
    assert read_study(written(tmp_path, "")) == StudyInfo()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('titel = "a"', "'titel' is not known; did you mean 'title'?"),
        ("[icg]\ndose = 1", "'icg.dose' is not known; give product, dose_mg_per_kg, hours_before_anaesthesia"),
        ('[[readers]]\nreader = "a"\nexperience = 3', "'readers.1.experience' is not known; did you mean 'exp"),
        ("icg.dose_mg_per_kg = -1", "icg.dose_mg_per_kg: input should be greater than 0, not -1"),
        ('icg.dose_mg_per_kg = "1"', "icg.dose_mg_per_kg: input should be a valid number, not '1'"),
        ("sample_size.icc = nan", "sample_size.icc: input should be a finite number, not nan"),
        ("flow.enrolled = true", "flow.enrolled: input should be a valid integer, not True"),
        ("flow = { approached = 10, enrolled = 9 }", "flow: approached 10 less excluded 0 is not enrolled 9"),
        ("flow = { specimens = 8, specimens_analysed = 9 }", "specimens 8 less specimens_excluded 0 is not"),
        ("enrolment = { start = 2020-01-02, end = 2020-01-01 }", "enrolment: end 2020-01-01 is before start"),
        ('design = "both"', "design: input should be 'prospective' or 'retrospective', not 'both'"),
        ('title = " "', "title: string should have at least 1 character"),
        ('sites = "Beijing"', "sites: input should be a list, not 'Beijing'"),
        ("ethics = 3", "ethics: input should be a table of fields, not 3"),
        ('[[readers]]\nrole = "a"', "readers.1.reader: is missing"),
        ('[[readers]]\nreader = "a"\n[[readers]]\nreader = "a"', "reader 'a' stands twice"),
        ('comparisons.families = [{ name = "p", tests = [] }]', "families.1.tests: needs at least one entry"),
        ("title = [", "is not a TOML file"),
    ],
)
def test_errors_name_the_file_and_the_field(tmp_path, text, sentence):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_study(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("tests", "sentence"),
    [
        ([("tumor", "fl", "fl", "auc")], "tests.1: a test of 'fl' against itself"),
        ([("tumor", "fl", "wl", "AUC")], "tests.1.metric: input should be 'auc'"),
        ([("tumor", "fl", "wl", "auc")] * 2, "family 'p': test 'tumor fl against wl in auc' stands twice"),
    ],
)
def test_families_that_cannot_be_meant_are_refused(tmp_path, tests, sentence):
    rows = ", ".join(
        f'{{ task = "{task}", a = "{a}", b = "{b}", metric = "{metric}" }}' for task, a, b, metric in tests
    )
    with pytest.raises(InputError) as caught:
        read_study(written(tmp_path, f'comparisons.families = [{{ name = "p", tests = [{rows}] }}]'))
    assert sentence in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match=r"none\.toml: cannot be read"):
        read_study(tmp_path / "none.toml")


def test_a_simulated_study_is_read_and_says_that_it_is_simulated(tmp_path):
    cohort = simulate(tmp_path / "c", n_patients=2, n_specimens=20, n_jobs=1)
    study = read_study(cohort.study)
    assert study.data_kind == "simulated"
    assert study.ethics.committee is None
    assert (study.flow.enrolled, study.flow.specimens_analysed) == (2, 20)


def test_a_test_of_two_families_is_refused_even_with_its_methods_swapped(tmp_path):
    one = '[[comparisons.families]]\nname = "{}"\ntests = [{{ task = "tumor", a = "{}", b = "{}", metric = "auc" }}]\n'
    path = tmp_path / "study.toml"
    path.write_text(one.format("p", "fl", "wl") + one.format("q", "wl", "fl"))
    with pytest.raises(InputError, match="over all families, test 'tumor fl against wl in auc' stands twice"):
        read_study(path)
