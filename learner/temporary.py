"""A private directory for temporary files, so that no program needs the one that everybody shares.

Programs put temporary files where ``$TMPDIR`` says. While learning and while confined it names a directory that only
this user can enter: a grant on it opens nobody else's files, which a grant on ``/tmp`` would.
"""

import os
import stat

from learner.errors import LaunchError
from learner.names import to_text


def private_directory() -> str:
    """``$TMPDIR/sbx-UID``, else ``/tmp/sbx-UID``; it need not exist. Inside of sbx: the one that is in use."""
    name = f"sbx-{os.getuid()}"
    base = os.path.realpath(os.environ.get("TMPDIR") or "/tmp")  # noqa: S108 - only its name
    if os.path.basename(base) == name:
        return base
    return os.path.join(base if os.path.isdir(base) else "/tmp", name)  # noqa: S108


def use(directory: str) -> None:
    """Make ``directory`` if need be, and tell it to everything that is started from here on.

    Raises LaunchError if it cannot be made, or is not this user's alone: in a shared directory anybody may have made
    something of that name before us.
    """
    try:
        os.mkdir(directory, 0o700)
    except FileExistsError:
        pass
    except OSError as problem:
        raise LaunchError(f"{to_text(directory)} cannot be made: {problem.strerror}", "set TMPDIR") from None
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise LaunchError(
            f"{to_text(directory)} is not a directory of yours alone", "remove it, or set TMPDIR to another place"
        )
    os.environ["TMPDIR"] = directory
