import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs glioscope[train]")

from glioscope.core import (  # noqa: E402
    BUILT_IN_TASKS,
    BundleError,
    BundleInfo,
    Canvas,
    FLPlan,
    Metrics,
    Modality,
    Provenance,
    Threshold,
    WLPlan,
)
from glioscope.models import (  # noqa: E402
    ExportedNet,
    ImageSet,
    SpecimenNet,
    _export,
    create_backbone,
    export_bundle,
    load_network,
    probe_images,
    write_suite,
)
from glioscope.runtime import load_bundle  # noqa: E402

PLAIN = {"fl": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)), "wl": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


def info(modality=Modality.FL, *, task="tumor", auc=0.8, name="x", tune_specimens=10):
    canvas = Canvas(size_px=64)
    n = BUILT_IN_TASKS[task].n_outputs
    return BundleInfo(
        name=name,
        task=BUILT_IN_TASKS[task],
        modality=modality,
        backbone="tf_efficientnet_lite0",
        fl_plan=FLPlan(canvas=canvas) if "fl" in modality.inputs else None,
        wl_plan=WLPlan(canvas=canvas) if "wl" in modality.inputs else None,
        threshold=Threshold(logit=(0.0,) * n, rule="fixed", chosen_on="fixed"),
        metrics=Metrics(tune_auc=auc, tune_specimens=tune_specimens, tune_patients=2),
        provenance=Provenance(
            data_kind="simulated",
            manifest_sha256="0" * 64,
            train_patients=("P1",),
            tune_patients=("P2",),
            fold=0,
            seed=0,
            strategy="probe",
            weights="random",
            class_counts={},
            settings={},
            versions={},
        ),
        n_features=1280 * len(modality.inputs),
        opset=17,
    )


def network(modality=Modality.FL, n_outputs=1):
    torch.manual_seed(0)
    backbones = [create_backbone("tf_efficientnet_lite0", "none")[0] for _ in modality.inputs]
    return SpecimenNet(modality, backbones, n_outputs).eval()


def images(modality=Modality.FL, n=4):
    rng = np.random.default_rng(0)
    pixels = {
        name: torch.from_numpy(rng.integers(0, 256, (n, 1 if name == "fl" else 3, 64, 64)).astype(np.uint8))
        for name in modality.inputs
    }
    return ImageSet(pixels, torch.zeros(n, 1), {name: PLAIN[name] for name in modality.inputs})


@pytest.mark.parametrize(("modality", "task"), [(Modality.FL, "grade4"), (Modality.FUSION, "tumor")])
def test_a_bundle_answers_as_the_network_and_comes_back_from_its_weights(tmp_path, modality, task):
    net = network(modality, BUILT_IN_TASKS[task].n_outputs)
    folder = export_bundle(tmp_path / "x", net, info(modality, task=task), "card", images(modality))
    bundle = load_bundle(folder)
    inputs = [x.contiguous() for x in images(modality).plain(torch.arange(4))]
    answer = bundle.run({name: x.numpy() for name, x in zip(modality.inputs, inputs, strict=True)})
    again = load_network(folder, bundle.info)
    with torch.no_grad():
        expected = net(*inputs).numpy()
        logit, *cams, features = (t.numpy() for t in ExportedNet(net)(*inputs))
        assert torch.equal(again(*inputs), net(*inputs))
    np.testing.assert_allclose(answer.logit, expected, atol=1e-4)
    np.testing.assert_allclose(answer.logit, logit, atol=1e-4)
    np.testing.assert_allclose(answer.features, features, atol=1e-4)
    for name, cam in zip(modality.inputs, cams, strict=True):
        np.testing.assert_allclose(answer.cams[name], cam, atol=1e-4)


def test_a_graph_that_answers_unlike_torch_is_refused_and_nothing_is_left(tmp_path, monkeypatch):
    net = network()
    real = _export._export_onnx

    def export_another(path, network_, inputs):
        real(path, network_, inputs)
        with torch.no_grad():
            network_.head.bias += 2e-4  # what the graph holds is now 2e-4 off, twice the limit

    monkeypatch.setattr(_export, "_export_onnx", export_another)
    with pytest.raises(
        BundleError, match=r"bundle x: ONNX logits differ from torch by 0.0002, over the limit of 0.0001"
    ):
        export_bundle(tmp_path / "x", net, info(), "card", images())
    assert list(tmp_path.iterdir()) == []


def test_a_network_without_finite_answers_is_refused(tmp_path):
    net = network()
    with torch.no_grad():
        net.head.weight.fill_(float("nan"))
    with pytest.raises(BundleError, match="differ from torch by nan"):
        export_bundle(tmp_path / "x", net, info(), "card", images())
    assert list(tmp_path.iterdir()) == []


def test_probe_images_are_always_the_same_and_look_like_a_specimen():
    fl, wl = probe_images()
    again, _ = probe_images()
    assert np.array_equal(fl, again)
    assert (fl.dtype, fl.shape, wl.dtype, wl.shape) == (np.uint16, (128, 160), np.uint8, (128, 160, 3))
    assert fl[50:75, 65:90].mean() > 5 * fl[:10].mean()


@pytest.fixture
def choose(tmp_path):
    """Which bundle answers, given {modality: AUC on tuning patients} and on how many specimens (10 where not said)."""

    def chosen(aucs, counts=None):
        bundles = {}
        for modality, auc in aucs.items():
            name = f"tumor-{modality}"
            (tmp_path / name).mkdir(exist_ok=True)
            (tmp_path / name / "SHA256SUMS").write_text(name)
            bundles[name] = info(
                Modality(modality), auc=auc, name=name, tune_specimens=(counts or {}).get(modality, 10)
            )
        suite = write_suite(tmp_path, bundles, "simulated")
        assert json.loads((tmp_path / "suite.json").read_text())["answers"] == suite.answers
        assert suite.bundles == tuple(sorted(bundles))
        assert set(suite.sha256) == set(bundles)
        return suite.answers["tumor"].removeprefix("tumor-")

    return chosen


@pytest.mark.parametrize(
    ("aucs", "best"),
    [
        ({"wl": 0.9, "fl": 0.8, "fusion": 0.85}, "wl"),
        ({"wl": 0.8, "fl": 0.8, "fusion": 0.9}, "fusion"),
        ({"wl": 0.9, "fl": 0.9, "fusion": 0.9}, "fl"),
        ({"fusion": 0.9, "wl": 0.9, "fl": 0.8}, "wl"),
        ({"wl": 0.90001, "fl": 0.9}, "fl"),
        ({"wl": None, "fl": None}, "fl"),
        ({"wl": 0.3, "fl": None}, "wl"),
    ],
)
def test_the_best_tuning_auc_answers_ties_go_to_fl_then_to_the_simpler(choose, aucs, best):
    assert choose(aucs) == best


def test_a_bundle_scored_on_fewer_tuning_specimens_does_not_answer(choose):
    aucs = {"fl": 0.8, "wl": 0.85, "fusion": 0.95}
    assert choose(aucs, {"fusion": 6}) == "wl"
    assert choose(aucs, {"fusion": 6, "wl": 6}) == "fl"
    assert choose({"fl": None, "wl": 0.9}, {"wl": 6}) == "fl"
