import io
import logging
import sys
from contextlib import nullcontext

import pytest
import rich
from rich.console import Console

from skin_lesions.core import progress as progress_module
from skin_lesions.core.progress import TrainingProgressBar


@pytest.fixture
def terminal(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=screen, force_terminal=True, width=120))
    return screen


def test_terminal_shows_a_bar_and_log_lines_above_it(terminal):
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
    output = terminal.getvalue()
    assert "1/3 steps, loss 0.123, " in output
    assert "epoch 1/3" in output


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_log_handlers_write_to_their_own_streams_again_after_the_bar(terminal, error):
    streams = [io.StringIO(), sys.stderr]
    handlers = [logging.StreamHandler(stream) for stream in streams]
    for handler in handlers:
        logging.getLogger().addHandler(handler)
    try:
        with pytest.raises(error) if error else nullcontext(), TrainingProgressBar("training", 3):
            assert [handler.stream for handler in handlers] == [sys.stdout] * 2
            if error:
                raise error
        assert [handler.stream for handler in handlers] == streams
    finally:
        for handler in handlers:
            logging.getLogger().removeHandler(handler)


def test_earlier_steps_count_in_the_bar_but_not_in_the_estimate(terminal, caplog):
    caplog.set_level(logging.INFO)
    with TrainingProgressBar("training", 100, done=90, fraction=0.9) as progress:
        for step in range(10):
            progress.advance(32, 0.91 + 0.01 * step)
    assert "100/100 steps" in terminal.getvalue()
    assert "Remaining training time" not in caplog.text  # ten steps need no estimate


@pytest.mark.parametrize(("done", "fraction"), [(0, 0.0), (100, 0.05)])
def test_estimate_uses_the_fraction_of_the_work_of_this_process_not_of_the_steps(
    monkeypatch, caplog, done, fraction
):
    """The first images can be small: 20 of 200 steps were 5 % of the work and took 10 s."""
    caplog.set_level(logging.INFO)
    clock = iter([0.0, 0.0, *(0.5 * step for step in range(1, 21))])
    monkeypatch.setattr(progress_module.time, "perf_counter", lambda: next(clock))
    with TrainingProgressBar("training", 200, done=done, fraction=fraction) as progress:
        for step in range(1, 21):
            progress.advance(32, fraction + 0.0025 * step)
    assert "Remaining training time: about 3 min" in caplog.text


def test_pipe_gets_no_bar(monkeypatch):
    screen = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=screen, force_terminal=False))
    with TrainingProgressBar("training", 3) as progress:
        progress.advance(32, 0.3)
    assert not screen.getvalue().strip()


def test_hidden_bar_prints_nothing(terminal):
    with TrainingProgressBar("training", 3, hidden=True) as progress:
        progress.advance(32, 0.3)
    assert not terminal.getvalue().strip()
