"""Starting a command under a policy, in place of this process."""

import errno
import os
import signal
from typing import NoReturn

from learner.enforcers.enforcer import Confinement
from learner.errors import LaunchError, MachineError, NotExecutable, NotFound
from learner.names import to_text
from learner.policy import Policy
from tracers.tracer import Command


def ensure_directories(policy: Policy) -> None:
    """Make the directories that the program would have made itself (mode 0700). Raises LaunchError."""
    for grant in policy.grants:
        if grant.ensure:
            try:
                os.makedirs(grant.path, mode=0o700, exist_ok=True)
            except OSError as problem:
                raise LaunchError(
                    f"{to_text(grant.path)} cannot be made: {problem.strerror}",
                    "make it yourself, or remove its grant",
                ) from None


def execute(command: Command, confinement: Confinement) -> NoReturn:
    """Confine this process and become the command. Never returns; raises LaunchError, NotFound or NotExecutable."""
    for ignored in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores these; a program expects their defaults
        signal.signal(ignored, signal.SIG_DFL)
    try:
        target = confinement.wrap(command)
    except MachineError as problem:
        raise LaunchError(str(problem), problem.remedy) from None
    try:
        if target.confine is not None:
            target.confine()
    except OSError as problem:
        raise LaunchError(f"the confinement could not be set up: {problem.strerror}", "see `sbx doctor`") from None
    try:
        _exec(target)
    except FileNotFoundError:
        if not os.path.lexists(target.file):  # it was there before: what is not granted is hidden
            raise _not_granted(command, "it is hidden, because nothing grants it") from None
        raise NotFound(
            f"{to_text(command.argv[0])}: its interpreter or loader is missing, or not granted",
            "run `sbx learn` again",
        ) from None
    except OSError as problem:
        raise _not_granted(command, problem.strerror or "") from None


def _not_granted(command: Command, reason: str) -> NotExecutable:
    return NotExecutable(
        f"{to_text(command.argv[0])}: {reason}",
        "is it granted `exec`? `sbx why --op exec` says",
    )


def _exec(command: Command) -> NoReturn:
    try:
        os.execv(command.file, command.argv)
    except OSError as problem:
        if problem.errno != errno.ENOEXEC:
            raise
        # A script without a first line: shells and execvp(3) hand it to sh.
        os.execv("/bin/sh", ("sh", command.file, *command.argv[1:]))
