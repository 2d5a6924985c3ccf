"""A partition with open reservations."""

from __future__ import annotations

import pytest

from tests.support.desk import Desk


@pytest.fixture
async def desk() -> Desk:
    return await Desk().open()
