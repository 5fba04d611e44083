"""Nothing mixes two devices: on_apart.py, in a process of its own, since torch does not forget a device."""

import subprocess
import sys
from pathlib import Path


def test_on_a_device_apart_answers_are_the_processors():
    there = Path(__file__).with_name("on_apart.py")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(there)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=there.parents[1])
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-1000:]
    assert " passed" in done.stdout
