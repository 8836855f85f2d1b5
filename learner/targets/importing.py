"""Reading another sandbox's configuration as a policy. A new format is a :class:`Reader`, and a line in the table."""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from learner.gaps import Gap
from learner.policy import Grant, NetworkGrant, Policy, Right
from learner.targets.table import Line, load
from learner.variables import Variables

READERS = {
    "bwrap": Line("learner.targets.bwrap_words:READER", "a bubblewrap command line, in a script or as for --args"),
    "landlock": Line("learner.targets.landlock_form:READER", "the Landlock project's configuration, TOML or JSON"),
    "nono": Line("learner.targets.nono_reader:NONO", "a profile of nono (JSON, comments allowed)"),
    "srt": Line("learner.targets.srt_reader:SRT", "settings of Anthropic's sandbox-runtime"),
    "vibecoding": Line("learner.targets.vibecoding:READER", "VibeCoding's settings.json"),
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
    links: tuple[str, ...] = ()
    """Symlinks that it shows. Those on the way to what is granted need no mention."""


class TextReader(NamedTuple):
    """A :class:`Reader` of formats that say no more than a policy does."""

    name: str
    policy_of: Callable[[str, str, Variables], tuple[Policy, tuple[Gap, ...]]]

    def read(self, text: str, where: str, variables: Variables) -> Imported:
        """See :class:`Reader`."""
        policy, gaps = self.policy_of(text, where, variables)
        return Imported(policy.grants, policy.network, gaps, links=policy.links)


class Reader(Protocol):
    """A format that can be read back. Pure."""

    @property
    def name(self) -> str:
        """As it is asked for."""
        ...

    def read(self, text: str, where: str, variables: Variables) -> Imported:
        """What ``text`` says; ``where`` is the printable name of its file. Raises InputFileError."""
        ...


def find(name: str) -> Reader:
    """The reader of that format. Raises UsageError if there is none."""
    reader: Reader = load(READERS, name, "cannot be read back")
    return reader
