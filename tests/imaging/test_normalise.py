from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glioscope.core import Autocontrast, Normalisation
from glioscope.imaging import normalise
from glioscope.imaging._normalise import autocontrast, robust_range

KINDS = ["linear", "gamma", "asinh", "anscombe"]


@pytest.mark.parametrize("kind", KINDS)
@given(white=st.floats(50, 70000), knee=st.floats(0.001, 10), gamma=st.floats(0.1, 4))
def test_order_is_kept_and_ends_are_fixed(kind, white, knee, gamma):
    counts = np.linspace(-100, 1.2 * white, 2000, dtype=np.float32)
    values = normalise(counts, Normalisation(kind=kind, knee=knee, gamma=gamma), white)
    assert values.dtype == np.float32
    assert np.all(np.diff(values) >= -1e-6)
    assert values[0] == 0
    assert values[-1] == pytest.approx(1, abs=1e-5)
    assert values.min() >= 0
    assert values.max() <= 1


def test_curves_are_what_they_say():
    counts = np.array([0, 250, 1000], np.float32)
    np.testing.assert_allclose(normalise(counts, Normalisation(kind="linear"), 1000), [0, 0.25, 1], atol=1e-6)
    np.testing.assert_allclose(normalise(counts, Normalisation(kind="gamma", gamma=0.5), 1000), [0, 0.5, 1], atol=1e-6)
    expected = np.arcsinh(2.5) / np.arcsinh(10)
    assert normalise(counts, Normalisation(kind="asinh", knee=0.1), 1000)[1] == pytest.approx(expected, abs=1e-6)


def test_anscombe_makes_noise_the_same_at_every_level():
    rng = np.random.default_rng(0)
    gain, read = 0.125, 15.0
    setting = Normalisation(kind="anscombe", gain_adu_per_electron=gain, read_noise_adu=read)
    spread = []
    for level in (500, 2000, 10000, 40000):
        counts = gain * rng.poisson(level / gain, 40000) + rng.normal(0, read, 40000)
        spread.append(normalise(counts.astype(np.float32), setting, 65535).std())
    assert max(spread) / min(spread) < 1.05


def test_autocontrast_stretches_weak_images_only_and_keeps_their_order():
    ramp = np.linspace(0, 1, 4096, dtype=np.float32).reshape(64, 64)
    setting = Autocontrast(needed_below=0.1, max_gain=2)
    contrasts = []
    for scale in (0.005, 0.02, 0.05, 0.08, 0.1, 0.2, 0.8):
        image, before, gain = autocontrast(ramp * np.float32(scale), setting)
        contrasts.append(np.percentile(image, 99) - np.percentile(image, 1))
        assert gain == pytest.approx(min(2, max(1, 0.1 / before)), rel=1e-4)
    assert all(a <= b + 1e-6 for a, b in pairwise(contrasts))


def test_autocontrast_off_and_always():
    ramp = (0.2 + 0.1 * np.linspace(0, 1, 4096)).astype(np.float32).reshape(64, 64)
    assert autocontrast(ramp, Autocontrast(mode="off"))[2] == 1
    image, _, gain = autocontrast(ramp, Autocontrast(mode="always"))
    assert gain == pytest.approx(1 / 0.098, rel=0.01)
    assert (image.min(), image.max()) == (0, 1)
    assert autocontrast(np.full((8, 8), 0.3, np.float32), Autocontrast(mode="always"))[2] == 1


@given(size=st.integers(1, 400), low=st.floats(0, 49), high=st.floats(51, 100), seed=st.integers(0, 99))
def test_the_robust_range_is_that_of_numpy(size, low, high, seed):
    image = np.random.default_rng(seed).random(size, np.float32)
    expected = np.percentile(image.astype(np.float64), (low, high))
    np.testing.assert_allclose(robust_range(image, Autocontrast(low=low, high=high)), expected, atol=1e-7)
