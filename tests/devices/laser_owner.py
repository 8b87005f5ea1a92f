"""A program that owns the laser and emits until its end, to be killed or frozen by a test."""

import sys
import time

from glioscope.core import Distance
from glioscope.devices._laser import KeptLaser, SimulatedLaserSettings

SETTINGS = SimulatedLaserSettings(key=True, power_mw=1000, nearest_mm=200, working_mm=250, farthest_mm=300)


def main(port: str) -> None:
    laser = KeptLaser("laser", SETTINGS.keeper_settings(port))
    laser.stage()
    laser.set_streaming(True)
    started = False
    while True:
        laser.beat()
        laser.observe(Distance(250.0, time.monotonic()))
        if not started:
            laser.arm()
            laser.emit()
            sys.stdout.write("emitting\n")
            sys.stdout.flush()
            started = True
        time.sleep(0.02)


if __name__ == "__main__":
    main(sys.argv[1])
