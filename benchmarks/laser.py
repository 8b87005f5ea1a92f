"""bench-laser: how soon after a fault is the light out, and does any unsafe state occur? Head and light are SIMULATED.

The real keeper process and `KeptLaser` run against simulated heads; faults of random kinds are injected at random times
while the laser emits, has just begun to, is strobed by its owner, or is armed. The clock runs from the moment the fault
exists in the world (a heartbeat: when it is 500 ms old; a range reading: when it becomes stale; an owner: its signal)
to the moment the head's own record of its light falls below 0.5 mW. After each injection a monitor, which knows neither
keeper nor machine, goes through all that the head has recorded since the last one. Several rigs run side by side,
mostly waiting; with other programs on the machine the times are theirs too.
"""

import contextlib
import math
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from common import finish, parser
from glioscope.core import DeviceError, Distance, LaserState
from glioscope.devices._kept_laser import KeptLaser
from glioscope.devices._laser import SimulatedLaserSettings
from glioscope.devices._laser_head import HeadWorld, SimulatedHead
from glioscope.devices._laser_light import TAU_S, LightWatch

SETTINGS = SimulatedLaserSettings(power_mw=1000, nearest_mm=200, working_mm=250, farthest_mm=300).keeper_settings("")
CEILING_MW = SETTINGS.limits.commanded_mw * (1 + SETTINGS.limits.power_share) + SETTINGS.limits.dark_mw
DARK_MW = 0.5
LIT_TOO_LONG_S, RISES_TOO_LATE_S = 0.2, 0.05
SOUND = {"key": True, "hot": False, "mute": False, "garbled": False, "slow_ms": 0.0, "drift_mw_s": 0.0, "stuck": False}
SOUND |= {"interlock": True, "unplugged": False, "watchdog_ms": 0.0}
WORLD_KINDS = {
    "key_turned": {"key": False},
    "over_temperature": {"hot": True},
    "port_mute": {"mute": True},
    "answers_garbled": {"garbled": True},
    "answers_slow": {"slow_ms": 60.0},
}
OWN_KINDS = ("heartbeat_late", "range_silent", "range_jumps", "range_future", "range_nan", "too_near", "camera_stops")
HARDWARE_ONLY = ("driver_stuck", "port_unplugged", "keeper_killed")
"""No software can switch off: what is measured is how soon it is said, and hardware (interlock, watchdog) helps."""
KINDS = (*OWN_KINDS, *WORLD_KINDS, "power_drifts", "keeper_terminated", *HARDWARE_ONLY)
OWNER_KINDS = ("owner_killed", "owner_frozen")
OWNER_S, STANDSTILL_S = 20.0, 60.0
"""How long an owner may be refused light, and all rigs together may do nothing, before that is the result."""
PHASES = ("emitting", "emitting", "rising", "strobing", "armed")


@dataclass
class Shot:
    """One injection: `off_s` is None where there was no light after the fault."""

    kind: str
    phase: str
    off_s: float | None
    said_s: float | None
    unsafe: list[str]


@dataclass
class Tally:
    """Injections still to do, and what came of the others."""

    left: int
    shots: list[Shot] = field(default_factory=list)
    lapses: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    realtime: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self) -> bool:
        """Whether there is one more to do."""
        with self.lock:
            self.left -= 1
            return self.left >= 0


class Monitor:
    """Judges the light from the head's record and the truth: when somebody asked for light, and when a fault began."""

    def __init__(self, light: LightWatch) -> None:
        self._light = light
        self._judged_s = time.monotonic()

    def judge(self, asked: list[float], onset: float, *, hardware_only: bool) -> tuple[float | None, list[str]]:
        """Seconds from the fault to the last light, and what was unsafe."""
        now = time.monotonic()
        unsafe = []
        lit = list(self._lit(now))
        for begin, end in lit:
            if begin > self._judged_s and not any(each <= begin + 1e-4 and begin - each < 0.3 for each in asked):
                unsafe.append("light that nobody asked for")
            if begin > onset + RISES_TOO_LATE_S:
                unsafe.append(f"light began {1000 * (begin - onset):.0f} ms after the fault")
            if end > onset + LIT_TOO_LONG_S and not hardware_only:
                unsafe.append(f"light {1000 * (end - onset):.0f} ms after the fault")
        self._judged_s = now
        last = max((end for _, end in lit), default=-math.inf)
        return (last - onset if last > onset else None), unsafe

    def _lit(self, now: float):
        """Intervals with more than 0.5 mW since the last judgement."""
        changes = self._light.changes(self._judged_s)
        begin = None
        for change in changes:
            if change.target_mw > DARK_MW and begin is None:
                begin = change.monotonic_s
            if change.target_mw <= DARK_MW and begin is not None:
                yield begin, change.monotonic_s + TAU_S * math.log(max(change.start_mw, DARK_MW) / DARK_MW)
                begin = None
        if begin is not None:
            yield begin, now


class Rig(threading.Thread):
    """One head, one keeper, one owner in this process."""

    def __init__(self, seed: int, tally: Tally) -> None:
        super().__init__(daemon=True)
        self.rng = random.Random(seed)
        self.tally = tally
        self.beating = self.measuring = True
        self.wrong: tuple[float, float] = (0.0, 0.0)
        self.beat_s = self.read_s = 0.0
        self.pressing = threading.Lock()
        self.asked: list[float] = []

    def run(self) -> None:
        """Inject until nothing is left to do; a rig that is lost is counted."""
        try:
            self.work()
        except (DeviceError, OSError) as error:
            self.tally.lost.append(str(error))

    def work(self) -> None:
        """Inject until nothing is left to do."""
        with SimulatedHead("head", HeadWorld(key=True, key_cuts=False)) as self.head:
            self.laser = KeptLaser("laser", SETTINGS, self.head)
            self.laser.stage()
            threading.Thread(target=self.feed, daemon=True).start()
            self.monitor = Monitor(self.head.light)
            while self.tally.take():
                self.tally.shots.append(self.inject(self.rng.choice(KINDS), self.rng.choice(PHASES)))
            self.tally.realtime = bool(self.laser.report().details["realtime"])
            self.laser.unstage()

    def feed(self) -> None:
        """Heartbeats and range readings, 50 a second, with some noise."""
        while True:
            time.sleep(0.02)
            with self.pressing:
                if self.beating:
                    self.beat()
            if self.measuring:
                self.observe()

    def beat(self) -> None:
        """One heartbeat; `beat_s` is never later than the laser's own stamp of it."""
        now = time.monotonic()
        self.laser.beat()
        self.beat_s = now

    def observe(self) -> None:
        """One reading of the rangefinder, as it is now."""
        now = time.monotonic()
        by_mm, ahead_s = self.wrong
        self.laser.observe(Distance(250 + by_mm + self.rng.uniform(-0.3, 0.3), now + ahead_s))
        self.read_s = now

    def emit(self) -> None:
        """Ask for light, and remember when."""
        self.asked.append(time.monotonic())
        self.laser.emit()

    def recover(self) -> None:
        """All is well again; armed."""
        self.head.change(**SOUND)
        self.beating = self.measuring = True
        self.wrong = (0.0, 0.0)
        self.asked = []
        self.beat()
        self.observe()
        for _ in range(100):
            with contextlib.suppress(DeviceError):
                said = self.laser.laser_report()
                if "keeper" in said.reason or "staged" in said.reason:
                    self.laser.unstage()
                    self.laser.stage()
                    self.laser.set_streaming(True)
                self.laser.set_streaming(True)
                if said.state is LaserState.FAULT:
                    self.laser.clear()
                self.laser.arm()
                self.laser.hold()
                if self.laser.laser_report().state is LaserState.ARMED:
                    return
            time.sleep(0.05)
        raise DeviceError("laser", f"does not come back: {self.laser.laser_report()}")

    def enter(self, phase: str) -> threading.Event:
        """Bring the laser into a phase; the event ends the strobing."""
        end = threading.Event()
        if phase == "armed":
            return end
        for _ in range(50):
            try:
                self.emit()
                break
            except DeviceError as error:
                self.tally.lapses.append(str(error))
            self.recover()
        if phase == "strobing":
            threading.Thread(target=self.strobe, args=(end,), daemon=True).start()
        time.sleep(self.rng.uniform(0, 0.008) if phase == "rising" else self.rng.uniform(0.03, 0.25))
        said = self.laser.laser_report()
        if phase == "emitting" and said.state is not LaserState.EMITTING:
            self.tally.lapses.append(said.reason)
        return end

    def strobe(self, end: threading.Event) -> None:
        """Light on and off by requests, until refused."""
        with contextlib.suppress(DeviceError):
            while not end.wait(0.02):
                self.laser.hold()
                time.sleep(0.01)
                self.emit()

    def inject(self, kind: str, phase: str) -> Shot:
        """One fault, from all well to judged."""
        self.recover()
        if kind in HARDWARE_ONLY or (kind == "power_drifts" and phase != "emitting"):
            phase = "emitting"
        ended = self.enter(phase)
        onset = self.break_it(kind)
        if phase == "armed":
            with contextlib.suppress(DeviceError):
                time.sleep(self.rng.uniform(0, 0.1))
                if time.monotonic() > onset + 0.03:
                    self.emit()
        said_s = self.wait(onset, kind)
        ended.set()
        if kind == "power_drifts":
            over = (each for each in self.head.light.changes(onset) if each.target_mw > CEILING_MW)
            onset = next((each.monotonic_s for each in over), onset)
        off_s, unsafe = self.monitor.judge(self.asked, onset, hardware_only=kind in HARDWARE_ONLY)
        return Shot(kind, phase, off_s, said_s, [f"{kind}, {phase}: {each}" for each in unsafe])

    def wait(self, onset: float, kind: str) -> float | None:
        """Wait until the light is out and the fault is said; seconds until it was said."""
        said_s = None
        while time.monotonic() < onset + 1.0:
            said = self.laser.laser_report()
            if said_s is None and said.state in (LaserState.OFF, LaserState.FAULT):
                said_s = time.monotonic() - onset
                if kind in ("driver_stuck", "port_unplugged"):
                    self.head.change(interlock=False)  # the operator's hand
            if said_s is not None and self.head.light.power_mw(time.monotonic()) < DARK_MW:
                break
            time.sleep(0.003)
        time.sleep(0.03)
        return said_s

    def break_it(self, kind: str) -> float:
        """Do it; the time from which the fault exists."""
        now = time.monotonic()
        if kind == "heartbeat_late":
            with self.pressing:  # a heartbeat under way is the last
                self.beating = False
            time.sleep(0.5)
            return self.beat_s + 0.5
        if kind == "range_silent":
            self.measuring = False
            time.sleep(0.2)
            return self.read_s + 0.2
        if kind in ("range_jumps", "range_future", "range_nan", "too_near"):
            self.wrong = {
                "range_jumps": (self.rng.choice([-40.0, 40.0]), 0.0),
                "range_future": (0.0, self.rng.choice([0.01, 1.0, 1e6])),
                "range_nan": (math.nan, 0.0),
                "too_near": (-14.0, 0.0),
            }[kind]
            self.observe()
            return now
        if kind == "camera_stops":
            self.laser.set_streaming(False)
            return now
        if kind == "power_drifts":
            return self.head.change(drift_mw_s=self.rng.uniform(300, 5000))
        if kind in WORLD_KINDS:
            return self.head.change(**WORLD_KINDS[kind])
        if kind == "driver_stuck":
            self.head.change(stuck=True)
            now = time.monotonic()
            self.laser.stop()
            return now
        if kind == "port_unplugged":
            return self.head.change(unplugged=True)
        if kind == "keeper_killed":
            self.head.change(watchdog_ms=60.0)
        now = time.monotonic()
        self.laser._child.send_signal(signal.SIGTERM if kind == "keeper_terminated" else signal.SIGKILL)
        return now


class OwnerRig(threading.Thread):
    """One head, and an owner in a process of its own, which is killed or frozen."""

    def __init__(self, seed: int, tally: Tally) -> None:
        super().__init__(daemon=True)
        self.rng = random.Random(seed)
        self.tally = tally
        self.child: subprocess.Popen[str] | None = None

    def run(self) -> None:
        """Kill or freeze until nothing is left to do; a rig that is lost is counted."""
        try:
            self.work()
        except (DeviceError, OSError) as error:
            self.tally.lost.append(str(error))

    def work(self) -> None:
        """Kill or freeze until nothing is left to do."""
        with SimulatedHead("head", HeadWorld(key=True)) as self.head:
            monitor = Monitor(self.head.light)
            while self.tally.take():
                kind = self.rng.choices(OWNER_KINDS, (1, 3))[0]
                asked = self.shine()
                time.sleep(self.rng.uniform(0, 0.15))
                onset = time.monotonic()
                self.child.send_signal(signal.SIGKILL if kind == "owner_killed" else signal.SIGSTOP)
                while self.head.light.power_mw(time.monotonic()) > DARK_MW and time.monotonic() < onset + 1:
                    time.sleep(0.003)
                time.sleep(self.rng.uniform(0.03, 0.2))
                if kind == "owner_frozen":
                    self.child.send_signal(signal.SIGCONT)
                    time.sleep(0.05)  # nothing may come back by itself
                off_s, unsafe = monitor.judge([asked], onset, hardware_only=False)
                self.tally.shots.append(Shot(kind, "emitting", off_s, None, [f"{kind}: {each}" for each in unsafe]))
                if kind == "owner_killed":
                    self.child.wait()
                    self.child = None
            if self.child:
                self.child.kill()

    def shine(self) -> float:
        """Have the owner emit; when it asked for light."""
        if self.child is None:
            words = [sys.executable, __file__, "--owner", self.head.port]
            self.child = subprocess.Popen(
                words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parent
            )
        self.child.stdin.write("go\n")
        self.child.stdin.flush()
        late = threading.Timer(OWNER_S, self.child.kill)
        late.start()
        try:
            while True:
                said = self.child.stdout.readline().split(" ", 1)
                if said[0] == "emitting":
                    return float(said[1])
                if said == [""]:
                    raise DeviceError("owner", f"gave no light within {OWNER_S:g} s; last: {self.tally.lapses[-1:]}")
                self.tally.lapses.append("owner: " + said[-1].strip())
        finally:
            late.cancel()


def own(port: str) -> None:
    """The process of an owner: emits whenever it is told to."""
    laser = KeptLaser("laser", SimulatedLaserSettings.model_validate(_words()).keeper_settings(port))
    laser.stage()
    laser.set_streaming(True)

    def feed() -> None:
        while True:
            laser.beat()
            laser.observe(Distance(250.0, time.monotonic()))
            time.sleep(0.02)

    threading.Thread(target=feed, daemon=True).start()
    for _ in sys.stdin:
        _go(laser)


def _go(laser: KeptLaser) -> None:
    while True:
        try:
            if "keeper" in laser.laser_report().reason:  # it ended itself while its owner was frozen
                laser.unstage()
                laser.stage()
                laser.set_streaming(True)
            if laser.laser_report().state is LaserState.FAULT:
                laser.clear()
            laser.arm()
            asked = time.monotonic()
            laser.emit()
        except DeviceError as error:
            print("refused", error, flush=True)
            time.sleep(0.05)
        else:
            print("emitting", asked, flush=True)
            return


def _words() -> dict[str, float]:
    limits = SETTINGS.limits
    names = ("power_mw", "nearest_mm", "working_mm", "farthest_mm")
    return {name: getattr(limits, name) for name in names}


def spread(seconds: list[float]) -> dict[str, float]:
    """Quantiles in milliseconds."""
    if not seconds:
        return {}
    p50, p99, highest = 1000 * np.quantile(seconds, [0.5, 0.99, 1.0])
    return {"p50_ms": round(p50, 1), "p99_ms": round(p99, 1), "max_ms": round(highest, 1)}


def results(tally: Tally, rigs: int, seconds: float) -> dict:
    """What is printed."""
    software = [each for each in tally.shots if each.kind not in HARDWARE_ONLY]
    off = [each.off_s for each in software if each.off_s is not None]
    by_kind = {}
    for kind in (*KINDS, *OWNER_KINDS):
        shots = [each for each in tally.shots if each.kind == kind]
        times = [each.off_s for each in shots if each.off_s is not None]
        by_kind[kind] = {"injections": len(shots), "lit": len(times), **spread(times)}
        if kind in HARDWARE_ONLY:
            said = spread([each.said_s for each in shots if each.said_s is not None])
            by_kind[kind] |= {f"said_{name}": value for name, value in said.items()}
    unsafe = [each for shot in tally.shots for each in shot.unsafe]
    return {
        **{f"off_{name}": value for name, value in spread(off).items()},
        "injections": len(tally.shots),
        "lit_at_fault": len(off),
        "unsafe_states": len(unsafe),
        "unsafe_if": "light over 200 ms after a fault, rising over 50 ms after it, or not asked for",
        "unsafe_first": unsafe[:5],
        "not_in_off": list(HARDWARE_ONLY),
        "lapses_without_fault": len(tally.lapses),
        "lapses_first": tally.lapses[:5],
        "rigs": rigs,
        "rigs_lost": tally.lost,
        "keeper_realtime": tally.realtime,
        "seconds": round(seconds),
        "by_kind": by_kind,
        "simulated": True,
    }


def main() -> None:
    arguments = parser(__doc__.splitlines()[0])
    arguments.add_argument("--injections", type=int, default=10_000)
    arguments.add_argument("--rigs", type=int, default=8)
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--owner", metavar="PORT", help="for the benchmark's own use")
    chosen = arguments.parse_args()
    if chosen.owner:
        own(chosen.owner)
        return
    tally = Tally(chosen.injections)
    started = time.monotonic()
    # Each fourth rig has its owner in a process of its own.
    rigs = [(OwnerRig if index % 4 == 3 else Rig)(chosen.seed * 100 + index, tally) for index in range(chosen.rigs)]
    for rig in rigs:
        rig.start()
    progress = (0, started)
    while any(rig.is_alive() for rig in rigs) and time.monotonic() - progress[1] < STANDSTILL_S:
        time.sleep(5)
        if len(tally.shots) != progress[0]:
            progress = (len(tally.shots), time.monotonic())
        print(f"{len(tally.shots)} of {chosen.injections}", file=sys.stderr, flush=True)
    tally.lost += [f"{type(rig).__name__} {index} stands still" for index, rig in enumerate(rigs) if rig.is_alive()]
    finish("bench-laser", results(tally, chosen.rigs, time.monotonic() - started), record=chosen.record)


if __name__ == "__main__":
    main()
