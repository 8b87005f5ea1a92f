import json
from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from safetensors.torch import load_file, save  # noqa: E402

from glioscope.cohort import load_manifest, sources  # noqa: E402
from glioscope.core import BundleError, ImageError, InputError  # noqa: E402
from glioscope.explain import EXPECTED_LEVEL, Explainer, Scale, Target, class_target, specimen_mask  # noqa: E402
from glioscope.imaging import open_specimen, read_fl  # noqa: E402

from .. import suites  # noqa: E402
from ..suites import change_bundle, copy_suite, lock_again  # noqa: E402


@pytest.fixture(scope="module")
def explainer(tiny_suite):
    return Explainer.load(tiny_suite, "tumor-fusion")


@pytest.fixture(scope="module")
def source(tiny_cohort):
    return sources(load_manifest(tiny_cohort))[0]


def test_it_answers_as_the_locked_bundle_and_explains_what_it_answered(explainer, source):
    found = explainer.explain(source)
    assert found.answer.answer == found.target.name
    assert list(found.images) == ["fl", "wl"]
    for name, shown in found.images.items():
        assert shown.image.shape[:2] == shown.mask.shape == shown.views.gcam_heatmap.shape
        assert shown.image.ndim == (2 if name == "fl" else 3)
        assert shown.mask.any()
        assert not shown.mask.all()
    other = explainer.explain(source, "non-tumour" if found.target.name == "tumour" else "tumour")
    np.testing.assert_allclose(other.images["fl"].cam, -found.images["fl"].cam, atol=1e-7)


def test_the_mask_is_the_specimen_that_stands_out(source):
    specimen = open_specimen(source)
    mask = specimen_mask(specimen, "fl")
    counts = read_fl(source.fl_image).pixels.astype(float)
    assert counts[mask].mean() > 1.2 * counts[~mask].mean()
    given = np.zeros_like(mask)
    assert specimen_mask(replace(specimen, mask=given), "wl") is given
    flat = replace(specimen.fl, pixels=np.full_like(specimen.fl.pixels, 700))
    assert specimen_mask(replace(specimen, fl=flat, wl=None), "fl").all()


def test_images_of_two_sizes_get_their_own_outlines(source):
    specimen = open_specimen(source)
    small = replace(specimen.wl, pixels=np.ascontiguousarray(specimen.wl.pixels[:50]))
    odd = replace(specimen, wl=small)
    assert specimen_mask(odd, "wl").shape == (50, 64)
    assert specimen_mask(odd, "fl").shape == specimen.fl.pixels.shape


def test_a_missing_image_or_class_is_one_sentence(explainer, source):
    with pytest.raises(ImageError, match=r"no WL image of .* which bundle tumor-fusion needs"):
        explainer.explain(replace(source, wl_image=None))
    with pytest.raises(InputError, match="has no class 'GBM'"):
        explainer.explain(source, "GBM")


def test_the_reference_range_holds_for_the_logit_only(explainer):
    own = Scale(1, 1, 1, 1)
    given = replace(
        explainer,
        bundle=replace(explainer.bundle, info=explainer.bundle.info.model_copy(update={"cam_range": {"fl": (-3, 2)}})),
    )
    target = class_target(given.bundle.info.task)
    assert given.scale(own, target, "fl").heatmap == 3
    assert given.scale(own, target, "wl") is own
    ordinal = given.bundle.info.task.model_copy(update={"levels": ("1", "2"), "positive": (), "negative": ()})
    given = replace(given, bundle=replace(given.bundle, info=given.bundle.info.model_copy(update={"task": ordinal})))
    assert given.scale(own, Target("level 1", (-1.0,)), "fl") is own
    assert given.scale(own, Target(EXPECTED_LEVEL, (1.0,)), "fl").heatmap == 3


def test_changed_weights_are_refused(tiny_suite, tmp_path):
    suite = copy_suite(tiny_suite, tmp_path / "suite")
    path = suite / "tumor-fl" / "model.safetensors"
    state = load_file(path)
    suites.replace(path, save({**state, "head.bias": state["head.bias"] + 1}))
    with pytest.raises(BundleError, match=r"model\.safetensors.*changed after the bundle was locked"):
        Explainer.load(suite, "tumor-fl")
    # Someone with access to everything: hashes agree, but the maps would be those of another network.
    lock_again(suite, "tumor-fl")
    with pytest.raises(BundleError, match="explain another network"):
        Explainer.load(suite, "tumor-fl")
    suites.replace(path, save({"head.bias": state["head.bias"]}))
    lock_again(suite, "tumor-fl")
    with pytest.raises(BundleError, match="does not fit the network"):
        Explainer.load(suite, "tumor-fl")


def test_weights_that_are_not_listed_are_not_read(tiny_suite, tmp_path):
    suite = copy_suite(tiny_suite, tmp_path / "suite")
    path = suite / "tumor-fl" / "model.safetensors"
    content = path.read_bytes()
    path.unlink()
    lock_again(suite, "tumor-fl")
    path.write_bytes(content)
    with pytest.raises(BundleError, match=r"does not list model\.safetensors"):
        Explainer.load(suite, "tumor-fl")


def test_a_bundle_that_does_not_answer_is_verified_too(tiny_suite, tmp_path):
    answers = json.loads((tiny_suite / "suite.json").read_text())["answers"].values()
    name = next(f"tumor-{m}" for m in ("fl", "wl", "fusion") if f"tumor-{m}" not in answers)
    suite = copy_suite(tiny_suite, tmp_path / "suite")
    suites.replace(suite / name / "model_card.md", b"another")
    with pytest.raises(BundleError, match=r"model_card\.md.*changed"):
        Explainer.load(suite, name)
    with pytest.raises(BundleError, match=r"no bundle '\.\./x'"):
        Explainer.load(suite, "../x")


def test_an_unknown_backbone_in_a_locked_bundle_is_one_sentence(tiny_suite, tmp_path):
    suite = copy_suite(tiny_suite, tmp_path / "suite")
    change_bundle(suite, "tumor-fl", backbone="no_such_net")
    with pytest.raises(InputError, match="no_such_net"):
        Explainer.load(suite, "tumor-fl")
