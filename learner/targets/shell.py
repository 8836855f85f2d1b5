"""Wrapper functions of shells, by which typing a command's name runs it confined: nothing of the policy is in them."""

from collections.abc import Mapping

from learner.errors import UsageError
from learner.names import to_text
from learner.policy import Grant, NetworkGrant
from learner.shells import Shell, Wrapper, fits, script
from learner.targets.feature import Feature
from learner.targets.target import Export, Request


class ShellTarget:
    """One shell's function. ``lacks`` nothing: it starts sbx, which reads the profile itself."""

    executable = False
    lacks: Mapping[Feature, str] = {}

    def __init__(self, shell: Shell) -> None:
        self.name = shell.value
        self.suffix = f".{shell.value}"
        self._shell = shell

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`. Raises UsageError for a name that shells have a use for."""
        name = request.profile.name
        if not fits(name) or not request.words:
            raise UsageError(f"no shell function can be called {to_text(name)!r}", "give the profile another name")
        return Export(script(self._shell, [Wrapper(name, request.words[0])]), ())

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """Nothing: the profile itself is to be changed."""
        return ()


BASH, ZSH, FISH = (ShellTarget(shell) for shell in (Shell.BASH, Shell.ZSH, Shell.FISH))
