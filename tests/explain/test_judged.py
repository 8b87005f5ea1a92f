from dataclasses import replace

import pytest

pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.cohort import load_manifest, sources
from glioscope.core import ImageError, InputError
from glioscope.explain import Explainer
from glioscope.explain._evidence import own_maps
from glioscope.explain._judged import judged_images


@pytest.fixture(scope="module")
def explainer(tiny_suite):
    return Explainer.load(tiny_suite, "tumor-fusion")


@pytest.fixture(scope="module")
def some(tiny_cohort):
    return sources(load_manifest(tiny_cohort))[:2]


def test_a_bundle_is_judged_on_what_it_reads(explainer, some):
    images = judged_images(explainer, some, "fl")
    inside = [float(b[m].mean() - b[~m].mean()) for b, m in zip(images.brightness, images.specimen, strict=True)]
    assert min(inside) > 0.02, "the specimen stands out where its mask is"
    target = explainer.target(explainer.answer(some[0]), "tumour")
    maps = own_maps(explainer.network, images, target)
    assert {values.shape[0] for values in maps.values()} == {2}
    assert all(not values[~images.specimen].any() for values in maps.values())


def test_what_the_bundle_cannot_read_is_refused(explainer, some):
    with pytest.raises(InputError, match="reads fl and wl, not nir"):
        judged_images(explainer, some, "nir")
    with pytest.raises(InputError, match="got 0"):
        judged_images(explainer, [], "fl")
    with pytest.raises(ImageError, match="no WL image"):
        judged_images(explainer, [replace(some[0], wl_image=None)], "fl")
