"""The press: few at once, bounded in time, each sheet once."""

import asyncio
import json
from collections.abc import Iterator
from threading import Event

import pytest

from counterfoil.core.errors import Unavailable
from counterfoil.pages.press import AT_ONCE, Press
from support.patience import patiently


class Setter:
    """Sets when it is told to, and counts."""

    def __init__(self) -> None:
        self.may_go = Event()
        self.set: list[int] = []

    def __call__(self, data: str) -> bytes:
        self.may_go.wait(20)
        self.set.append(json.loads(data)["n"])
        return data.encode()


@pytest.fixture
def setter() -> Iterator[Setter]:
    setter = Setter()
    yield setter
    setter.may_go.set()


async def test_the_same_sheet_is_set_once(setter: Setter) -> None:
    setter.may_go.set()
    press = Press(setter)
    assert await press.pdf({"n": 1}) == await press.pdf({"n": 1}) == b'{"n": 1}'
    assert await press.pdf({"n": 2}) == b'{"n": 2}'
    assert setter.set == [1, 2]


async def test_those_who_ask_while_it_is_set_get_what_comes_of_it(setter: Setter) -> None:
    press = Press(setter)
    asking = [asyncio.create_task(press.pdf({"n": 1})) for _ in range(10)]
    await asyncio.sleep(0)
    setter.may_go.set()
    assert set(await asyncio.gather(*asking)) == {b'{"n": 1}'}
    assert len(setter.set) <= AT_ONCE


async def test_who_comes_when_too_many_wait_is_told_to_come_again(setter: Setter) -> None:
    press = Press(setter, waiting=1)
    asking = [asyncio.create_task(press.pdf({"n": n})) for n in range(AT_ONCE + 1)]
    await asyncio.sleep(0)
    with pytest.raises(Unavailable, match="ask again"):
        await press.pdf({"n": 99})
    setter.may_go.set()
    assert len(await asyncio.gather(*asking)) == AT_ONCE + 1
    assert await press.pdf({"n": 99}) == b'{"n": 99}'


async def test_nobody_waits_for_ever_and_a_slow_sheet_keeps_its_place(setter: Setter) -> None:
    press = Press(setter, waiting=0, seconds=0.01)
    for n in range(AT_ONCE):
        with pytest.raises(Unavailable):
            await press.pdf({"n": n})
    with pytest.raises(Unavailable):
        await press.pdf({"n": 99})
    setter.may_go.set()
    async with patiently("the slow sheets"):
        while len(setter.set) < AT_ONCE:
            await asyncio.sleep(0.01)
    assert await press.pdf({"n": 0}) == b'{"n": 0}'
    assert sorted(setter.set) == [0, 1]


async def test_what_was_not_asked_for_longest_is_forgotten_first(setter: Setter) -> None:
    setter.may_go.set()
    press = Press(setter, kept_bytes=2 * len('{"n": 1}'))
    for n in (1, 2, 1, 3, 1, 2):
        await press.pdf({"n": n})
    assert setter.set == [1, 2, 3, 2]


async def test_a_failure_is_told_and_frees_its_place() -> None:
    def broken(_data: str) -> bytes:
        raise ValueError("no such font")

    press = Press(broken, waiting=0)
    for _ in range(3 * AT_ONCE):
        with pytest.raises(ValueError, match="no such font"):
            await press.pdf({"n": 1})
