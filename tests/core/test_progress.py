import io
import logging
import sys

import pytest
import rich
from rich.console import Console

from skin_lesions.core import progress as progress_module
from skin_lesions.core.progress import TrainingProgressBar, format_duration


@pytest.fixture
def terminal(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=screen, force_terminal=True, width=120))
    return screen


def test_a_terminal_gets_a_bar_and_log_lines_above_it(terminal):
    handler = logging.StreamHandler(sys.stdout)
    logging.getLogger().addHandler(handler)
    try:
        with TrainingProgressBar("training", 3) as progress:
            handler.emit(logging.makeLogRecord({"msg": "epoch 1/3"}))
            progress.advance(32, 0.3)
            progress.show(loss=0.12345)
        assert handler.stream is sys.stdout
    finally:
        logging.getLogger().removeHandler(handler)
    shown = terminal.getvalue()
    assert "1/3 steps, loss 0.123, " in shown
    assert "epoch 1/3" in shown


def test_what_was_done_before_counts_in_the_bar_but_not_in_the_estimate(terminal, caplog):
    caplog.set_level(logging.INFO)
    with TrainingProgressBar("training", 100, done=90, share=0.9) as progress:
        for step in range(10):
            progress.advance(32, 0.91 + 0.01 * step)
    assert "100/100 steps" in terminal.getvalue()
    assert "takes about" not in caplog.text  # ten steps are soon done


def test_the_estimate_goes_by_the_share_of_the_work_not_by_steps(monkeypatch, caplog):
    """The first images may be small: after 20 of 200 steps, 5 % of the work took 10 s."""
    caplog.set_level(logging.INFO)
    clock = iter([0.0, 0.0, *(0.5 * step for step in range(1, 21))])
    monkeypatch.setattr(progress_module.time, "perf_counter", lambda: next(clock))
    with TrainingProgressBar("training", 200) as progress:
        for step in range(1, 21):
            progress.advance(32, 0.0025 * step)
    assert "training takes about 3 min more" in caplog.text


def test_a_pipe_gets_no_bar(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=screen, force_terminal=False))
    with TrainingProgressBar("training", 3) as progress:
        progress.advance(32, 0.3)
    assert not screen.getvalue().strip()


def test_processes_that_only_help_draw_no_bar(terminal):
    with TrainingProgressBar("training", 3, hidden=True) as progress:
        progress.advance(32, 0.3)
    assert not terminal.getvalue().strip()


@pytest.mark.parametrize(
    ("seconds", "words"), [(42.3, "42 s"), (300, "5 min"), (5400, "1 h 30 min"), (89, "89 s")]
)
def test_times_are_told_in_the_unit_one_would_use(seconds, words):
    assert format_duration(seconds) == words
