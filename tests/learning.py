"""Learning a command for real, without the command line: a home, a project in it, a traced run."""

import os
from collections.abc import Callable
from typing import NamedTuple

from learner.command import find
from learner.derivation import Derived
from learner.enforcers.enforcer import Enforcer
from learner.enforcers.landlock import LandlockEnforcer
from learner.places import Map
from learner.session import Live, derive, live, make_tracer, record
from learner.trace import Trace
from learner.variables import Variables
from tracers.tracer import Command, TracerName


class Learned(NamedTuple):
    """A command that was learned."""

    command: Command
    trace: Trace
    cover: Derived
    variables: Variables

    @property
    def places(self) -> Map:
        return self.variables.places

    @property
    def labelled(self) -> list[tuple[object, str]]:
        """The accesses as replay takes them."""
        return [(access, self.trace.programs[access.program].label) for access in self.trace.accesses]

    def live(self, allowed: frozenset[str] = frozenset(), enforcer: Enforcer | None = None) -> Live:
        """Run it again, confined."""
        return live(
            self.command,
            self.trace,
            self.cover,
            enforcer or LandlockEnforcer(),
            self.variables,
            allowed,
            lambda _: None,
        )


class Account(NamedTuple):
    """A home directory, and a project in it that is the current directory."""

    home: str
    project: str

    def write(self, name: str, content: str = "content\n") -> str:
        """A file in the home directory."""
        path = f"{self.home}/{name}"
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(content)
        return path

    def learn(self, *words: str, allowed: frozenset[str] = frozenset()) -> Learned:
        """Run a command under trace and derive its policy."""
        command = find(words)
        variables = Variables(self.project, self.home)
        run = record(command, make_tracer(TracerName.PTRACE), variables)
        return Learned(command, run.trace, derive(run.trace, allowed), variables)

    def shell(self, script: str, **more: frozenset[str]) -> Learned:
        """Learn a shell script; ``$1`` is the home directory."""
        return self.learn("sh", "-c", script, "sh", self.home, **more)


def account(top: str, chdir: Callable[[str], object] = os.chdir) -> Account:
    """Lay out an account in the empty directory ``top``."""
    made = Account(f"{top}/home", f"{top}/home/work/engine")
    os.makedirs(made.project)
    chdir(made.project)
    return made
