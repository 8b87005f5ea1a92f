"""Frames drawn for the tests, with the truth known: tissue on a plate, seen by a fluorescence and a colour camera."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MM_PER_PX = 0.1


@dataclass(frozen=True)
class Scene:
    fl: NDArray[np.uint16]
    wl: NDArray[np.uint8]
    masks: list[NDArray[np.bool_]]


def blob(
    shape: tuple[int, int], centre: tuple[float, float], radius: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A round specimen with a wavy outline; centre (x, y) and radius in px."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    angle = np.arctan2(y - centre[1], x - centre[0])
    wave = sum(rng.normal(0, 0.05 / k) * np.cos(k * angle + rng.uniform(0, 6.28)) for k in (2, 3, 4))
    return np.hypot(x - centre[0], y - centre[1]) < radius * (1 + wave)


def draw(
    places: list[tuple[float, float, float, float]],
    *,
    seed: int = 0,
    shape: tuple[int, int] = (512, 640),
    ambient: float = 300.0,
    stains: int = 0,
    glints: int = 0,
    hot: int = 0,
    vignetting: float = 0.25,
) -> Scene:
    """Draw specimens at (x, y, radius, brightness in counts) with scattering, vignetting, ambient light and noise."""
    rng = np.random.default_rng(seed)
    emission = np.zeros(shape, np.float32)
    colour = np.full((*shape, 3), (60, 72, 85), np.float32)
    for _ in range(stains):
        spot = blob(shape, (rng.uniform(40, shape[1] - 40), rng.uniform(40, shape[0] - 40)), rng.uniform(12, 22), rng)
        colour[spot] = (120, 25, 30)
    masks = []
    for x, y, radius, brightness in places:
        mask = blob(shape, (x, y), radius, rng)
        for other in masks:
            mask &= ~other
        masks.append(mask)
        texture = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), 5)
        emission[mask] = (brightness * (1 + 2.0 * np.clip(texture, -0.3, 0.3)))[mask]
        colour[mask] = np.array([205, 150, 150]) * (1 + np.clip(texture, -0.3, 0.3))[mask][:, None]
    light = 0.55 * cv2.GaussianBlur(emission, (0, 0), 2) + 0.45 * cv2.GaussianBlur(emission, (0, 0), 12)
    yy, xx = np.mgrid[: shape[0], : shape[1]]
    r2 = ((yy / shape[0] - 0.5) ** 2 + (xx / shape[1] - 0.5) ** 2) / 0.5
    lens = 1 - vignetting * r2
    counts = (light + ambient) * lens
    counts += rng.normal(0, np.sqrt(counts / 8 + 15**2)) + 600
    counts[rng.integers(0, shape[0], hot), rng.integers(0, shape[1], hot)] += rng.uniform(2000, 20000, hot)
    for _ in range(glints):
        if masks:
            inside = np.argwhere(masks[rng.integers(len(masks))])
            y, x = inside[rng.integers(len(inside))]
            cv2.circle(colour, (int(x), int(y)), 2, (255, 255, 255), -1)
    colour = cv2.GaussianBlur(colour, (0, 0), 1) * (1 - 0.5 * vignetting * r2)[..., None]
    colour += rng.normal(0, 3, colour.shape)
    return Scene(
        np.clip(np.rint(counts), 0, 65535).astype(np.uint16), np.clip(np.rint(colour), 0, 255).astype(np.uint8), masks
    )


def tray(seed: int, *, touching: bool = True) -> Scene:
    """A tray of about eight specimens of very different brightness, two of them touching; blood, glare, hot pixels."""
    rng = np.random.default_rng(1000 + seed)
    places = []
    for row in range(2):
        for column in range(4):
            x, y = 90 + 150 * column + rng.uniform(-12, 12), 140 + 230 * row + rng.uniform(-25, 25)
            places.append((x, y, rng.uniform(28, 44), float(np.exp(rng.uniform(np.log(400), np.log(9000))))))
    if touching:
        x, y, radius, _ = places[0]
        places[1] = (x + radius + 33, y + rng.uniform(-10, 10), 34, places[1][3])
    return draw(places, seed=seed, stains=3, glints=20, hot=300)


def box_of(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    return tuple(cv2.boundingRect(mask.astype(np.uint8)))


def iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float(np.count_nonzero(a & b) / max(np.count_nonzero(a | b), 1))
