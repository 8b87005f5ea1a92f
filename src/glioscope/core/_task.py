"""What is predicted: a label column and which of its values are positive, negative, or in which order."""

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class Task(BaseModel):
    """A prediction task (contract 2).

    Exactly one of three kinds: *binary* (`positive` and `negative` values), *cut-off* (a numeric column, positive at
    or above `cut_off`), or *ordinal* (`levels` from lowest to highest). A row whose label is blank or is none of the
    named values is masked: never imputed, never negative.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)]
    """Identifier, used in file names and tables."""
    label: str
    """Manifest column that holds the label; `grade_class` is derived from grade, edition, diagnosis and IDH."""
    positive: tuple[str, ...] = ()
    negative: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    cut_off: float | None = None
    level_column: str | None = None
    """For a cut-off task: a column of `<C` / `>=C` levels that stands in where the number is blank (C = cut_off)."""
    subset: dict[str, tuple[str, ...]] = {}
    """Column -> accepted values; rows outside are masked (for example {"pathology": ("tumor",)})."""
    positive_name: str = "positive"
    """How a person reads a positive answer."""
    negative_name: str = "negative"

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        binary = bool(self.positive) and bool(self.negative)
        kinds = [binary, self.cut_off is not None, len(self.levels) >= 2]
        if sum(kinds) != 1 or (not binary and (self.positive or self.negative)):
            raise ValueError(
                f"task {self.name!r} needs exactly one of: positive and negative values; cut_off; two or more levels"
            )
        if set(self.positive) & set(self.negative):
            raise ValueError(f"task {self.name!r}: a value is both positive and negative")
        if len(set(self.levels)) != len(self.levels):
            raise ValueError(f"task {self.name!r}: a level stands twice")
        return self

    @property
    def ordinal(self) -> bool:
        """Whether the task has ordered levels instead of two classes."""
        return bool(self.levels)

    @property
    def n_outputs(self) -> int:
        """Number of logits: 1 for two classes, K-1 cumulative ones ("level > k") for K levels."""
        return len(self.levels) - 1 if self.levels else 1

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes from lowest to highest."""
        return self.levels or (self.negative_name, self.positive_name)


_TUMOR_ONLY = {"pathology": ("tumor",)}

BUILT_IN_TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            name="tumor",
            label="pathology",
            positive=("tumor",),
            negative=("non-tumor",),
            positive_name="tumour",
            negative_name="non-tumour",
        ),
        Task(
            name="grade",
            label="grade_class",
            positive=("GBM",),
            negative=("DLGG",),
            subset=_TUMOR_ONLY,
            positive_name="GBM",
            negative_name="DLGG",
        ),
        Task(
            name="ki67",
            label="ki67_percent",
            cut_off=10.0,
            level_column="ki67_level",
            subset=_TUMOR_ONLY,
            positive_name="Ki-67 >= 10 %",
            negative_name="Ki-67 < 10 %",
        ),
        Task(name="grade4", label="who_grade", levels=("1", "2", "3", "4"), subset=_TUMOR_ONLY),
        Task(
            name="idh",
            label="idh",
            positive=("mutant",),
            negative=("wildtype",),
            subset=_TUMOR_ONLY,
            positive_name="IDH-mutant",
            negative_name="IDH-wildtype",
        ),
        Task(
            name="codel",
            label="codel_1p19q",
            positive=("yes",),
            negative=("no",),
            subset=_TUMOR_ONLY,
            positive_name="1p/19q co-deleted",
            negative_name="1p/19q intact",
        ),
    )
}
