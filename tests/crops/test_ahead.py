"""What threads make before it is asked for comes in order, no further ahead than allowed, and ends with its taker."""

import os
import threading

import pytest

from lmim_kedro.crops.ahead import ahead, cores


def running():
    return [thread for thread in threading.enumerate() if thread.name == "crops ahead"]


def test_items_come_in_order_and_no_more_are_made_than_fit():
    made, third = [], threading.Event()

    def items():
        for number in range(100):
            made.append(number)
            if number == 3:
                third.set()
            yield number

    taken = ahead(items(), 2)
    assert next(taken) == 0
    assert third.wait(5)  # two ready, and the next in the thread's hand
    assert len(made) <= 4
    assert list(taken) == list(range(1, 100))
    assert not running()


def test_an_error_is_raised_after_the_items_before_it():
    def items():
        yield 1
        raise ValueError("broken")

    taken = ahead(items(), 4)
    assert next(taken) == 1
    with pytest.raises(ValueError, match="broken"):
        next(taken)
    assert not running()


def test_leaving_early_ends_the_thread_and_closes_the_items():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    taken = ahead(items(), 1)
    next(taken)
    taken.close()
    assert closed.is_set() and not running()


def test_cores_are_those_that_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 5, 7}, raising=False)
    assert cores() == 3
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores() == 1
