import pytest

from glioscope.cohort import load_tasks, resolve_tasks
from glioscope.core import InputError

GOOD = """
[[task]]
name = "necrosis"
label = "necrosis"
positive = ["yes"]
negative = ["no"]
subset = { pathology = ["tumor"] }

[tasks.cellularity]
label = "cells"
levels = ["low", "mid", "high"]
"""


def test_both_ways_of_writing(tmp_path):
    path = tmp_path / "tasks.toml"
    path.write_text(GOOD)
    tasks = load_tasks(path)
    assert list(tasks) == ["necrosis", "cellularity"]
    assert tasks["necrosis"].subset == {"pathology": ("tumor",)}
    assert tasks["cellularity"].n_outputs == 2
    assert list(resolve_tasks(["cellularity", "tumor", "cellularity"], path)) == ["cellularity", "tumor"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "has no task"),
        ("[[task", "not a TOML file"),
        ("[other]\na = 1", "'other' is not known"),
        ("task = 3", r"give \[\[task\]\]"),
        ("[tasks]\na = 3", "'a' is not a table"),
        ('[[task]]\nname = "a"', "task a: label"),
        ('[[task]]\nname = "a"\nlabel = "a"', "exactly one of"),
        ('[[task]]\nname = "a"\nlabel = "a"\ncut_off = 1\ncolour = 2', "task a: colour"),
        ('[[task]]\nname = "A b"\nlabel = "a"\ncut_off = 1', "task A b: name"),
        ('[[task]]\nname = "grade"\nlabel = "a"\ncut_off = 1', "built in"),
        ('[[task]]\nname = "a"\nlabel = "a"\ncut_off = 1\n[tasks.a]\nlabel = "a"\ncut_off = 2', "stands twice"),
    ],
)
def test_errors_name_the_file_and_the_field(tmp_path, text, sentence):
    path = tmp_path / "tasks.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=sentence) as caught:
        load_tasks(path)
    assert str(path) in str(caught.value)


def test_unknown_names_and_cut_offs(tmp_path):
    with pytest.raises(InputError, match="did you mean 'grade'"):
        resolve_tasks(["grades"])
    with pytest.raises(InputError, match="no task was named"):
        resolve_tasks([])
    with pytest.raises(InputError, match="140 % is out of range"):
        resolve_tasks(["ki67"], ki67_cut_off=140)
    with pytest.raises(InputError, match="cannot be read"):
        load_tasks(tmp_path / "none.toml")
