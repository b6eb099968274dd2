"""Benchmark of the tests: the fraction of deliberate faults in ``src`` that they detect.

    python benchmarks/mutation.py                           # all faults, as make mutation
    python benchmarks/mutation.py data/splits.py training   # only the faults of these files
    python benchmarks/mutation.py --sample 20               # 20 random faults

Each file in ``mutations`` lists the faults of one package: a text that occurs exactly once in a
source file, its replacement, and the tests that should detect it. The script copies the project to
temporary folders, one per process, and never changes the checkout. It makes one fault at a time and
runs the tests of this fault until the first one fails. Slow tests run only if a fault names them
individually (file::test).

A fault is ``killed`` if a test fails, ``timeout`` if the tests do not end in time, ``survived`` if
all tests pass, and ``invalid`` if no test can start. The kill rate counts the first two. A run of
all faults is recorded in results/mutation.json, and fails if the kill rate is below the aim.
"""

import argparse
import importlib.util
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, TypeAdapter

from record import ROOT, save_results

AIM = 0.9  # fraction of the faults that the tests should detect
MUTATIONS = Path(__file__).parent / "mutations"
PACKAGE = Path("src") / "skin_lesions"
_COPIED = ("benchmarks", "conf", "docs", "src", "tests", "pyproject.toml")
_MARKERS = "not slow and not distributed and not browser"

Status = Literal["killed", "timeout", "survived", "invalid"]
_DETECTED = ("killed", "timeout")
_STATUSES: dict[int, Status] = {0: "survived", 1: "killed"}  # by the exit code of pytest


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Fault(_Entry):
    """A deliberate fault.

    Attributes:
        name: What is wrong with the changed code.
        old: Text that occurs exactly once in the file.
        new: Its replacement.
        tests: Tests that should detect the fault, relative to ``tests``; empty: those of the file.
    """

    name: str
    old: str
    new: str
    tests: tuple[str, ...] = ()


class FaultyFile(_Entry):
    """The faults of a source file (relative to the package), and the tests that detect them."""

    file: str
    tests: tuple[str, ...]
    faults: tuple[Fault, ...]


class Mutation(_Entry):
    """A fault with its file and its tests."""

    file: str
    fault: Fault
    tests: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.file}: {self.fault.name}"


def load_mutations(folder: Path = MUTATIONS) -> list[Mutation]:
    """Read all faults of a folder."""
    adapter = TypeAdapter(list[FaultyFile])
    files = [
        entry
        for path in sorted(folder.glob("*.yml"))
        for entry in adapter.validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))
    ]
    return [
        Mutation(file=entry.file, fault=fault, tests=fault.tests or entry.tests)
        for entry in files
        for fault in entry.faults
    ]


def mutated_text(mutation: Mutation, root: Path) -> str:
    """Return the text of the source file with the fault.

    Raises:
        SystemExit: The text to replace does not occur exactly once.
    """
    text = (root / PACKAGE / mutation.file).read_text(encoding="utf-8")
    count = text.count(mutation.fault.old)
    if count != 1:
        raise SystemExit(
            f"{mutation}: the old text occurs {count} times. Expected exactly one occurrence. "
            "Fix: adapt the fault to the changed code"
        )
    return text.replace(mutation.fault.old, mutation.fault.new)


def copy_project(root: Path, copy: Path) -> None:
    """Copy what the tests need."""
    for name in _COPIED:
        if (root / name).is_dir():
            shutil.copytree(
                root / name, copy / name, ignore=shutil.ignore_patterns("__pycache__", "results")
            )
        elif (root / name).exists():
            shutil.copy(root / name, copy / name)


def run_tests(copy: Path, tests: Sequence[str], timeout: float | None) -> tuple[Status, str]:
    """Run tests in a copy of the project until the first failure. Return the status and output."""
    files = [f"tests/{test}" for test in tests if not _is_individual(test)]
    individual = [f"tests/{test}" for test in tests if _is_individual(test)]
    status, output = "survived", ""
    for selection in (["-m", _MARKERS, *files] if files else [], individual):
        if selection and status == "survived":
            status, output = _pytest(copy, selection, timeout)
    return status, output


def _is_individual(test: str) -> bool:
    return "::" in test


def _pytest(copy: Path, selection: Sequence[str], timeout: float | None) -> tuple[Status, str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header"]
    command += ["-p", "no:cacheprovider", "--hypothesis-seed=0", *selection]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        try:
            code = subprocess.run(
                command,
                cwd=copy,
                env=os.environ | {"PYTHONPATH": str(copy / "src")},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=timeout,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return "timeout", ""
        output.seek(0)
        return _STATUSES.get(code, "invalid"), output.read()


def run_mutation(copy: Path, mutation: Mutation, timeout: float) -> tuple[Status, str]:
    """Make the fault in a copy of the project, run its tests, and restore the file."""
    path = copy / PACKAGE / mutation.file
    original = path.read_text(encoding="utf-8")
    # The bytecode is deleted, because Python would not notice a change within the same second.
    bytecode = Path(importlib.util.cache_from_source(str(path)))
    try:
        path.write_text(mutated_text(mutation, copy), encoding="utf-8")
        bytecode.unlink(missing_ok=True)
        return run_tests(copy, mutation.tests, timeout)
    finally:
        path.write_text(original, encoding="utf-8")
        bytecode.unlink(missing_ok=True)


def run_mutations(
    mutations: Sequence[Mutation], root: Path, processes: int, timeout: float
) -> dict[Mutation, Status]:
    """Run all mutations in several copies of the project.

    Raises:
        SystemExit: The tests fail without a fault.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(processes) as pool:
        copies: SimpleQueue[Path] = SimpleQueue()
        for number in range(processes):
            copy = Path(folder) / str(number)
            copy.mkdir()
            copy_project(root, copy)
            copies.put(copy)

        def check(tests: Sequence[str]) -> None:
            copy = copies.get()
            status, output = run_tests(copy, tests, None)
            copies.put(copy)
            if status != "survived":
                raise SystemExit(f"Tests fail without a fault. Fix them first.\n{output}")

        def run(mutation: Mutation) -> Status:
            copy = copies.get()
            start = time.perf_counter()
            status, output = run_mutation(copy, mutation, timeout)
            copies.put(copy)
            print(f"{status:9}{time.perf_counter() - start:6.1f} s  {mutation}", flush=True)
            if status == "invalid":
                print(output)
            return status

        list(pool.map(check, _shares(mutations, processes)))
        return dict(zip(mutations, pool.map(run, mutations), strict=True))


def _shares(mutations: Sequence[Mutation], processes: int) -> list[list[str]]:
    """Divide the tests of all mutations between processes, each test once."""
    tests = sorted({test for mutation in mutations for test in mutation.tests})
    return [tests[n::processes] for n in range(min(processes, len(tests)))]


def summary(statuses: dict[Mutation, Status]) -> dict[str, Any]:
    """Count the statuses, and list the faults that no test detects."""
    totals = Counter(_package(mutation) for mutation in statuses)
    detected = Counter(
        _package(mutation) for mutation, status in statuses.items() if status in _DETECTED
    )
    counts = Counter(statuses.values())
    return {
        "faults": len(statuses),
        **{status: counts[status] for status in get_args(Status)},
        "kill_rate": detected.total() / len(statuses),
        "detected_by_package": {
            name: f"{detected[name]} of {total}" for name, total in sorted(totals.items())
        },
        "not_detected": [
            str(mutation) for mutation, status in statuses.items() if status not in _DETECTED
        ],
    }


def _package(mutation: Mutation) -> str:
    return Path(mutation.file).parts[0].removesuffix(".py")


def selected(mutations: Sequence[Mutation], files: Sequence[str], sample: int) -> list[Mutation]:
    """Return the mutations whose file begins with one of these paths, or a sample of them."""
    found = [m for m in mutations if not files or m.file.startswith(tuple(files))]
    if not found:
        raise SystemExit(f"No faults in {', '.join(files)}. Expected files or folders of {PACKAGE}")
    return random.Random(0).sample(found, min(sample, len(found))) if sample else found  # noqa: S311


def main(args: argparse.Namespace) -> None:
    # The processes share the cores. Several threads for each of them would slow all of them down.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // args.processes)))
    mutations = selected(load_mutations(), args.files, args.sample)
    for mutation in mutations:
        mutated_text(mutation, ROOT)
    start = time.perf_counter()
    results = summary(run_mutations(mutations, ROOT, args.processes, args.timeout))
    results |= {"seconds": time.perf_counter() - start, "processes": args.processes}
    if args.files or args.sample:
        print(yaml.safe_dump(results, sort_keys=False))
        return
    save_results("mutation", results)
    if results["kill_rate"] < AIM:
        raise SystemExit(
            f"The tests detect {results['kill_rate']:.1%} of the faults. Aim: {AIM:.0%}"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", help="source files or folders, relative to the package")
    parser.add_argument("--sample", type=int, default=0, help="number of random faults; 0: all")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--timeout", type=float, default=180.0, help="seconds for the tests")
    main(parser.parse_args())
