"""The targets there are, imported when they are asked for. A new one is a module and a line here."""

import importlib
from typing import NamedTuple

from learner.errors import UsageError
from learner.names import to_text
from learner.targets.target import Target


class Line(NamedTuple):
    """Where a target is (``module:attribute``), and for what it is."""

    place: str
    about: str


TARGETS = {
    "bash": Line("learner.targets.shell:BASH", "a function of bash: the command's name runs `sbx run`"),
    "fish": Line("learner.targets.shell:FISH", "the same for fish"),
    "zsh": Line("learner.targets.shell:ZSH", "the same for zsh"),
    "seatbelt": Line("learner.targets.seatbelt:SEATBELT", "a profile of the macOS sandbox, for sandbox-exec -f"),
}


def find(name: str) -> Target:
    """The target of that name. Raises UsageError if there is none."""
    if name not in TARGETS:
        raise UsageError(f"there is no target {to_text(name)!r}", f"one of {', '.join(sorted(TARGETS))}")
    module, _, attribute = TARGETS[name].place.partition(":")
    target: Target = getattr(importlib.import_module(module), attribute)
    return target
