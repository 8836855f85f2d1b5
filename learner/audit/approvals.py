"""From traces to approvals: the commands that shells of an agent ran, as lists for its own approval settings.

A trace holds programs, and of their arguments no more than the name of a subcommand (:mod:`learner.subcommands`):
others may be secrets. A shell's builtins (cd, echo) exec nothing and are not seen; they need no approval in any list
here.
"""

import enum
import json
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from learner.audit.commands import destroys, gives_shell
from learner.subcommands import SHELLS
from learner.trace import Trace
from tracers.words import KEPT_BACK


class Seen(NamedTuple):
    """A command that a shell ran: ``name`` is its program, with the subcommand if there is one that is known.

    ``whole``: whether that is all that an approval goes by; if not, more of the command is unknown. ``why``: why it is
    left out of the suggestion, "" if it is in.
    """

    name: str
    path: str
    why: str
    whole: bool = True


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

        What is left out is on the blacklist: it is asked for in yolo mode as well. A program of which one subcommand is
        allowed is not there as a whole, which would take that back.
        """
        allowed = {seen.name.split()[0] for seen in self.allowed}
        return {
            "approval": {
                "bashWhitelist": [f"{seen.name} " for seen in self.allowed],
                "bashBlacklist": [
                    f"{s.name} " for s in self.left_out if s.name.isprintable() and (s.whole or s.name not in allowed)
                ],
            }
        }


class _Role(enum.Enum):
    """What a program is to the agent."""

    AGENT = enum.auto()
    """It, or a program of its own."""
    SHELL = enum.auto()
    """A shell that it gives commands to."""
    COMMAND = enum.auto()
    """What such a shell ran."""
    BENEATH = enum.auto()
    """What a command ran: nobody asks for that."""


def approvals(traces: Iterable[Trace]) -> Approvals:
    """What the shells in ``traces`` ran, without the programs of the agent itself or those that commands ran."""
    found: dict[str, Seen] = {}
    shells: set[str] = set()
    for trace in traces:
        words: dict[tuple[int, str], set[str]] = defaultdict(set)
        for subcommand in trace.subcommands:
            words[subcommand.program, subcommand.name].add(subcommand.word)
        roles = _roles(trace, words)
        for program, role in zip(trace.programs, roles, strict=True):
            name = os.path.basename(program.name)
            if not name or role is not _Role.COMMAND:
                continue
            shells.add(os.path.basename(trace.programs[program.parent].name))
            for seen in _commands(name, program.name, words.get((program.parent, name), set())):
                found[seen.name] = min(found.get(seen.name, seen), seen)
    ordered = sorted(found.values())
    return Approvals(
        tuple(seen for seen in ordered if not seen.why),
        tuple(seen for seen in ordered if seen.why),
        tuple(sorted(shells)),
    )


def _roles(trace: Trace, words: Mapping[tuple[int, str], set[str]]) -> list[_Role]:
    roles: list[_Role] = []
    for index, program in enumerate(trace.programs):
        name = os.path.basename(program.name)
        above = roles[program.parent] if 0 <= program.parent < index else _Role.AGENT
        if above in (_Role.COMMAND, _Role.BENEATH):
            roles.append(_Role.BENEATH)
        elif above is _Role.SHELL:
            # A shell that is given commands (-c), or reads them, only stands between; one with a script is a command.
            between = name in SHELLS and KEPT_BACK not in words.get((program.parent, name), set())
            roles.append(_Role.SHELL if between else _Role.COMMAND)
        else:
            roles.append(_Role.SHELL if name in SHELLS and not _is_launcher(index, trace) else _Role.AGENT)
    return roles


def _is_launcher(index: int, trace: Trace) -> bool:
    """Whether it is a shell that the user starts the agent from."""
    shell = trace.programs[index]
    return shell.parent <= 0 and os.path.basename(trace.header.command) != os.path.basename(shell.name)


def _commands(name: str, path: str, words: set[str]) -> list[Seen]:
    """One for each subcommand; for the program alone where none is known."""
    found = []
    for word in sorted(words) or [""]:
        entry = f"{name} {word}" if word not in ("", KEPT_BACK) and name not in SHELLS else name
        unknown = word == KEPT_BACK and name not in SHELLS
        why = "with an option before it, its subcommand is not known" if unknown else _reason(entry)
        found.append(Seen(entry, path, why, whole=not unknown))
    return found


def _reason(entry: str) -> str:
    try:
        entry.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    return gives_shell(entry) or destroys(entry)
