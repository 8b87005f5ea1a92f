from itertools import pairwise

import numpy as np
import pytest

pytest.importorskip("torch", reason="needs glioscope[train]")

import torch

from glioscope.core import InputError, Modality
from glioscope.explain._randomise import HEAD, cascade, independent, randomised, stages
from glioscope.models import SpecimenNet, create_backbone
from tests.explain.networks import noise, small_network

RNG = np.random.default_rng


def weights(network):
    return {name: value.numpy().copy() for name, value in network.state_dict().items() if value.is_floating_point()}


def changed(before, after):
    return {name for name, value in weights(before).items() if not np.array_equal(value, weights(after)[name])}


def test_stages_run_from_the_head_to_the_input_and_hold_every_weight():
    network = small_network()
    with torch.no_grad():
        for weight in network.parameters():
            weight.add_(0.1)  # batch norm of a new network has the weights that it is reset to
    names = stages(network)
    assert names == (HEAD, "6", "4", "3", "1", "0")
    parameters = {name for name, _ in network.named_parameters()}
    assert parameters <= changed(network, randomised(network, names, noise(), RNG(0)))


def test_stages_of_an_efficientnet_are_its_blocks():
    network = SpecimenNet(Modality.FL, [create_backbone("tf_efficientnet_lite0", "none")[0]]).eval()
    names = stages(network)
    assert names[:3] == (HEAD, "bn2", "conv_head")
    assert names[-1] == "conv_stem"
    assert {"blocks.0", "blocks.6"} <= set(names)


def test_the_cascade_grows_from_the_head_and_independent_stages_change_alone():
    network = small_network()
    before = weights(network)
    grown = [changed(network, other) for _, other in cascade(network, noise(), RNG(0))]
    assert grown[0] == {"head.weight", "head.bias"}
    assert all(first <= second for first, second in pairwise(grown))
    for name, other in independent(network, noise(), RNG(0)):
        part = "head." if name == HEAD else f"backbones.fl.{name}."
        assert all(key.startswith(part) for key in changed(network, other)), name
    assert all(np.array_equal(before[key], value) for key, value in weights(network).items()), "the network itself"


def test_signals_neither_die_out_nor_overflow_in_a_deep_network():
    network = SpecimenNet(Modality.FL, [create_backbone("tf_efficientnet_lite0", "none")[0]]).eval()
    images = noise(count=4, size=64)
    fresh = randomised(network, stages(network), images, RNG(0))
    with torch.no_grad():
        spread = float(fresh.maps(torch.from_numpy(images["fl"]))[0].std())
    assert 0.05 < spread < 20
    assert not fresh.training and not any(layer.training for layer in fresh.modules())


def test_one_seed_gives_one_network_and_leaves_torchs_own_generator_alone():
    network = small_network()
    torch.manual_seed(1)
    expected = float(torch.rand(1))
    torch.manual_seed(1)
    first = randomised(network, stages(network), noise(), RNG(3))
    assert float(torch.rand(1)) == expected
    assert not changed(first, randomised(network, stages(network), noise(), RNG(3)))
    assert changed(first, randomised(network, stages(network), noise(), RNG(4)))


def test_two_backbones_are_drawn_side_by_side():
    network = small_network(Modality.FUSION)
    last = changed(network, randomised(network, ["6"], noise(Modality.FUSION), RNG(0)))
    assert last == {f"backbones.{name}.6.{kind}" for name in ("fl", "wl") for kind in ("weight", "bias")}


def test_an_unknown_stage_is_refused():
    with pytest.raises(InputError, match="no stage 'tail'; it has head"):
        randomised(small_network(), ["tail"], noise(), RNG(0))
