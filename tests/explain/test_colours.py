import numpy as np
import pytest

pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.explain import SIGNED, UNSIGNED, VIEWS, Scale, Views, colour, draw_views, luminance, overlay

# Machado, Oliveira and Fernandes 2009, severity 1, for linear RGB.
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def linear(rgb):
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def lightness(rgb):
    return np.cbrt(np.clip(linear(rgb) @ [0.2126, 0.7152, 0.0722], 0, None))


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_the_colour_blind_see_the_order_of_evidence_and_its_sign(blindness):
    steps = np.linspace(0, 1, 33)
    seen = np.clip(linear(UNSIGNED(steps)[:, :3]) @ np.array(BLINDNESS[blindness]).T, 0, 1)
    assert (np.diff(seen @ [0.2126, 0.7152, 0.0722]) > 0).all()
    for side in (SIGNED(0.5 - steps / 2), SIGNED(0.5 + steps / 2)):
        assert (np.diff(lightness(side[:, :3])) < 0).all()
    for_it, against = (
        np.clip(linear(np.array(SIGNED(x)[:3])) @ np.array(BLINDNESS[blindness]).T, 0, 1) for x in (0.8, 0.2)
    )
    assert for_it[0] > for_it[2]
    assert against[0] < against[2]


def test_zero_and_the_limit_are_the_ends_of_the_map():
    values = np.array([[-2, -1, 0, 1, 2]], np.float32)
    unsigned, signed = colour(values, 1), colour(values, 1, signed=True)
    np.testing.assert_array_equal(unsigned[0, 3], np.rint(255 * np.array(UNSIGNED(1.0)[:3])))
    np.testing.assert_array_equal(unsigned[0, 4], unsigned[0, 3])
    np.testing.assert_array_equal(unsigned[0, 0], unsigned[0, 2])
    np.testing.assert_array_equal(signed[0, 0], signed[0, 1])
    assert signed[0, 2].min() > 235
    # An empty map is all zero, not stretched noise.
    np.testing.assert_array_equal(colour(values, 0), np.broadcast_to(colour(values * 0, 1), (1, 5, 3)))


@pytest.mark.parametrize("signed", [False, True])
def test_an_overlay_leaves_the_image_where_there_is_no_evidence(signed):
    image = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    values = np.zeros((6, 8), np.float32)
    values[2, 3] = 1
    laid = overlay(image, values, 1, signed=signed)
    grey = np.rint(255 * luminance(image))[..., None]
    changed = np.abs(laid.astype(int) - grey).max(2) > 1
    assert changed[2, 3]
    assert changed.sum() == 1


def test_every_view_is_drawn_and_cut_to_the_specimen():
    rng = np.random.default_rng(0)
    mask = np.zeros((6, 8), bool)
    mask[1:5, 2:6] = True
    flat = rng.standard_normal((6, 8)).astype(np.float32) * mask
    coloured = rng.standard_normal((6, 8, 3)).astype(np.float32) * mask[..., None]
    views = Views(coloured, abs(flat), abs(flat), abs(flat), abs(flat), flat, 0.0)
    image = rng.integers(0, 256, (6, 8)).astype(np.uint8)
    drawn = draw_views(views, image, mask, Scale.of(views))
    assert tuple(drawn) == VIEWS
    for name in VIEWS:
        assert (drawn[name].shape, drawn[name].dtype) == ((6, 8, 3), np.uint8)
        outside = image[~mask][:, None] if "_x_image" in name else 0
        assert np.abs(drawn[name][~mask].astype(int) - outside).max() <= 1
    other = draw_views(views, image, mask, Scale.of(views), signed=True)
    assert (other["gcam_heatmap"] != drawn["gcam_heatmap"]).any()
    np.testing.assert_array_equal(other["gcam_saliency"], drawn["gcam_saliency"])
