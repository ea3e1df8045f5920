"""A real EVM node for every test that asks for one."""

from collections.abc import AsyncIterator

import pytest

from support.chain import LocalChain, local_chain


@pytest.fixture
async def arb() -> AsyncIterator[LocalChain]:
    async with local_chain("arb") as chain:
        yield chain
