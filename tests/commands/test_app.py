import subprocess
import sys

from click.testing import CliRunner

from skin_lesions.cli import cli
from skin_lesions.commands import app as module
from support.color_predictor import ColorPredictor

IMPORTS = """
import sys
import skin_lesions.commands.app
assert not {"torch", "kedro", "matplotlib"} & set(sys.modules)
"""


def run(*arguments):
    return CliRunner().invoke(cli, ["app", *map(str, arguments)])


def test_missing_bundle_is_reported_in_one_sentence(tmp_path):
    result = run("--bundle", tmp_path)
    assert result.exit_code == 1
    assert f"Error: {tmp_path} is not a model bundle" in result.output


def test_missing_gradio_is_reported_before_the_bundle_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    result = run("--bundle", tmp_path)
    assert result.exit_code == 1
    assert "Error: The page requires Gradio" in result.output
    assert 'pip install "skin-lesions[app]"' in result.output


def test_invalid_ports_are_reported(tmp_path):
    assert "65535" in run("--bundle", tmp_path, "--port", 70_000).output


def test_page_runs_until_an_interrupt(monkeypatch, tmp_path):
    calls = []

    class Page:
        def __init__(self, analyzer, port):
            calls.append(port)

        def __enter__(self):
            return "http://127.0.0.1:8080/"

        def __exit__(self, *error):
            calls.append("stopped")

    class Interrupt:
        def __enter__(self):
            return iter([False, True]).__next__

        def __exit__(self, *error):
            calls.append("restored")

    monkeypatch.setattr(module, "read_bundle", lambda path: ColorPredictor())
    monkeypatch.setattr(module, "running_page", Page)
    monkeypatch.setattr(module, "deferred_interrupt", Interrupt)
    result = run("--bundle", tmp_path, "--port", 8080)
    assert result.exit_code == 0
    assert "http://127.0.0.1:8080/" in result.output
    assert calls == [8080, "stopped", "restored"]


def test_command_imports_neither_torch_nor_kedro():
    subprocess.run([sys.executable, "-c", IMPORTS], check=True)
