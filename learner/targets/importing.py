"""Reading another sandbox's configuration as a policy. A new format is a :class:`Reader`, and a line in the table."""

import importlib
from typing import NamedTuple, Protocol

from learner.errors import UsageError
from learner.gaps import Gap
from learner.names import to_text
from learner.policy import Grant, NetworkGrant, Right
from learner.targets.table import Line
from learner.variables import Variables

READERS = {
    "nono": Line("learner.targets.nono_reader:NONO", "a profile of nono (JSON, comments allowed)"),
    "srt": Line("learner.targets.srt_reader:SRT", "settings of Anthropic's sandbox-runtime"),
}


class Refusal(NamedTuple):
    """What stays refused beneath a granted tree. ``pattern``: ``path`` is one as of :func:`glob.glob`."""

    path: str
    rights: Right
    pattern: bool = False


class Imported(NamedTuple):
    """What a configuration says. Paths are absolute, links in them may be unresolved.

    ``gaps``: what it says and a policy cannot, or what was not understood: none of it grants anything. ``name`` and
    ``command`` are empty where it names none.
    """

    grants: tuple[Grant, ...]
    network: tuple[NetworkGrant, ...]
    gaps: tuple[Gap, ...]
    refused: tuple[Refusal, ...] = ()
    name: str = ""
    command: str = ""
    current: tuple[Grant, ...] = ()
    """What it grants on the current directory, for a sandbox that asks before it does."""
    excluded: tuple[str, ...] = ()
    """Groups of the sandbox's own that it does without."""


class Reader(Protocol):
    """A format that can be read back. Pure."""

    name: str

    def read(self, text: str, where: str, variables: Variables) -> Imported:
        """What ``text`` says; ``where`` is the printable name of its file. Raises InputFileError."""
        ...


def find(name: str) -> Reader:
    """The reader of that format. Raises UsageError if there is none."""
    if name not in READERS:
        raise UsageError(f"{to_text(name)!r} cannot be read back", f"one of {', '.join(sorted(READERS))}")
    module, _, attribute = READERS[name].place.partition(":")
    reader: Reader = getattr(importlib.import_module(module), attribute)
    return reader
