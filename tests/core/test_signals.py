import signal
import threading

import pytest

from skin_lesions.core.signals import deferred_interrupt, ignore_signal


def test_the_first_ctrl_c_is_only_noted_and_the_second_acts():
    with deferred_interrupt() as asked:
        assert not asked()
        signal.raise_signal(signal.SIGINT)
        assert asked()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_what_a_cluster_sends_before_it_kills_is_noted_too():
    with deferred_interrupt() as asked:
        signal.raise_signal(signal.SIGTERM)
        assert asked()


def test_what_is_ignored_stays_ignored():
    with ignore_signal(signal.SIGINT), deferred_interrupt() as asked:
        signal.raise_signal(signal.SIGINT)
        assert not asked()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_afterwards_all_is_as_it_was():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with deferred_interrupt():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outside_the_main_thread_nothing_is_touched():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with deferred_interrupt() as asked:
            seen.append((asked(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_a_handler_that_was_not_set_from_python_is_left_alone(monkeypatch):
    """As in a program that embeds Python: getsignal gives None, which can't be set again."""
    real = signal.getsignal
    monkeypatch.setattr(signal, "getsignal", lambda n: None if n == signal.SIGTERM else real(n))
    with deferred_interrupt() as asked:
        signal.raise_signal(signal.SIGINT)
        assert asked()
