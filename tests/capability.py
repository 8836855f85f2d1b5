"""What a test needs of the machine: skipped where it is missing, but never silently in CI."""

import os

import pytest


def require(capability: object, reason: str) -> None:
    """Go on if ``capability`` is true; else skip the test, or fail it when the environment says ``CI=true``.

    A machine of ours that lost a capability would otherwise pass without having tested anything.
    """
    if capability:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"needed in CI: {reason}", pytrace=False)
    pytest.skip(reason)
