import json

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs glioscope[train]")

import torch

from glioscope.core import InputError
from glioscope.explain import VIEWS, Target, _evidence
from glioscope.explain._evidence import (
    OWN,
    THEATRE_VIEW,
    JudgedImages,
    caption_note,
    evidence,
    guided_plain_correlation,
    own_maps,
)
from tests.explain.networks import noise, small_network

COUNT, SIDE = 3, 64
TARGET = Target("tumour", (1.0,))


@pytest.fixture(scope="module")
def images():
    inputs = noise(count=COUNT, size=SIDE)
    y, x = np.mgrid[:SIDE, :SIDE]
    specimen = np.repeat(((x - 32) ** 2 + (y - 32) ** 2 < 26**2)[None], COUNT, axis=0)
    low, high = inputs["fl"].min(), inputs["fl"].max()
    return JudgedImages(inputs, "fl", (inputs["fl"][:, 0] - low) / (high - low), specimen, specimen & (x < 28))


def image_only(network, images, target):
    """A map that does not look at the network at all."""
    return {"edges": np.abs(np.gradient(images.brightness, axis=2)).astype(np.float32) * images.specimen}


@pytest.fixture(scope="module")
def found(images):
    rng = np.random.default_rng(0)
    peers = {"elsewhere": image_only}
    permuted = small_network()
    torch.nn.init.normal_(permuted.head.weight)
    return evidence(
        small_network(), images, TARGET, name="small", images_kind="simulated", rng=rng, permuted=permuted,
        peers=peers, n_checked=2, n_draws=2,
    )  # fmt: skip


def of(found, source, name):
    return next(view for view in found.views if (view.source, view.name) == (source, name))


def test_every_view_and_map_has_its_row(found):
    names = [(view.source, view.name) for view in found.views]
    ours = [(OWN, name) for name in (*VIEWS, "guided_gradient", "plain_gradient")]
    references = [("reference", name) for name in ("brightness", "coarse_brightness", "noise")]
    assert names == [*ours, ("elsewhere", "edges"), *references]
    assert (found.n_images, found.n_checked) == (COUNT, 2)
    assert THEATRE_VIEW in VIEWS


def test_a_map_that_ignores_the_network_is_found_out(found):
    edges = of(found, "elsewhere", "edges")
    assert edges.reacts is False
    assert edges.randomised.ssim == pytest.approx(1)
    assert [step.spearman for step in edges.cascade] == pytest.approx([1] * len(found.stages))
    assert edges.permuted.ssim == pytest.approx(1)


def test_grad_cam_reacts_and_the_cascade_has_a_value_for_every_stage(found):
    heatmap = of(found, OWN, THEATRE_VIEW)
    assert heatmap.reacts is True
    assert heatmap.randomised.ssim < 0.5
    assert len(heatmap.cascade) == len(heatmap.independent) == len(found.stages)


def test_plain_gradients_do_not_see_the_sign_of_the_head_but_guided_ones_do(images):
    network = small_network()
    turned = small_network()
    with torch.no_grad():
        turned.head.weight.neg_()
    first, second = (own_maps(one, images, TARGET) for one in (network, turned))
    np.testing.assert_allclose(first["plain_gradient"], second["plain_gradient"], atol=1e-6)
    guided = first["guided_gradient"], second["guided_gradient"]
    assert np.abs(guided[0] - guided[1]).max() > 0.1 * guided[0].max()


def test_guided_and_plain_gradients_differ(found, images):
    assert found.guided_plain_correlation < 0.8
    assert guided_plain_correlation(small_network(), images, TARGET) == pytest.approx(
        np.mean([guided_plain_correlation(small_network(), part, TARGET) for part in each(images)])
    )


def each(images):
    for i in range(COUNT):
        one = {"fl": images.inputs["fl"][i : i + 1]}
        part = slice(i, i + 1)
        yield JudgedImages(one, "fl", images.brightness[part], images.specimen[part])


def test_references_have_no_network_to_react_to(found):
    brightness = of(found, "reference", "brightness")
    assert brightness.randomised is brightness.permuted is brightness.reacts is None
    assert brightness.pointing.n == COUNT


def test_without_a_known_tumour_nothing_points_and_without_a_network_of_permuted_labels_nothing_is_compared(images):
    blind = JudgedImages(images.inputs, "fl", images.brightness, images.specimen)
    rng = np.random.default_rng(0)
    made = evidence(small_network(), blind, TARGET, name="small", images_kind="real", rng=rng, n_checked=1, n_draws=1)
    assert all(view.pointing is None and view.permuted is None for view in made.views)


def test_the_record_is_plain_json_and_names_the_views_that_do_not_react(found):
    record = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert record["images_kind"] == "simulated"
    assert record["unreactive"] == list(found.unreactive)
    assert record["views"][0]["cascade"][0].keys() == {"ssim", "spearman", "hog", "abs_spearman", "empty"}


def test_the_caption_names_views_as_the_figure_does():
    assert caption_note((), {}) == ""
    note = caption_note(("heatmap_x_image",), {"heatmap_x_image": "Heatmap × image"})
    assert "Heatmap × image" in note
    with pytest.raises(InputError, match="no view 'grad'"):
        caption_note(("grad",), {})


def test_a_map_of_the_wrong_size_is_refused(images):
    def small(network, given, target):
        return {"half": given.brightness[:, ::2, ::2]}

    with pytest.raises(InputError, match="map half of other is"):
        evidence(small_network(), images, TARGET, name="small", images_kind="simulated",
                 rng=np.random.default_rng(0), peers={"other": small})  # fmt: skip


def test_maps_do_not_depend_on_how_many_are_made_at_once(images, monkeypatch):
    made = []
    for batch in (2, 16):
        monkeypatch.setattr(_evidence, "_BATCH", batch)
        made.append(_evidence._made(small_network(), images, TARGET, {OWN: own_maps}))
    for key, values in made[0].items():
        np.testing.assert_allclose(values, made[1][key], rtol=1e-4, atol=1e-5 * values.max())
