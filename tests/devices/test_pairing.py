"""Pairs: nearest in time, complete at once, flagged beyond half a period."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glioscope.core import Frame
from glioscope.devices._pairing import FramePair, Pairer

PERIOD_S = 0.04
FL = np.zeros((2, 3), np.uint16)
WL = np.zeros((2, 3, 3), np.uint8)


def frame(slot: str, sequence: int, time_s: float) -> Frame:
    return Frame(FL if slot == "fl" else WL, slot, sequence, time_s)


def run(arrivals: list[tuple[str, int, float]]) -> tuple[Pairer, list[FramePair]]:
    """Frames in the order of their arrival."""
    pairer, pairs = Pairer(1000 * PERIOD_S), []
    for slot, sequence, time_s in arrivals:
        pairs += pairer.add(slot, frame(slot, sequence, time_s))
    return pairer, pairs


def test_frames_of_one_trigger_are_paired_as_soon_as_the_second_arrives() -> None:
    _, pairs = run([("fl", 0, 1.0), ("wl", 7, 1.002), ("wl", 8, 1.042), ("fl", 1, 1.04)])
    assert [(p.fl.sequence, p.wl.sequence) for p in pairs] == [(0, 7), (1, 8)]
    assert pairs[0].skew_ms == pytest.approx(2.0)
    assert not any(p.reasons for p in pairs)


@settings(max_examples=200, deadline=None)
@given(
    offset=st.floats(-0.0195, 0.0195),
    jitter=st.lists(st.floats(-0.0002, 0.0002), min_size=40, max_size=40),
    delays=st.lists(st.floats(0, 0.03), min_size=40, max_size=40),
)
def test_a_constant_offset_under_half_a_period_pairs_every_frame_with_its_nearest(
    offset: float, jitter: list[float], delays: list[float]
) -> None:
    made = [("fl", n, 10 + n * PERIOD_S) for n in range(20)]
    made += [("wl", n, 10 + n * PERIOD_S + offset + jitter[n]) for n in range(20)]
    arrival = {}
    for place, (slot, n, time_s) in enumerate(made):
        # A camera's own frames arrive in order.
        arrival[slot, n] = max(time_s + delays[place], arrival.get((slot, n - 1), 0.0) + 1e-6)
    made.sort(key=lambda item: arrival[item[0], item[1]])
    pairer, pairs = run(made)
    assert [(p.fl.sequence, p.wl.sequence) for p in pairs] == [(n, n) for n in range(20)]
    assert not any(p.reasons for p in pairs)
    assert pairer.unpaired == {"fl": 0, "wl": 0}


@settings(max_examples=200, deadline=None)
@given(kept=st.lists(st.booleans(), min_size=60, max_size=60))
def test_lost_frames_cost_only_their_own_pair(kept: list[bool]) -> None:
    made = [("fl", n, n * PERIOD_S) for n in range(30) if kept[n]]
    made += [("wl", n, n * PERIOD_S + 0.001) for n in range(30) if kept[30 + n]]
    made.sort(key=lambda item: item[2])
    _, pairs = run(made)
    good = [p for p in pairs if not p.reasons]
    both = [n for n in range(30) if kept[n] and kept[30 + n]]
    assert [(p.fl.sequence, p.wl.sequence) for p in good] == [(n, n) for n in both]
    for pair in pairs:
        if pair.reasons:
            assert abs(pair.skew_ms) > 20
            assert pair.reasons[0].name == "pair_apart"
            assert pair.reasons[0].limit == pytest.approx(20)


def test_a_camera_of_half_the_rate_leaves_every_second_frame_flagged() -> None:
    made = [("fl", n, n * PERIOD_S) for n in range(20)] + [("wl", n, 2 * n * PERIOD_S) for n in range(10)]
    made.sort(key=lambda item: item[2])
    _, pairs = run(made)
    assert sum(not p.reasons for p in pairs) == 10
    assert sum(bool(p.reasons) for p in pairs) == 9  # the last has to wait


def test_frames_without_any_partner_are_counted_not_paired() -> None:
    pairer, pairs = run([("fl", n, n * PERIOD_S) for n in range(20)] + [("wl", 0, 60.0)])
    assert pairs == []
    assert pairer.unpaired["fl"] == 20


def test_starting_anew_forgets_what_waits() -> None:
    pairer = Pairer(40)
    pairer.add("fl", frame("fl", 0, 1.0))
    pairer.forget()
    assert pairer.add("wl", frame("wl", 0, 1.0)) == []
    assert pairer.unpaired["fl"] == 1
