"""One city for all tests of this folder that leave it sound behind them; each works on cases of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.system.rig import City, whole_city


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def city(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[City]:
    async with whole_city(tmp_path_factory.mktemp("city")) as running:
        yield running
