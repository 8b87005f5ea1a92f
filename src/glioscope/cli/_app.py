"""The application that commands register with, and the options that several of them share."""

from pathlib import Path
from typing import Annotated

import typer

from glioscope import RESEARCH_USE, __version__
from glioscope._terminal import out

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help=f"Specimen diagnosis from near-infrared fluorescence (FL) and white light (WL). {RESEARCH_USE}",
    pretty_exceptions_enable=False,
)
ManifestArgument = Annotated[Path, typer.Argument(help="Manifest: CSV, XLSX or Parquet (docs/manifest.md).")]
TaskOption = Annotated[
    list[str] | None, typer.Option("--task", help="tumor, grade, ki67, grade4, idh, codel, or one of --task-file.")
]
TaskFileOption = Annotated[Path | None, typer.Option("--task-file", help="TOML file with tasks of your own.")]
CutOffOption = Annotated[float, typer.Option("--ki67-cut-off", help="Ki-67 is high at or above this, in percent.")]


@app.callback(invoke_without_command=True)
def _root(version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False) -> None:
    if version:
        out.print(f"glioscope {__version__}")
        raise typer.Exit
