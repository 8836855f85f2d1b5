"""Denylists for the tools of Mistral's Vibe, for its ``config.toml``: what the user is not to be asked about, but what
is refused. Patterns are fnmatch's, matched against absolute paths, in which ``*`` stands for slashes too."""

import re
from collections.abc import Mapping

from learner.audit.denylist import CHANGING, READING
from learner.gaps import Gap
from learner.policy import Grant, NetworkGrant
from learner.targets.feature import Feature, missing
from learner.targets.strings import NO_UTF8, comments, is_utf8, toml
from learner.targets.target import Export, Request, remarks, unsayable

_READERS = ("read", "read_file")
_WRITERS = ("edit", "search_replace", "write_file")
"""Names of 2.0 and of 3.0: a table for a tool that a version has not is ignored by it."""
_NOTHING = "Vibe's lists say what its own tools are refused, not what the agent may do: not said here"
_LACKS: Mapping[Feature, str] = {feature: _NOTHING for feature in Feature if feature is not Feature.DENIALS}
_GAPS = (
    Gap("commands", "what the agent runs in a shell is not held by these lists"),
    Gap("grep", "its tool has no denylist for what lies beneath the directory that it is started in"),
)
_MAGIC = re.compile(r"([*?[])")


class VibeTarget:
    """Tables for ``~/.vibe/config.toml``."""

    name = "vibe"
    suffix = ".toml"
    executable = False
    lacks = _LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        sayable = [path for path in request.denied if is_utf8(path)]
        lost = unsayable([path for path in request.denied if not is_utf8(path)], NO_UTF8)
        gaps = tuple(sorted({*missing(request.profile.policy, self.lacks), *lost, *_GAPS}))
        own = [pattern for path in sayable for pattern in (escape(path), escape(path) + "/*")]
        tables = [_table(tool, (*READING, *own)) for tool in _READERS]
        tables += [_table(tool, (*CHANGING, *own)) for tool in _WRITERS]
        return Export((comments(remarks(request, gaps)) + "\n" + "\n".join(tables)).encode(), gaps)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`: nothing, since the lists only refuse."""
        return ()


def escape(path: str) -> str:
    """A pattern of fnmatch(3) that only ``path`` fits."""
    return _MAGIC.sub(r"[\1]", path)


def _table(tool: str, patterns: tuple[str, ...]) -> str:
    return f"[tools.{tool}]\ndenylist = [\n" + "".join(f"  {toml(pattern)},\n" for pattern in patterns) + "]\n"


TARGET = VibeTarget()
