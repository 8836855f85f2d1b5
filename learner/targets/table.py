"""The targets there are, imported when they are asked for. A new one is a module and a line here."""

import importlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from learner.errors import UsageError
from learner.names import to_text
from learner.targets.target import Target


class Line(NamedTuple):
    """Where a target is (``module:attribute``), and for what it is."""

    place: str
    about: str


TARGETS = {
    "apparmor": Line("learner.targets.apparmor:TARGET", "a profile for AppArmor, entered by `aa-exec -p`"),
    "bash": Line("learner.targets.shell:BASH", "a function of bash: the command's name runs `sbx run`"),
    "bwrap": Line("learner.targets.bwrap:SCRIPT", "a script that starts the command under bubblewrap, without sbx"),
    "bwrap-args": Line("learner.targets.bwrap:ARGS", "the options alone, NUL-separated, for `bwrap --args`"),
    "claude-code": Line("learner.targets.claude_code:TARGET", "permission rules and sandbox settings of Claude Code"),
    "codex": Line("learner.targets.codex:TARGET", "a permission profile of Codex"),
    "firejail": Line("learner.targets.firejail:TARGET", "a profile for `firejail --profile=FILE`"),
    "fish": Line("learner.targets.shell:FISH", "the same for fish"),
    "landlock": Line("learner.targets.landlock:TOML", "rules in the Landlock project's configuration format, as TOML"),
    "landlock-json": Line("learner.targets.landlock:JSON", "the same as JSON"),
    "lulu": Line("learner.targets.lulu:TARGET", "rules for LuLu, the firewall of macOS: hosts for each executable"),
    "nono": Line("learner.targets.nono:NONO", "a profile of nono: nono run --profile FILE --allow-cwd -- COMMAND"),
    "nono-flags": Line("learner.targets.nono_flags:NONO_FLAGS", "the `nono run` line that says the same"),
    "seatbelt": Line("learner.targets.seatbelt:SEATBELT", "a profile of the macOS sandbox, for sandbox-exec -f"),
    "srt": Line("learner.targets.srt:SRT", "settings of Anthropic's sandbox-runtime: srt --settings FILE COMMAND"),
    "systemd": Line("learner.targets.systemd:TARGET", "a drop-in that hardens a service"),
    "vibe": Line("learner.targets.vibe:TARGET", "denylists for the tools of Mistral's Vibe"),
    "vibecoding": Line("learner.targets.vibecoding:TARGET", "VibeCoding's settings.json"),
    "zsh": Line("learner.targets.shell:ZSH", "the same for zsh"),
}


def find(name: str) -> Target:
    """The target of that name. Raises UsageError if there is none."""
    target: Target = load(TARGETS, name, "is not a format that can be written")
    return target


def load(table: Mapping[str, Line], name: str, otherwise: str) -> Any:
    """What ``table`` has under ``name``, imported now. Raises UsageError, saying ``otherwise``, if there is nothing."""
    if name not in table:
        raise UsageError(f"{to_text(name)!r} {otherwise}", f"one of {', '.join(sorted(table))}")
    module, _, attribute = table[name].place.partition(":")
    return getattr(importlib.import_module(module), attribute)
