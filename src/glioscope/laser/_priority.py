"""Before all others: the keeper must get a processor at once, however busy the machine is."""

import os

PRIORITY = 10


def take_priority() -> bool:
    """Real-time priority for this process and the threads it starts later; False where the system does not give it.

    Linux gives it to root and to users with an rtprio limit (`/etc/security/limits.conf`).
    """
    if not hasattr(os, "sched_setscheduler"):
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(PRIORITY))
    except OSError:
        return False
    return True
