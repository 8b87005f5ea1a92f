"""The machine in a simulated theatre with a virtual clock, driven at random, judged by `judge` from the light alone."""

import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from glioscope.laser import Beam, Inputs, Limits, Machine, Request, State, power_mw, step

from .judge import Rules, Truth, against

BEAM = Beam(diameter_mm=10, divergence_mrad=100, profile="flat")
LIMITS = Limits(power_mw=5000, nearest_mm=150, working_mm=200, farthest_mm=240, beam=BEAM)
FULL_MW = power_mw(50, 200, BEAM)
TURN, POLL = 0.005, 0.020
RULES = Rules(0.08, 0.5, 0.2, 150, 240, 55, FULL_MW, 10, 100, grace=TURN + 1e-6)
RENEWAL = 0.02
LATER = st.sampled_from([0.005, 0.03, 0.1, 0.35, 0.7])


class Theatre(RuleBasedStateMachine):
    """Rules change the truth; `run` lets time pass in turns of the keeper."""

    def __init__(self):
        super().__init__()
        self.now = 1000.0
        self.machine = Machine()
        self.light_mw = 0.0
        self.owner_alive = self.key = self.cameras = self.finder = self.operator = True
        self.hot = self.stuck = False
        self.drift_mw_s = 0.0
        self.lease_s = self.beat_s = self.now
        self.distance_mm = 200.0
        self.reading = (200.0, self.now)
        self.polled = (True, 0.0, "", self.now)
        self.against_since = {}
        self.unsafe = ""
        self.request = Request.NONE

    def turn(self):
        self.now += TURN
        if self.owner_alive and self.now - self.lease_s >= RENEWAL:
            self.lease_s = self.now
            if self.operator:
                self.beat_s = self.now
            if self.finder:
                self.reading = (self.distance_mm, self.now)
        if self.now - self.polled[3] >= POLL:
            self.polled = (self.key, self.light_mw, "hot" if self.hot else "", self.now)
        key, power, fault, asked = self.polled
        distance, measured = self.reading
        inputs = Inputs(
            self.lease_s,
            self.beat_s,
            self.cameras,
            distance,
            measured,
            key,
            power > 1,
            power,
            fault,
            asked,
            self.request,
        )
        self.request = Request.NONE
        self.machine = step(self.machine, inputs, LIMITS, self.now)
        if self.machine.state is State.EMITTING:
            self.light_mw = (self.light_mw or FULL_MW) + self.drift_mw_s * TURN
        elif not self.stuck:
            self.light_mw = 0.0
        self.judge()

    def judge(self):
        age = self.now - self.reading[1]
        truth = Truth(
            self.key, self.now - self.lease_s, self.now - self.beat_s, self.cameras, self.reading[0], age,
            not self.hot, self.light_mw,
        )  # fmt: skip
        found = against(truth, RULES)
        self.against_since = {name: self.against_since.get(name, self.now) for name in found}
        oldest = max((self.now - since for since in self.against_since.values()), default=0.0)
        # What the head tells is as old as one round of questions; all else is known at once.
        if self.light_mw > 0.5 and not self.stuck and oldest > POLL + 2 * TURN:
            self.unsafe = f"light for {oldest * 1000:.0f} ms against {sorted(found)}"

    def ask(self, request):
        before = self.light_mw
        self.request = Request(request)
        self.turn()
        if before == 0 and self.light_mw > 0:
            young = {name for name, since in self.against_since.items() if self.now - since <= POLL + TURN}
            # The head may just have changed, and nobody could know; all else stands against any light.
            assert request == "emit" and self.against_since.keys() <= young & {"head", "key"}, self.against_since

    @rule(request=st.sampled_from(["arm", "emit", "hold", "off", "clear"]))
    def operator_asks(self, request):
        self.ask(request)

    @rule()
    def operator_goes_for_light(self):
        for request in ("clear", "arm", "emit"):
            self.ask(request)

    @initialize()
    def begin_with_light(self):
        self.all_returns()
        self.operator_goes_for_light()

    @rule(seconds=LATER)
    def run(self, seconds):
        for _ in range(round(seconds / TURN)):
            self.turn()

    @rule(what=st.sampled_from(["owner_alive", "key", "cameras", "finder", "operator"]), seconds=LATER)
    def something_fails_or_returns(self, what, seconds):
        setattr(self, what, not getattr(self, what))
        self.run(seconds)

    @rule()
    def light_again(self):
        self.all_returns()
        self.operator_goes_for_light()

    @rule()
    def all_returns(self):
        self.owner_alive = self.key = self.cameras = self.finder = self.operator = True
        self.hot = self.stuck = False
        self.drift_mw_s = 0.0
        self.distance_mm = 200.0
        self.run(0.4)

    @rule()
    def operator_leaves(self):
        self.operator = False
        self.run(0.7)

    @rule(by=st.sampled_from([-12.0, 12.0]))
    def tissue_wanders(self, by):
        for _ in range(8):
            self.distance_mm += by
            self.run(0.03)

    @rule(hot=st.booleans(), seconds=LATER)
    def head_is_hot(self, hot, seconds):
        self.hot = hot
        self.run(seconds)

    @rule(rate=st.sampled_from([0.0, 30.0, 300.0]), seconds=LATER)
    def power_drifts(self, rate, seconds):
        self.drift_mw_s = rate
        self.run(seconds)

    @rule(by=st.sampled_from([-60.0, -12.0, -3.0, 2.0, 12.0, 50.0, math.nan]), seconds=LATER)
    def tissue_or_rangefinder_moves(self, by, seconds):
        if math.isnan(by):
            self.reading = (math.nan, self.now)
        else:
            self.distance_mm = min(max(self.distance_mm + by, 60.0), 400.0)
        self.run(seconds)

    @rule(ahead=st.sampled_from([0.01, 5.0]))
    def reading_from_the_future(self, ahead):
        finder, self.finder = self.finder, False
        self.reading = (200.0, self.now + ahead)
        for _ in range(4):
            self.turn()
            assert self.light_mw == 0 or self.stuck  # not even when the time it is dated to has come
        self.finder = finder

    @precondition(lambda self: self.light_mw > 0)
    @rule()
    def driver_sticks(self):
        self.stuck = True
        self.ask("off")
        self.run(0.1)
        assert self.machine.state is State.FAULT

    @invariant()
    def never_unsafe(self):
        assert not self.unsafe, self.unsafe

    @invariant()
    def dark_says_why(self):
        assert (self.machine.reason == "") == (self.machine.state is State.EMITTING)


Theatre.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=(Phase.generate,),
)


@pytest.mark.slow
class TestTheatre(Theatre.TestCase):
    pass


def test_the_theatre_can_shine_and_its_judge_can_complain():
    theatre = Theatre()
    theatre.all_returns()
    theatre.operator_goes_for_light()
    assert theatre.light_mw > 100
    theatre.machine = replace(theatre.machine, state=State.EMITTING)
    theatre.key, theatre.stuck = False, False
    for _ in range(20):
        theatre.now += TURN
        theatre.judge()
    assert "key" in theatre.unsafe
