import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

import skin_lesions.audit
from skin_lesions.audit import registry, run_audit
from skin_lesions.audit.finding import Finding
from skin_lesions.audit.leakage import near_duplicates
from support.audit import audit_context, by_id

PAGE = "docs/contributing/add-an-audit-check.md"
SOURCES = sorted(Path(skin_lesions.audit.__file__).parent.rglob("*.py"))


def audit_modules() -> list[ModuleType]:
    found = pkgutil.walk_packages(skin_lesions.audit.__path__, "skin_lesions.audit.")
    return [importlib.import_module(module.name) for module in found]


def is_check(function: object) -> bool:
    """Whether an object is a public function from a context to a list of findings."""
    if not inspect.isfunction(function) or function.__name__.startswith("_"):
        return False
    signature = inspect.signature(function)
    return (
        list(signature.parameters) == ["context"] and signature.return_annotation == list[Finding]
    )


def test_every_check_is_registered_once():
    defined = {
        value
        for module in audit_modules()
        for value in vars(module).values()
        if is_check(value) and value.__module__ == module.__name__
    }
    assert near_duplicates in defined
    assert len(registry.CHECKS) == len(set(registry.CHECKS))
    assert set(registry.CHECKS) == defined


def test_no_two_places_make_findings_with_the_same_id():
    calls = [
        node
        for source in SOURCES
        for node in ast.walk(ast.parse(source.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Finding"
    ]
    keywords = [keyword for call in calls for keyword in call.keywords if keyword.arg == "id"]
    assert len(keywords) == len(calls) > 10
    constants = [k.value.value for k in keywords if isinstance(k.value, ast.Constant)]
    assert len(constants) == len(set(constants))


def test_import_of_the_checks_imports_neither_torch_nor_scikit_learn():
    code = (
        "import sys, skin_lesions.audit; "
        "print([m for m in ('torch', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.fixture
def documented(project, monkeypatch):
    """The code blocks of the page, run as modules: the check and its test."""
    check, test = re.findall(r"^```python\n(.*?)^```", (project / PAGE).read_text(), re.M | re.S)
    name = "skin_lesions.audit.mixed_formats"
    monkeypatch.setitem(sys.modules, name, ModuleType(name))
    exec(check, vars(sys.modules[name]))
    tests: dict[str, object] = {}
    exec(test, tests)
    return sys.modules[name], tests


def test_check_of_the_page_appears_among_the_findings(documented, monkeypatch):
    module, _ = documented
    assert is_check(module.mixed_formats)
    files = ["1.jpg", "2.png"]
    table = pd.DataFrame(
        {"file": files, "image_id": files, "label": ["a", "b"], "format": ["JPEG", "PNG"]}
    )
    assert "mixed_formats" not in by_id(run_audit(audit_context(table)).findings)
    monkeypatch.setattr(registry, "CHECKS", (*registry.CHECKS, module.mixed_formats))
    found = by_id(run_audit(audit_context(table)).findings)
    assert found["mixed_formats"].examples == [["JPEG", "1 file"], ["PNG", "1 file"]]


def test_tests_of_the_page_pass(documented):
    _, tests = documented
    functions = [function for name, function in tests.items() if name.startswith("test_")]
    assert len(functions) == 2
    for function in functions:
        function()
