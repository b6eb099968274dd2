import io
import logging
import sys

import pytest
import rich
from rich.console import Console

from skin_lesions.console import StepProgress, _in_words


@pytest.fixture
def terminal(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=screen, force_terminal=True, width=120))
    return screen


def test_a_terminal_gets_a_bar_and_log_lines_above_it(terminal):
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger().addHandler(handler)
    try:
        with StepProgress("training", 3) as progress:
            handler.emit(logging.makeLogRecord({"msg": "epoch 1/3"}))
            progress.advance(32)
            progress.show(loss=0.12345)
        assert handler.stream is sys.stdout
    finally:
        logging.getLogger().removeHandler(handler)
    shown = terminal.getvalue()
    assert "1/3 steps, loss 0.123, " in shown
    assert "epoch 1/3" in shown


def test_what_was_done_before_counts_in_the_bar_but_not_in_the_estimate(terminal, caplog):
    caplog.set_level(logging.INFO)
    with StepProgress("training", 100, done=90) as progress:
        for _ in range(10):
            progress.advance(32)
    assert "100/100 steps" in terminal.getvalue()
    assert "takes about" not in caplog.text  # ten steps are soon done


def test_a_pipe_gets_no_bar(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=screen, force_terminal=False))
    with StepProgress("training", 3) as progress:
        progress.advance(32)
    assert not screen.getvalue().strip()


def test_processes_that_only_help_draw_no_bar(terminal):
    with StepProgress("training", 3, hidden=True) as progress:
        progress.advance(32)
    assert not terminal.getvalue().strip()


@pytest.mark.parametrize(
    ("seconds", "words"), [(42.3, "42 s"), (300, "5 min"), (5400, "1 h 30 min"), (89, "89 s")]
)
def test_times_are_told_in_the_unit_one_would_use(seconds, words):
    assert _in_words(seconds) == words
