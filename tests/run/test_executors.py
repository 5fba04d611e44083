"""Every executor does the same work: values in order, errors raised, the listener told."""

import os
from dataclasses import dataclass

import pytest
from suite_files import Silent

from robustprune.run.executors import Local, Processes, choose


@dataclass(frozen=True)
class Item:
    number: int

    @property
    def id(self):
        return f"item {self.number}"


@dataclass(frozen=True)
class Squares:
    """Work that says where it is done; `bad` is an item that fails."""

    bad: int = -1

    def __call__(self, item, tick):
        tick("squaring", 0, 1)
        if item.number == self.bad:
            raise ValueError(f"{item.id} is bad")
        return item.number**2, os.getpid()


ITEMS = [Item(number) for number in (3, 1, 2)]


@pytest.mark.parametrize("executor", [Local(), Processes(count=2)], ids=["local", "processes"])
def test_values_come_in_the_order_of_the_items_and_the_listener_hears_of_each(executor):
    heard = Silent()
    values = executor.each(Squares(), ITEMS, heard)
    assert [square for square, _ in values] == [9, 1, 4]
    assert ({process for _, process in values} == {os.getpid()}) == isinstance(executor, Local)
    assert sorted(heard.done) == ["item 1", "item 2", "item 3"]
    assert ("item 3", "squaring") in heard.stages
    assert executor.each(Squares(), [], heard) == []


@pytest.mark.parametrize("executor", [Local(), Processes(count=2)], ids=["local", "processes"])
def test_an_error_is_raised_where_the_work_was_asked_for(executor):
    with pytest.raises(ValueError, match="item 1 is bad"):
        executor.each(Squares(bad=1), ITEMS, Silent())


def test_one_worker_needs_no_process_and_an_accelerator_is_not_shared():
    assert choose("cpu", 1) == Local()
    assert choose("cpu", 3) == Processes(count=3)
    assert choose("cuda") == choose("mps") == Local()
