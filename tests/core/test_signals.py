import signal
import threading

import pytest

from skin_lesions.core.signals import deferred_interrupt, ignore_signal


def test_first_ctrl_c_is_deferred_and_the_second_acts():
    with deferred_interrupt() as interrupted:
        assert not interrupted()
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_sigterm_is_deferred_too():
    with deferred_interrupt() as interrupted:
        signal.raise_signal(signal.SIGTERM)
        assert interrupted()


def test_ignored_signal_stays_ignored():
    with ignore_signal(signal.SIGINT), deferred_interrupt() as interrupted:
        signal.raise_signal(signal.SIGINT)
        assert not interrupted()
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_handlers_are_restored():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with deferred_interrupt():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_handlers_are_unchanged_outside_the_main_thread():
    before, seen = signal.getsignal(signal.SIGINT), []

    def work():
        with deferred_interrupt() as interrupted:
            seen.append((interrupted(), signal.getsignal(signal.SIGINT)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(False, before)]


def test_handler_not_set_from_python_is_unchanged(monkeypatch):
    """A program that embeds Python: getsignal returns None, which cannot be set again."""
    real = signal.getsignal
    monkeypatch.setattr(signal, "getsignal", lambda n: None if n == signal.SIGTERM else real(n))
    with deferred_interrupt() as interrupted:
        signal.raise_signal(signal.SIGINT)
        assert interrupted()
