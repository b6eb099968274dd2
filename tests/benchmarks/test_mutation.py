"""The faults of the mutation tests fit the code, and the script detects what the tests detect."""

import ast
from collections import Counter

import pytest

from support.benchmarks import BENCHMARKS, import_benchmark

mutation = import_benchmark("mutation")
ROOT = BENCHMARKS.parent
MUTATIONS = mutation.load_mutations()


def test_every_fault_can_be_made_exactly_once_and_gives_valid_code():
    for fault in MUTATIONS:
        text = mutation.mutated_text(fault, ROOT)
        if fault.file.endswith(".py"):
            ast.parse(text, fault.file)


def test_the_tests_of_every_fault_exist():
    for name in {name for fault in MUTATIONS for name in fault.tests}:
        file, _, function = name.partition("::")
        path = ROOT / "tests" / file
        assert path.exists(), name
        if function:
            assert f"def {function.split('[')[0]}(" in path.read_text(encoding="utf-8"), name


def test_faults_have_different_names_and_are_in_every_package_with_results():
    assert [name for name, n in Counter(map(str, MUTATIONS)).items() if n > 1] == []
    assert len(MUTATIONS) >= 150
    packages = {path.parent.name for path in (ROOT / mutation.PACKAGE).glob("*/__init__.py")}
    assert {fault.file.split("/")[0] for fault in MUTATIONS} >= packages


@pytest.fixture
def project(tmp_path):
    """Create a small project: a module and its tests, one of which does not detect all faults."""
    package = tmp_path / "src" / "skin_lesions"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "numbers.py").write_text("def larger(a, b):\n    return a if a > b else b\n")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_numbers.py").write_text(
        "from skin_lesions.numbers import larger\n\n\ndef test_one_is_larger_than_zero():\n"
        "    assert larger(1, 0) == 1\n"
    )
    return tmp_path


def faults(**texts):
    """Return one mutation per new text of the condition in the small project."""
    return [
        mutation.Mutation(
            file="numbers.py",
            fault=mutation.Fault(name=name, old="a > b", new=new),
            tests=("test_numbers.py",),
        )
        for name, new in texts.items()
    ]


def test_detected_faults_are_killed_and_the_others_survive(project):
    killed, survived = faults(killed="a < b", survived="a >= b")
    statuses = mutation.run_mutations([killed, survived], project, processes=2, timeout=600)
    assert statuses == {killed: "killed", survived: "survived"}
    assert mutation.summary(statuses) == {
        "faults": 2,
        "killed": 1,
        "timeout": 0,
        "survived": 1,
        "invalid": 0,
        "kill_rate": 0.5,
        "detected_by_package": {"numbers": "1 of 2"},
        "not_detected": ["numbers.py: survived"],
    }
    text = (project / "src" / "skin_lesions" / "numbers.py").read_text()
    assert text == "def larger(a, b):\n    return a if a > b else b\n"


def test_tests_that_do_not_end_in_time_count_as_detected(project):
    [fault] = faults(endless="a > b")
    assert mutation.run_tests(project, fault.tests, timeout=0.01) == ("timeout", "")
    assert mutation.summary({fault: "timeout"})["kill_rate"] == 1


def test_fault_with_which_no_test_can_start_does_not_count_as_detected(project):
    [fault] = faults(broken="a >")
    statuses = mutation.run_mutations([fault], project, processes=1, timeout=600)
    assert statuses == {fault: "invalid"}
    assert mutation.summary(statuses)["kill_rate"] == 0


def test_failing_tests_are_reported_before_any_fault_is_made(project):
    (project / "tests" / "test_numbers.py").write_text("def test_fails():\n    assert False\n")
    with pytest.raises(SystemExit, match="Tests fail without a fault"):
        mutation.run_mutations(faults(killed="a < b"), project, processes=1, timeout=600)


@pytest.mark.parametrize("old", ["a", "no such text"])
def test_text_that_is_absent_or_ambiguous_is_rejected(project, old):
    fault = mutation.Mutation(
        file="numbers.py", fault=mutation.Fault(name="x", old=old, new=""), tests=()
    )
    with pytest.raises(SystemExit, match="the old text occurs .* Expected exactly one occurrence"):
        mutation.mutated_text(fault, project)


def test_files_and_samples_are_selected():
    files = {fault.file for fault in mutation.selected(MUTATIONS, ["metrics", "data/splits.py"], 0)}
    assert "data/splits.py" in files
    assert all(file.startswith(("metrics/", "data/splits.py")) for file in files)
    assert len(mutation.selected(MUTATIONS, [], 20)) == 20
    with pytest.raises(SystemExit, match="No faults in nowhere"):
        mutation.selected(MUTATIONS, ["nowhere"], 0)
