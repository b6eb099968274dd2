import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import remaining_processes, stop_group

pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="requires /proc")

# A process that starts another one, writes its number and waits, like the server of Kedro-Viz.
PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
print(child.pid, flush=True)
child.wait()
"""


def start():
    command = [sys.executable, "-c", PARENT]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
    child = int(parent.stdout.readline())
    return parent, child


def is_running(number):
    return any(line.startswith(f"{number}:") for line in remaining_processes(seconds=0))


def test_process_whose_parent_has_ended_is_found_and_stopped():
    parent, child = start()
    parent.kill()
    parent.wait()
    assert is_running(child)
    stop_group(parent)
    parent.stdout.close()
    assert not is_running(child)


def test_group_is_stopped_with_all_its_processes():
    parent, child = start()
    stop_group(parent)
    parent.stdout.close()
    assert not is_running(child)
    assert not is_running(parent.pid)
