"""A suite that is incomplete, changed, or says something else than its bundles is refused in one sentence."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from glioscope.core import BundleError
from glioscope.runtime import Cascade, load_bundle, load_suite_info

from ..cli.cohorts import png_header
from ..suites import change_bundle, copy_suite, lock_again, replace, set_suite

FILES = (
    "SHA256SUMS",
    "bundle.json",
    "envelope.npy",
    "model.onnx",
    "model.safetensors",
    "model_card.md",
    "probe.json",
    "probe_fl.png",
    "probe_fl_prepared.png",
)


@pytest.fixture
def suite(tiny_suite, tmp_path):
    """A copy in which tumor-fl alone answers."""
    return copy_suite(tiny_suite, tmp_path / "suite", tumor="tumor-fl")


def refused(suite, *words):
    with pytest.raises(BundleError) as caught:
        Cascade.load(suite)
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(suite), *words):
        assert word in message, (word, message)


def test_an_untouched_copy_loads(suite):
    cascade = Cascade.load(suite)
    assert list(cascade.bundles) == ["tumor"]
    assert cascade.data_kind == "simulated"


def test_the_bundle_has_the_files_that_are_changed_here(suite):
    assert sorted(p.name for p in (suite / "tumor-fl").iterdir()) == sorted(FILES)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0])
def test_a_changed_byte_in_any_file(suite, name, place):
    path = suite / "tumor-fl" / name
    content = bytearray(path.read_bytes())
    content[round(place * (len(content) - 1))] ^= 1
    replace(path, bytes(content))
    words = "not the file that the suite was locked with" if name == "SHA256SUMS" else "changed after the bundle was"
    refused(suite, f"tumor-fl/{name}", words)


@pytest.mark.parametrize("name", FILES)
def test_a_missing_file(suite, name):
    (suite / "tumor-fl" / name).unlink()
    refused(suite, "tumor-fl", name, "missing")


def test_a_missing_bundle_or_suite(suite, tmp_path):
    (suite / "tumor-fl").rename(suite / "elsewhere")
    refused(suite, "tumor-fl", "no bundle here")
    refused(tmp_path, "no suite here (suite.json is missing)")
    refused(tmp_path / "nowhere", "no suite here")


def test_wrong_hash_in_the_suite(suite):
    known = json.loads((suite / "suite.json").read_text())["sha256"]
    set_suite(suite, sha256={**known, "tumor-fl": "0" * 64})
    refused(suite, "SHA256SUMS", "not the file that the suite was locked with")


def test_no_hash_in_the_suite(suite):
    set_suite(suite, sha256={})
    refused(suite, "names bundle 'tumor-fl' without its hash")


@pytest.mark.parametrize("version", [1, 3, 0, None, "2"])
@pytest.mark.parametrize("which", ["suite", "bundle"])
def test_another_schema(suite, which, version):
    if which == "suite":
        set_suite(suite, schema_version=version)
    else:
        change_bundle(suite, "tumor-fl", schema_version=version)
    refused(suite, f"{which}.json", f"schema version {version}", "reads version 2")


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff\xfe", b"[" * 100_000, b"{"])
def test_not_json(suite, content):
    replace(suite / "suite.json", content)
    refused(suite, "suite.json", "not JSON")


@pytest.mark.parametrize("content", [b"[]", b"3", b"null", b'"x"'])
def test_json_that_is_no_record(suite, content):
    replace(suite / "suite.json", content)
    refused(suite, "suite.json", "schema version None")


def test_missing_fields(suite):
    replace(suite / "suite.json", b'{"schema_version": 2}')
    refused(suite, "suite.json", "data_kind", "Field required")


def test_unknown_field_of_a_bundle(suite):
    change_bundle(suite, "tumor-fl", colour="red")
    refused(suite, "bundle.json", "colour")


@pytest.mark.parametrize("trick", ["../tumor-fl", "..", ".", "", "/etc", "a/b", "a\\b", "tumor-fl\n", ".hidden"])
def test_a_path_trick_in_the_suite(suite, trick):
    known = json.loads((suite / "suite.json").read_text())["sha256"]
    set_suite(suite, answers={"tumor": trick}, sha256={**known, trick: known["tumor-fl"]})
    refused(suite, "suite.json", "is not a folder of the suite")


@pytest.mark.parametrize("trick", ["../outside", "/etc/hostname", "..", "", "a/../model.onnx", "*model.onnx"])
def test_a_path_trick_in_the_sums(suite, trick):
    path = suite / "tumor-fl" / "SHA256SUMS"
    replace(path, path.read_bytes() + f"{'0' * 64}  {trick}\n".encode())
    with pytest.raises(BundleError, match="does not name a file of the bundle"):
        load_bundle(suite / "tumor-fl")


@pytest.mark.parametrize("name", ["model.onnx", "bundle.json", "probe.json", "probe_fl.png", "probe_fl_prepared.png"])
def test_sums_that_leave_out_a_file(suite, name):
    path = suite / "tumor-fl" / "SHA256SUMS"
    kept = [line for line in path.read_text().splitlines() if not line.endswith(f"  {name}")]
    replace(path, ("\n".join(kept) + "\n").encode())
    with pytest.raises(BundleError, match=f"SHA256SUMS: does not list {name}"):
        load_bundle(suite / "tumor-fl")


def test_a_suite_that_answers_nothing(suite):
    set_suite(suite, answers={})
    refused(suite, "names no bundle that answers a task")


def test_a_bundle_of_another_task(suite):
    set_suite(suite, answers={"tumor": "ki67-fl"})
    refused(suite, "bundle ki67-fl answers task 'ki67', not 'tumor'")


def test_a_suite_that_hides_that_its_images_are_simulated(suite):
    set_suite(suite, data_kind="real")
    refused(suite, "says real images", "trained on simulated ones")


def test_a_network_with_other_inputs(suite):
    replace(suite / "tumor-fl" / "model.onnx", (suite / "tumor-wl" / "model.onnx").read_bytes())
    lock_again(suite, "tumor-fl")
    refused(suite, "model.onnx", "has inputs ['wl']", "inputs ['fl']")


def test_a_file_that_is_no_network(suite):
    replace(suite / "tumor-fl" / "model.onnx", b"hello")
    lock_again(suite, "tumor-fl")
    refused(suite, "model.onnx", "not a usable network")


def test_a_network_that_answers_its_probe_differently(suite):
    replace(suite / "tumor-fl" / "model.onnx", (suite / "ki67-fl" / "model.onnx").read_bytes())
    lock_again(suite, "tumor-fl")
    refused(suite, "answers its probe image", "limit 0.001")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "does not hold the logits"),
        (b"{}", "does not hold the logits"),
        (b"[]", "does not hold the logits"),
        (b'{"logit": "x"}', "does not hold the logits"),
        (b'{"logit": [1, 2]}', "shape (2,)"),
        (b'{"logit": [NaN]}', "answers its probe image nan off"),
    ],
)
def test_a_probe_answer_that_is_none(suite, content, words):
    replace(suite / "tumor-fl" / "probe.json", content)
    lock_again(suite, "tumor-fl")
    refused(suite, "tumor-fl", words)


def test_another_preprocessing_plan(suite):
    plan = json.loads((suite / "tumor-fl" / "bundle.json").read_text())["fl_plan"]
    plan["normalisation"]["white"] *= 2
    change_bundle(suite, "tumor-fl", fl_plan=plan)
    refused(suite, "tumor-fl", "comes out of the plan", "grey levels off")


def test_another_input_size(suite):
    plan = json.loads((suite / "tumor-fl" / "bundle.json").read_text())["fl_plan"]
    plan["canvas"]["size_px"] = 96
    change_bundle(suite, "tumor-fl", fl_plan=plan)
    refused(suite, "its probe image is (64, 64)", "its plan makes (96, 96)")


def test_no_preprocessing_plan(suite):
    change_bundle(suite, "tumor-fl", fl_plan=None)
    refused(suite, "input fl has no preprocessing plan")


def test_thresholds_that_do_not_fit_the_task(suite):
    change_bundle(suite, "tumor-fl", threshold={"logit": [], "rule": "x", "chosen_on": "tune"})
    refused(suite, "has 0 thresholds; task tumor needs 1")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"hello", "probe_fl.png is no PNG image"),
        (png_header(64, 64), "probe_fl.png is damaged or of another kind"),
        (png_header(20_000, 20_000), "20000 x 20000 px is over the limit of 16384 px a side"),
    ],
)
def test_a_probe_image_that_is_damaged(suite, content, words):
    replace(suite / "tumor-fl" / "probe_fl.png", content)
    lock_again(suite, "tumor-fl")
    refused(suite, "tumor-fl", "its probe image", words)


def test_the_probe_is_read_from_the_bytes_that_were_hashed(suite, monkeypatch):
    whole = Path.read_bytes

    def and_gone(path):
        content = whole(path)
        if path.suffix == ".png":
            path.unlink()
        return content

    monkeypatch.setattr(Path, "read_bytes", and_gone)
    assert list(Cascade.load(suite).bundles) == ["tumor"]
    assert not list((suite / "tumor-fl").glob("*.png"))


@pytest.mark.parametrize(
    ("content", "words"),
    [(b" " * 1_000_001, "over the limit of 1000000 bytes"), (b"\n" * 1001, "1001 lines, over the limit of 1000")],
)
@pytest.mark.parametrize("name", ["suite.json", "tumor-fl/SHA256SUMS"])
def test_lists_that_are_too_long_are_not_read(suite, name, content, words):
    replace(suite / name, content)
    refused(suite, name, words)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file(suite):
    path = suite / "tumor-fl" / "bundle.json"
    replace(path, path.read_bytes())
    path.chmod(0)
    with pytest.raises(PermissionError):
        Cascade.load(suite)


def test_outputs_have_the_shapes_of_the_contract(tiny_suite):
    info = load_suite_info(tiny_suite)
    for name in info.bundles:
        bundle = load_bundle(tiny_suite / name, sums_sha256=info.sha256[name])
        inputs = bundle.info.modality.inputs
        images = {key: np.random.default_rng(0).normal(size=(3, 3, 64, 64)).astype(np.float32) for key in inputs}
        answer = bundle.run(images)
        assert answer.logit.shape == (3, 1)
        assert answer.features.shape == (3, bundle.info.n_features)
        assert set(answer.cams) == set(inputs)
        assert all(cam.ndim == 3 and cam.shape[0] == 3 for cam in answer.cams.values())
        # Signed maps, divided by h*w: with the bias (the answer to no feature at all) they sum to the logit.
        parts = sum(cam.sum((1, 2)) for cam in answer.cams.values())
        bias = answer.logit[:, 0] - parts
        np.testing.assert_allclose(bias, bias[0], atol=1e-3)
