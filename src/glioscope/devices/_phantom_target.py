"""What a fluorescence target looks like: its regions in millimetres, read from TOML."""

import hashlib
import json
from datetime import date
from importlib import resources
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from glioscope.core import InputError, read_toml

Points = NDArray[np.float64]
_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Length = Annotated[float, Field(gt=0, lt=1000, allow_inf_nan=False)]
_NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Place = tuple[_Finite, _Finite]

MIN_EDGE_DEG, MAX_EDGE_DEG = 8.0, 16.0
"""The slant that the edge needs so that it is still slanted in a frame of a target that lies up to 6 degrees turned."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Rectangle(_Record):
    """A rectangle along the plate's sides."""

    centre_mm: _Place
    size_mm: tuple[_Length, _Length]


class Edge(_Record):
    """A bright square on the dark plate, turned by `angle_deg`: four slanted edges."""

    centre_mm: _Place
    side_mm: _Length
    angle_deg: Annotated[float, Field(ge=MIN_EDGE_DEG, le=MAX_EDGE_DEG)]


class Well(_Record):
    """A disc of known concentration (equivalent concentration of ICG in nmol/l, or whatever the maker states)."""

    centre_mm: _Place
    diameter_mm: _Length
    concentration_nm: _NotNegative


class DepthWell(Well):
    """A well under a scattering layer of `depth_mm`."""

    depth_mm: _NotNegative


class Fiducials(_Record):
    """Discs that fluoresce and stand out in white light; they must look different when turned or seen in a mirror."""

    diameter_mm: _Length
    white_light: Literal["bright", "dark"]
    """Brighter or darker than the plate around them, to the colour camera."""
    places_mm: Annotated[tuple[_Place, ...], Field(min_length=5, max_length=40)]


class PhantomTarget(_Record):
    """A fluorescence target. Places are in mm from the middle of the plate: x to the right, y down, upright.

    The plate itself is dark in fluorescence; `fields`, `edge` and fiducials are of one material. AAPM Task Group
    Report 311 (Pogue et al., Med. Phys. 51, 740-771, 2024) lists what such a target should hold.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,60}$")]
    date: date
    """When this very target was made or last certified: dyes fade, so that a target has an age."""
    description: str = ""
    size_mm: tuple[_Length, _Length]
    field_concentration_nm: _NotNegative
    """Of fields, edge and fiducials; only the simulator uses it."""
    fiducials: Fiducials
    fields: Annotated[tuple[Rectangle, ...], Field(min_length=6)]
    """Places of the uniform field, spread over the plate."""
    dark: Rectangle
    """Nothing fluoresces here."""
    edge: Edge
    wells: tuple[Well, ...] = ()
    depths: tuple[DepthWell, ...] = ()

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        points = self.fiducials_mm
        half = np.asarray(self.size_mm) / 2
        places = np.vstack([points, *self.regions_mm().values()])
        if (np.abs(places) > half + 1e-9).any():
            raise ValueError("a region lies outside of the plate")
        if min(np.hypot(*(a - b)) for a, b in combinations(points, 2)) < 1.5 * self.fiducials.diameter_mm:
            raise ValueError("two fiducials are nearer than 1.5 diameters")
        if _looks_the_same_otherwise(points):
            raise ValueError("the fiducials look the same turned by 180 degrees or in a mirror: move one")
        known = [well.concentration_nm for well in self.wells]
        if known and (0 not in known or len({c for c in known if c > 0}) < 3):
            raise ValueError("wells need a blank (0 nM) and at least three other concentrations")
        if len(self.depths) == 1:
            raise ValueError("a depth series needs at least two wells")
        return self

    @property
    def fiducials_mm(self) -> Points:
        """Centres of the fiducials, float64 (N, 2)."""
        return np.asarray(self.fiducials.places_mm, np.float64)

    @property
    def sha256(self) -> str:
        """Hash of the description: results of different targets are not comparable."""
        text = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def regions_mm(self) -> dict[str, Points]:
        """Outline of every rectangle, square and disc as float64 (N, 2), for drawing and for checks."""
        found = {f"field {k + 1}": rectangle_corners(each) for k, each in enumerate(self.fields)}
        found |= {"dark": rectangle_corners(self.dark), "edge": edge_corners(self.edge)}
        for kind, wells in (("well", self.wells), ("depth", self.depths)):
            found |= {f"{kind} {k + 1}": circle(each.centre_mm, each.diameter_mm / 2) for k, each in enumerate(wells)}
        return found


def shipped_targets() -> tuple[str, ...]:
    """Names of the targets that come with glioscope."""
    folder = resources.files("glioscope.devices") / "_phantom_targets"
    return tuple(sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir() if entry.name.endswith(".toml")))


def read_target(path: Path | str) -> PhantomTarget:
    """Read a target from a TOML file, or one of `shipped_targets` by its name.

    Raises
    ------
    InputError : no such file, no TOML, or a value that cannot be; one sentence with the place in the file.
    """
    if str(path) in shipped_targets():
        with resources.as_file(resources.files("glioscope.devices") / "_phantom_targets" / f"{path}.toml") as shipped:
            return read_toml(shipped, PhantomTarget)
    if not Path(path).exists():
        raise InputError(f"{path}: does not exist; targets known by name are {', '.join(shipped_targets())}")
    return read_toml(path, PhantomTarget)


def edge_corners(edge: Edge) -> Points:
    """Corners of the slanted square in mm, float64 (4, 2), from the upper left on clockwise."""
    angle = np.deg2rad(edge.angle_deg)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * edge.side_mm / 2
    return np.asarray(corners @ turn + edge.centre_mm)


def circle(centre_mm: tuple[float, float], radius_mm: float) -> Points:
    """Points on a circle, float64 (48, 2)."""
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return np.asarray(centre_mm + radius_mm * np.stack([np.cos(angle), np.sin(angle)], axis=1))


def rectangle_corners(rectangle: Rectangle) -> Points:
    """Corners of a rectangle in mm, float64 (4, 2), from the upper left on clockwise."""
    half = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])
    return np.asarray(half * rectangle.size_mm + rectangle.centre_mm)


def _looks_the_same_otherwise(points: Points) -> bool:
    """Whether a half turn, or one of the mirrors along the sides, brings the points onto themselves."""
    centred = points - points.mean(axis=0)
    for x, y in ((-1, -1), (-1, 1), (1, -1)):
        distance = np.hypot(*np.moveaxis(centred[:, None] * (x, y) - centred[None], 2, 0))
        if distance.min(axis=1).max() < 1.0:
            return True
    return False
