import pytest
from pydantic import ValidationError

from glioscope.core import BUILT_IN_TASKS, Task


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "exactly one of"),
        ({"positive": ("a",)}, "exactly one of"),
        ({"negative": ("a",)}, "exactly one of"),
        ({"levels": ("1",)}, "exactly one of"),
        ({"positive": ("a",), "negative": ("b",), "cut_off": 1.0}, "exactly one of"),
        ({"positive": ("a",), "levels": ("1", "2")}, "exactly one of"),
        ({"cut_off": 1.0, "levels": ("1", "2")}, "exactly one of"),
        ({"positive": ("a", "b"), "negative": ("b",)}, "both positive and negative"),
        ({"levels": ("1", "2", "1")}, "stands twice"),
        ({"cut_off": 1.0, "colour": "red"}, "colour"),
        ({"cut_off": 1.0, "name": "../x"}, "name"),
        ({"cut_off": 1.0, "name": "Grade"}, "name"),
        ({"cut_off": "many"}, "cut_off"),
    ],
)
def test_refused(fields, words):
    with pytest.raises(ValidationError, match=words):
        Task.model_validate({"name": "x", "label": "l", **fields})


def test_outputs_and_class_names():
    binary = Task(name="x", label="l", positive=("y",), negative=("n",), positive_name="Y", negative_name="N")
    assert (binary.n_outputs, binary.ordinal, binary.class_names) == (1, False, ("N", "Y"))
    ordinal = Task(name="x", label="l", levels=("1", "2", "3"))
    assert (ordinal.n_outputs, ordinal.ordinal, ordinal.class_names) == (2, True, ("1", "2", "3"))


def test_built_in_tasks_survive_json_and_cannot_be_changed():
    assert list(BUILT_IN_TASKS) == ["tumor", "grade", "ki67", "grade4", "idh", "codel"]
    for name, task in BUILT_IN_TASKS.items():
        assert task.name == name
        assert Task.model_validate_json(task.model_dump_json()) == task
        assert task.subset == ({} if name == "tumor" else {"pathology": ("tumor",)})
        with pytest.raises(ValidationError):
            task.name = "other"
