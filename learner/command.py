"""From the words of a command line to the file that is exec'd, as a shell would find it."""

import os
import stat

from learner.errors import NotExecutable, NotFound, UsageError
from learner.names import to_text
from tracers.tracer import Command

_DEFAULT_PATH = "/usr/local/bin:/usr/bin:/bin"  # what execvp(3) and shells fall back on when PATH is unset


def find(argv: tuple[str, ...]) -> Command:
    """Look up ``argv[0]``. Raises UsageError if there is none, NotFound (127), NotExecutable (126)."""
    if not argv or not argv[0]:
        raise UsageError("no command was given", "put it after --, as in: sbx learn -- vibe")
    name = argv[0]
    if "/" in name:
        return Command(_check(os.path.join(os.getcwd(), name), name), argv)
    refused: NotExecutable | None = None
    for directory in os.environ.get("PATH", _DEFAULT_PATH).split(":"):
        candidate = os.path.join(os.path.abspath(directory or "."), name)
        if not os.path.lexists(candidate) or os.path.isdir(candidate):
            continue  # also where we may not search: no reason to call the command forbidden
        try:
            return Command(_check(candidate, name), argv)
        except NotExecutable as problem:
            refused = refused or problem
        except NotFound:
            continue
    if refused is not None:
        raise refused
    raise NotFound(f"{to_text(name)}: command not found", "is it installed, and its directory on PATH?")


def _check(path: str, name: str) -> str:
    shown = to_text(name)
    try:
        mode = os.stat(path).st_mode
    except PermissionError:
        raise NotExecutable(
            f"{shown}: a directory on the way to it cannot be searched", "check its permissions"
        ) from None
    except OSError as problem:
        link = f"; it is a symlink to {to_text(os.readlink(path))}" if os.path.islink(path) else ""
        raise NotFound(f"{shown}: {problem.strerror}{link}", "check the path") from None
    if stat.S_ISDIR(mode):
        raise NotExecutable(f"{shown}: is a directory", "give the program in it")
    if not os.access(path, os.X_OK, effective_ids=True):
        raise NotExecutable(f"{shown}: not executable", f"run `chmod +x {shown}`, or give its interpreter first")
    return path
