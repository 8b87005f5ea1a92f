"""`python -m glioscope.laser`: the keeper of the laser."""

import os
import sys
import traceback

from ._keeper import main

if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stderr.flush()
    os._exit(code)  # the light is off; the thread that still waits for a line must not hold up the end
