"""Starts and steers the process of a SIMULATED laser head (`glioscope.laser._simulated_head`)."""

import contextlib
import json
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any

from glioscope.core import DeviceError
from glioscope.laser._simulated_head import MODEL, HeadWorld

from ._laser_light import LightWatch

__all__ = ["MODEL", "HeadWorld", "SimulatedHead"]


class SimulatedHead:
    """Starts and steers the process of a simulated head; a context manager, or `stage` and `unstage`.

    Attributes
    ----------
    port : URL for the keeper's `port`; empty before `stage`.
    light : `LightWatch` of the head's light; None before `stage`. It can be read after `unstage`.
    """

    def __init__(self, name: str = "laser head", world: HeadWorld | None = None) -> None:
        self._name = name
        self._world = world or HeadWorld()
        self._child: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self.port = ""
        self.light: LightWatch | None = None

    def stage(self) -> None:
        """Start the process; dark. Raises DeviceError."""
        if self._child is not None:
            return
        self._folder = tempfile.TemporaryDirectory(prefix="glioscope-light-", ignore_cleanup_errors=True)
        path = Path(self._folder.name) / "light"
        words = [sys.executable, "-m", "glioscope.laser._simulated_head", str(path)]
        self._child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.port = f"socket://127.0.0.1:{self._read()['port']}"
        self.light = LightWatch(path)
        self.change(**asdict(self._world))

    def change(self, **words: bool | float) -> float:
        """Do something to the head, by the names of `HeadWorld`; gives the monotonic time from which it holds."""
        if self._child is None or self._child.stdin is None:
            raise DeviceError(self._name, "the simulated laser head is not staged")
        with self._lock:
            try:
                self._child.stdin.write(json.dumps(words) + "\n")
                self._child.stdin.flush()
            except OSError as error:
                raise DeviceError(self._name, f"the simulated laser head has ended: {error}") from error
            return float(self._read()["since_s"])

    def unstage(self) -> None:
        """End the process, dark; twice does no harm."""
        child, self._child = self._child, None
        self.port = ""
        if child is None:
            return
        with contextlib.suppress(OSError):
            child.communicate(timeout=5)
        if self._folder is not None:
            self._folder.cleanup()

    def _read(self) -> dict[str, Any]:
        line = self._child.stdout.readline() if self._child and self._child.stdout else ""
        if not line:
            raise DeviceError(self._name, "the simulated laser head has ended")
        return dict(json.loads(line))

    def __enter__(self) -> "SimulatedHead":
        self.stage()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unstage()
