"""Settings files: one sentence with file, field and what would be right."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from glioscope.core import InputError, read_toml


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Cheap(Strict):
    backend: Literal["cheap"]
    exposure_ms: Annotated[float, Field(gt=0)] = 10.0


class Dear(Strict):
    backend: Literal["dear"]
    cooling_c: float


class Unit(Strict):
    name: str
    fl: Annotated[Cheap | Dear, Field(discriminator="backend")]
    lamps: tuple[Cheap, ...] = ()


def said(tmp_path: Path, text: str) -> str:
    path = tmp_path / "unit.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as caught:
        read_toml(path, Unit)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value).removeprefix(f"{path}: ")


def test_a_right_file_becomes_the_model(tmp_path: Path) -> None:
    path = tmp_path / "unit.toml"
    path.write_text('name = "a"\n[fl]\nbackend = "dear"\ncooling_c = -85\n', encoding="utf-8")
    assert read_toml(path, Unit) == Unit(name="a", fl=Dear(backend="dear", cooling_c=-85))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ('nam = "a"\n[fl]\nbackend = "cheap"', "name: is missing"),
        ('name = "a"\nfoo = 1\n[fl]\nbackend = "cheap"', "'foo' is not known; give name, fl, lamps"),
        (
            'name = "a"\n[fl]\nbackend = "cheap"\nexposre_ms = 3',
            "'fl.exposre_ms' is not known; did you mean 'exposure_ms'?",
        ),
        ('name = "a"\n[fl]\nbackend = "dear"', "fl.cooling_c: is missing"),
        ('name = "a"\n[fl]\nbackend = "cheep"', "fl.backend: 'cheep' is not known; did you mean 'cheap'?"),
        ('name = "a"\n[fl]\nexposure_ms = 3', "fl: backend is missing"),
        (
            'name = "a"\n[fl]\nbackend = "cheap"\nexposure_ms = -3',
            "fl.exposure_ms: input should be greater than 0, not -3",
        ),
        ('name = "a"\nfl = 3', "fl: input should be a table of fields, not 3"),
        (
            'name = "a"\n[fl]\nbackend = "cheap"\n[[lamps]]\nbackend = "cheap"\n[[lamps]]\nbackend = "cheap"\nx = 1',
            "'lamps.2.x' is not known; give backend, exposure_ms",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, sentence: str) -> None:
    assert said(tmp_path, text) == sentence


def test_no_toml_and_no_file(tmp_path: Path) -> None:
    assert said(tmp_path, "name = ").startswith("is not a TOML file: ")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_toml(tmp_path / "none.toml", Unit)
