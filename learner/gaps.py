"""What could not be expressed or enforced. Returned by everything that might, and always shown."""

import msgspec


class Gap(msgspec.Struct, frozen=True, order=True):
    """``item``: what stays open or closed against the wish; ``reason``: one sentence why."""

    item: str
    reason: str
