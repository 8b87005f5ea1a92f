import numpy as np
import pytest

pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.core import Canvas, InputError
from glioscope.explain import VIEWS, Maps, Scale, make_views, view_arrays
from glioscope.imaging import place

SHAPE = (96, 128)
CANVAS = Canvas(size_px=64)


def maps(seed=0, gain=1.0):
    rng = np.random.default_rng(seed)
    cam = gain * rng.standard_normal((2, 4, 4)).astype(np.float32)
    return Maps(cam, rng.standard_normal((2, 3, 64, 64)).astype(np.float32))


@pytest.fixture
def mask():
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (x - 60) ** 2 + (y - 45) ** 2 < 30**2


@pytest.fixture
def brightness():
    return np.random.default_rng(1).random(SHAPE).astype(np.float32)


def test_the_views_are_made_of_each_other_as_the_paper_says(mask, brightness):
    views = make_views(maps(), 1, CANVAS, brightness, mask)
    np.testing.assert_array_equal(views.gcam_heatmap, np.maximum(views.signed_heatmap, 0))
    np.testing.assert_allclose(views.gcam_saliency, np.abs(views.coloured_gcam).sum(2), rtol=1e-6)
    np.testing.assert_array_equal(views.saliency_x_image, views.gcam_saliency * brightness)
    np.testing.assert_array_equal(views.heatmap_x_image, views.gcam_heatmap * brightness)
    assert views.signed_heatmap.min() < 0 < views.signed_heatmap.max()
    # Guided GCAM is nothing where Grad-CAM is nothing.
    assert not views.gcam_saliency[views.gcam_heatmap == 0].any()
    assert set(view_arrays(views)) == {*VIEWS, "signed_heatmap"}


def test_nothing_is_shown_outside_the_specimen_and_what_was_cut_is_told(mask, brightness):
    views = make_views(maps(), 0, CANVAS, brightness, mask)
    for name, values in view_arrays(views).items():
        assert values.shape[:2] == SHAPE, name
        assert not values[~mask].any(), name
    whole = make_views(maps(), 0, CANVAS, brightness, np.ones(SHAPE, bool))
    assert views.outside == pytest.approx(1 - views.gcam_heatmap.sum() / whole.gcam_heatmap.sum(), rel=1e-5)
    assert 0 < views.outside < 1
    assert whole.outside == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("canvas", [CANVAS, Canvas(kind="field", field_px=100, size_px=64)])
@pytest.mark.parametrize("spot", [(20, 30), (70, 100), (48, 64)])
def test_a_spot_comes_back_to_where_it_was_in_the_specimen(canvas, spot):
    image = np.zeros(SHAPE, np.float32)
    image[spot[0] - 3 : spot[0] + 4, spot[1] - 3 : spot[1] + 4] = 1
    on_canvas = np.asarray(place(image, canvas), np.float32)[None]
    found = make_views(
        Maps(on_canvas, np.zeros((1, 3, 64, 64), np.float32)),
        0,
        canvas,
        np.ones(SHAPE, np.float32),
        np.ones(SHAPE, bool),
    ).gcam_heatmap
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    centre = (found * y).sum() / found.sum(), (found * x).sum() / found.sum()
    assert centre == pytest.approx(spot, abs=1)


def test_a_shared_scale_keeps_sparse_apart_from_dense(mask, brightness):
    dense, sparse = (make_views(maps(gain=gain), 0, CANVAS, brightness, mask) for gain in (1.0, 0.1))
    own = [Scale.of(views) for views in (dense, sparse)]
    shared = Scale.shared(own)
    assert (shared.heatmap, shared.saliency) == (own[0].heatmap, own[0].saliency)
    assert shared.heatmap == pytest.approx(10 * own[1].heatmap, rel=1e-5)
    assert "2 images" in shared.note
    assert own[0].heatmap == dense.gcam_heatmap.max()
    assert own[0].signed == np.abs(dense.signed_heatmap).max()


def test_the_range_of_the_training_images_replaces_that_of_the_heatmap_for_both_classes():
    scale = Scale(1, 2, 3, 4).with_reference(-0.5, 0.2)
    assert (scale.heatmap, scale.signed, scale.saliency, scale.coloured) == (0.5, 0.5, 3, 4)
    assert "training images" in scale.note


def test_what_does_not_fit_is_refused(mask, brightness):
    with pytest.raises(InputError, match="of one size"):
        make_views(maps(), 0, CANVAS, brightness[1:], mask)
    with pytest.raises(InputError, match="at least one map, got 0"):
        Scale.shared([])
