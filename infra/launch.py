"""Becomes a program, after asking the kernel to end it when the supervisor dies: `launch.py SUPERVISOR_PID ARGV...`

A file of its own, run by a bare interpreter, because doing this between fork and exec is not safe in a process with
threads. Other systems than Linux have no such request; there the next `up` or `down` finds what was left.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != int(sys.argv[1]):  # it died before we could ask
            sys.exit(143)
    os.execvp(sys.argv[2], sys.argv[2:])
