"""How a suite is run on this machine."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Provider = Literal["cpu", "cuda", "tensorrt", "openvino"]
PROVIDERS: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}


class RuntimeSettings(BaseModel):
    """Threads, provider, and whom to trust.

    One specimen at a time answers soonest with `threads` = cores and one worker; an archive is done soonest with one
    thread and `workers` = cores.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    threads: Annotated[int, Field(ge=1, le=256)] = 2
    """Of each network."""
    workers: Annotated[int, Field(ge=1, le=256)] = 1
    """Batches that `diagnose_many` has under way at a time."""
    batch: Annotated[int, Field(ge=1, le=256)] = 8
    """Specimens that a worker of `diagnose_many` takes at a time."""
    parallel: bool = True
    """Whether the tasks after the first are asked at the same time, each with its share of the threads."""
    provider: Provider = "cpu"
    field_mm: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    """Width and height of what is cut out of full frames round a specimen, for a suite that was trained on images cut
    so; None: outline and margin, as in training on full frames."""
    trusted_keys: Path | None = None
    """A file or folder of public keys (PEM): only suites signed with one of them are loaded. None: any suite."""
