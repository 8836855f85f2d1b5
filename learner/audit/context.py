"""Where the audit looks: the account, the project, and the environment; and one configuration file in them."""

import enum
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from learner.audit.document import Document, Format, at
from learner.audit.finding import Keys, Rule


class Context(NamedTuple):
    """``home`` and ``project``: absolute, without links. ``project`` is "" where there is none."""

    home: str
    project: str
    environ: Mapping[str, str]


class Layer(enum.Enum):
    """Which of an agent's files this is."""

    USER = enum.auto()
    """What it does not say has the agent's default."""
    OVERLAY = enum.auto()
    """What it does not say, a lower layer says."""


class Config(NamedTuple):
    """A configuration file as rules see it. ``below``: what the user's own file says, for an overlay."""

    document: Document
    context: Context
    layer: Layer
    below: dict[str, Any]

    def own(self, *keys: str) -> Any:
        """What this file says, None if nothing."""
        return at(self.document.data, keys)

    def effective(self, *keys: str) -> Any:
        """What holds with this file: what it says, or the layer below."""
        value = self.own(*keys)
        return at(self.below, keys) if value is None and self.layer is Layer.OVERLAY else value

    def setting(self, keys: Keys, default: object) -> Any:
        """What a key is set to by this file; for the user's own file its ``default`` where it is not set.

        None where an overlay leaves it alone.
        """
        value = at(self.document.data, keys)
        return default if value is None and self.layer is Layer.USER else value


class Source(NamedTuple):
    """A configuration file to be audited: how it is written, and the rules for it."""

    path: str
    format: Format
    layer: Layer
    rules: "tuple[Rule[Config], ...]"
    below: str = ""
    """The file of the layer below, "" if there is none."""


def mode_of(path: str) -> int:
    """The permissions of what ``path`` leads to, 0 if nothing is there."""
    try:
        return os.stat(path).st_mode & 0o7777
    except OSError:
        return 0
