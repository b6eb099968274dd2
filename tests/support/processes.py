"""Processes that tests start: stop them, and find those that remain."""

import os
import secrets
import signal
import subprocess
import time
from pathlib import Path

_MARK = "SKIN_LESIONS_TESTS"
# Python starts them once, and they end with the tests.
_SERVICES = ("resource_tracker", "multiprocessing.forkserver")


def stop_group(process: subprocess.Popen) -> None:
    """Stop a process that was started with ``start_new_session``, and all processes it started."""
    for number, seconds in ((signal.SIGTERM, 20), (signal.SIGKILL, 20)):
        if not _group_exists(process):
            break
        os.killpg(process.pid, number)
        deadline = time.monotonic() + seconds
        while _group_exists(process) and time.monotonic() < deadline:
            process.poll()  # a process that has ended exists until its status is read
            time.sleep(0.05)
    process.wait(20)


def _group_exists(process: subprocess.Popen) -> bool:
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def mark_descendants() -> None:
    """Mark all processes that this process starts, by a variable that they inherit."""
    os.environ[_MARK] = f"{os.getpid()}-{secrets.token_hex(4)}"


def remaining_processes(seconds: float) -> list[str]:
    """List the command lines of the marked processes that still run after ``seconds``.

    Processes whose parent has ended are found, too. On systems without ``/proc``, none is found.
    """
    deadline = time.monotonic() + seconds
    while (found := _marked_processes()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return found


def _marked_processes() -> list[str]:
    mark = f"{_MARK}={os.environ[_MARK]}".encode()
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
            command = (
                (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            )
        except OSError:  # it has ended, or belongs to another user
            continue
        is_service = any(name in command for name in _SERVICES)
        if mark in environment and int(folder.name) != os.getpid() and not is_service:
            found.append(f"{folder.name}: {command}")
    return found
