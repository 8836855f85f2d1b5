"""What every test that confines something needs."""

import pytest
from capability import require
from children import USERS

from learner.enforcers.landlock import abi


@pytest.fixture(autouse=True)
def _landlock() -> None:
    require(abi(), "Landlock is missing or switched off")


@pytest.fixture(params=USERS, ids=lambda uid: f"uid{uid}")
def user(request: pytest.FixtureRequest) -> int:
    """As whom the test runs: root and an ordinary user where it can."""
    return int(request.param)
