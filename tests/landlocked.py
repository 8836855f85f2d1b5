"""The rules of a configuration of the Landlock project put into force, as its own library (in Rust) does.

As a program: ``landlocked.py FILE COMMAND ARGUMENT…``
"""

import functools
import os
import sys
from typing import TypeVar

from landlockpy import AccessFS, AccessNet, Ruleset, Scope

from learner.targets.landlock_form import parse

_Flag = TypeVar("_Flag", AccessFS, AccessNet, Scope)


def restrict(text: str) -> None:
    """Confine this process, for good. What is not there gets no rule."""
    document = parse(text, "exported")
    [handled] = document.ruleset
    ruleset = Ruleset(
        handled_fs=_all(AccessFS, handled.handled_access_fs),
        handled_net=_all(AccessNet, handled.handled_access_net),
        scoped=_all(Scope, handled.scoped),
    )
    for rule in document.path_beneath:
        for path in [parent.replace("$$", "$") for parent in rule.parent]:
            if os.path.exists(path):
                ruleset.allow_path(path, _all(AccessFS, rule.allowed_access))
    for port in document.net_port:
        for number in port.port:
            ruleset.allow_port(number, _all(AccessNet, port.allowed_access))
    ruleset.restrict()


def _all(kind: type[_Flag], words: list[str]) -> _Flag:
    return functools.reduce(lambda found, word: found | kind[word.upper()], words, kind(0))


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        restrict(file.read())
    os.execvp(sys.argv[2], sys.argv[2:])
