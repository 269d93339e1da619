"""How many threads compute is set in one place; torch's own is tested beside torch."""

from __future__ import annotations

import os

import pytest

from models.numeric.threads import (
    allow_one_thread,
    for_each,
    thread_budget,
    threads_asked_for,
    variables,
    wait_passively,
)


@pytest.mark.parametrize(
    ("said", "allowed"), [("3", 3), ("", None), ("0", None), ("many", None), ("-2", None)]
)
def test_the_usual_variable_is_read(
    said: str, allowed: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", said)
    assert threads_asked_for() == allowed


def test_what_is_loaded_later_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    allow_one_thread()
    wait_passively()
    assert threads_asked_for() == 1
    assert os.environ["OMP_WAIT_POLICY"] == "passive"
    monkeypatch.setenv("OMP_WAIT_POLICY", "active")
    wait_passively()
    assert os.environ["OMP_WAIT_POLICY"] == "active", "the user knows better"


def test_a_child_is_told_by_every_variable_that_some_library_reads() -> None:
    told = variables(2)
    assert set(told) == {"OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"}
    assert set(told.values()) == {"2"}


def test_work_is_done_once_each_and_its_first_error_is_raised() -> None:
    done: list[int] = []
    for_each(done.append, range(20), threads=3)
    assert sorted(done) == list(range(20))

    def fall(item: int) -> None:
        raise ArithmeticError(item)

    with pytest.raises(ArithmeticError):
        for_each(fall, range(20), threads=3)
    assert thread_budget() >= 1
