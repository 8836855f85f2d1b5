"""From traces to approvals: the commands that shells of an agent ran, as lists for its own approval settings.

A trace holds programs, and no arguments: those may be secrets. So what comes out is names. A shell's builtins (cd,
echo) exec nothing and are not seen; they need no approval of their own in any list here.
"""

import json
import os
from collections.abc import Iterable
from typing import NamedTuple

from learner.audit.commands import gives_shell
from learner.trace import Trace
from tracers.programs import Program

_SHELLS = frozenset({"sh", "bash", "dash", "zsh", "fish", "ksh", "ash", "busybox"})


class Seen(NamedTuple):
    """A program that a shell ran. ``why``: why it is left out of the suggestion, "" if it is in."""

    name: str
    path: str
    why: str


class Approvals(NamedTuple):
    """``allowed`` and ``left_out``: by name. ``shells``: the shells that ran them."""

    allowed: tuple[Seen, ...]
    left_out: tuple[Seen, ...]
    shells: tuple[str, ...]

    def vibe(self) -> str:
        """The table for Vibe's config.toml. It takes the place of Vibe's own list, to which newer ones add again."""
        names = "".join(f"    {json.dumps(seen.name, ensure_ascii=False)},\n" for seen in self.allowed)
        return f"[tools.bash]\nallowlist = [\n{names}]\n" if names else "[tools.bash]\nallowlist = []\n"

    def vibecoding(self) -> dict[str, dict[str, list[str]]]:
        """The ``approval`` table for VibeCoding's settings.json; prefixes end in a blank: ``ls`` is no ``lsof``.

        What gives away a shell is on the blacklist: it is asked for in yolo mode as well.
        """
        return {
            "approval": {
                "bashWhitelist": [f"{seen.name} " for seen in self.allowed],
                "bashBlacklist": [f"{seen.name} " for seen in self.left_out if seen.name.isprintable()],
            }
        }


def approvals(traces: Iterable[Trace]) -> Approvals:
    """What the shells in ``traces`` ran, without the programs of the agent itself or those that commands ran."""
    found: dict[str, Seen] = {}
    shells: set[str] = set()
    for trace in traces:
        for program in trace.programs:
            if program.parent < 0 or not _is_shell(trace.programs[program.parent]):
                continue
            shell = trace.programs[program.parent]
            name = os.path.basename(program.name)
            # A shell that the user starts the agent from, or the agent's own start-up script, is no tool of it.
            if not name or _is_launcher(shell, trace):
                continue
            shells.add(os.path.basename(shell.name))
            seen = Seen(name, program.name, _reason(name))
            found[name] = min(found.get(name, seen), seen)
    ordered = sorted(found.values())
    return Approvals(
        tuple(seen for seen in ordered if not seen.why),
        tuple(seen for seen in ordered if seen.why),
        tuple(sorted(shells)),
    )


def _is_shell(program: Program) -> bool:
    """Whether it is a shell that was given a command, rather than a script that a shell interprets."""
    return os.path.basename(program.name) in _SHELLS


def _is_launcher(shell: Program, trace: Trace) -> bool:
    return shell.parent <= 0 and os.path.basename(trace.header.command) != os.path.basename(shell.name)


def _reason(name: str) -> str:
    try:
        name.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return gives_shell(name)
