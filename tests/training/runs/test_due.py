from graphdl.training.runs import due
from graphdl.training.runs.due import ENDLESS, Count, Timer


def test_multiples_are_reached_also_when_passed_over():
    count = Count(3)
    assert count.left == 3
    assert [count.reach(made) for made in (1, 2, 3, 5, 7, 12, 13)] == [False, False, True, False, True, True, False]
    assert count.left == 2


def test_nothing_is_due_without_a_number():
    count, timer = Count(None), Timer(None)
    assert count.left == ENDLESS
    assert not count.reach(10**6)
    assert not timer.due


def test_writing_takes_no_more_than_its_share_of_the_time(monkeypatch):
    now = 100.0
    monkeypatch.setattr(due.time, "monotonic", lambda: now)
    timer = Timer(5.0)
    now = 105.0
    assert timer.due
    now = 106.0
    timer.written(begun=105.0)
    now = 112.0
    assert not timer.due
    now = 106.0 + due.WRITING
    assert timer.due


def test_the_first_writing_is_due_after_a_second(monkeypatch):
    now = 100.0
    monkeypatch.setattr(due.time, "monotonic", lambda: now)
    timer = Timer(30.0)
    assert not timer.due
    now = 101.0
    assert timer.due
    timer.written(begun=101.0)
    now = 130.0
    assert not timer.due
    now = 131.0
    assert timer.due
