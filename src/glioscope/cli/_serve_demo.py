"""What `serve --demo` serves: a simulated unit over a plate that can be laid anew. Everything is SIMULATED."""

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from glioscope.devices import DEMO, ImagingUnit, make_unit, read_target
from glioscope.imaging import Registration, Residual, Target
from glioscope.sim import SimSettings, lay_plate, make_sources, render_phantom

if TYPE_CHECKING:
    from collections.abc import Sequence

    from glioscope.sim import FLSource, WLSource

PASSWORD = "glioscope-demo"
"""Of all accounts of the demo, which is refused on any address but loopback."""
INTEGRATED = 5
"""Frames of 20 ms make the 100 ms with which the demo's suite was trained."""
FIELD_MM = (16.0, 12.8)
"""The images of the simulated cohort were cut so."""
_FL_SIZE, _WL_SIZE = (640, 512), (1280, 720)
_SCALE = 0.8
"""Of the simulated cameras: a pixel of WL in pixels of FL."""


class DemoPlate:
    """The plate under the simulated cameras (`console.Simulator`)."""

    def __init__(self, seed: int = 0) -> None:
        self.settings = SimSettings()
        camera = self.settings.infrared
        # Adding frames up adds their read noise too: the sum has that of one long exposure.
        quiet = camera.model_copy(update={"read_noise": camera.read_noise / INTEGRATED**0.5})
        self._seen = self.settings.model_copy(update={"infrared": quiet})
        self._seed, self._laid = seed, 0
        self._lock = threading.Lock()
        self._fl: FLSource | None = None

    def sources(self) -> "tuple[FLSource, WLSource]":
        """What the cameras look at; asked once."""
        fl, wl = make_sources(self._seed, self._seen, n_specimens=1)
        self._fl = fl
        return fl, wl

    def next_specimen(self) -> None:
        """Lay another specimen, alone."""
        self.tray(1)

    def tray(self, n: int) -> None:
        """Lay `n` specimens, at most 12."""
        with self._lock:
            self._laid += 1
            rng = np.random.default_rng([self._seed, self._laid])
        self._show(lay_plate(n, self.settings, rng))

    def empty(self) -> None:
        """Take everything away."""
        self._show(None)

    def truth(self) -> str:
        """What lies there, as the simulator knows it."""
        specimens: Sequence[Any] = self._fl.scene.plate.specimens if self._fl is not None else ()
        return ", ".join("tumour" if specimen.tumor else "non-tumour" for specimen in specimens)

    def phantom_pictures(self) -> tuple[Any, Any, float]:
        """FL, WL and the exposure of a fluorescence target under the same cameras."""
        with self._lock:
            self._laid += 1
            rng = np.random.default_rng([self._seed, self._laid])
        pair = render_phantom(read_target("glioscope-cast"), rng)
        return pair.fl, pair.wl, pair.exposure_ms

    def _show(self, plate: Any) -> None:
        if self._fl is not None:
            self._fl.scene.show(plate)


def demo_unit(plate: DemoPlate) -> ImagingUnit:
    """The simulated unit; nothing staged yet."""
    return make_unit(DEMO, plate.sources)


def demo_registration() -> Registration:
    """The two simulated cameras stand on one axis: only the scale differs."""
    shift = [(fl - 1) / 2 - _SCALE * (wl - 1) / 2 for fl, wl in zip(_FL_SIZE, _WL_SIZE, strict=True)]
    return Registration(
        fl_size=_FL_SIZE,
        wl_size=_WL_SIZE,
        homography=((_SCALE, 0.0, shift[0]), (0.0, _SCALE, shift[1]), (0.0, 0.0, 1.0)),
        fl_distortion=0.0,
        wl_distortion=0.0,
        residual=Residual(0.0, 0.0, 0),
        target=Target("circles", 4, 11, 5.0),
        mm_per_px=0.1,
        created="2020-01-01T00:00:00+00:00",
    )
