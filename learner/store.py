"""Where profiles and traces live, and how a file is saved: whole or not at all."""

import errno
import os
import re
import stat
from collections.abc import Iterator

from learner.errors import MachineError, SbxError, UsageError
from learner.names import to_text
from learner.variables import home_directory

_NAME = re.compile(r"[A-Za-z0-9_@+][A-Za-z0-9._@+-]{0,199}")
_PRIVATE = 0o700


def profile_directory() -> str:
    """``$XDG_CONFIG_HOME/sbx/profiles``; it need not exist."""
    return os.path.join(_xdg("XDG_CONFIG_HOME", ".config"), "sbx", "profiles")


def state_directory() -> str:
    """``$XDG_STATE_HOME/sbx``; it need not exist."""
    return os.path.join(_xdg("XDG_STATE_HOME", ".local/state"), "sbx")


def trace_directory() -> str:
    """``$XDG_STATE_HOME/sbx/traces``; it need not exist."""
    return os.path.join(state_directory(), "traces")


def profile_path(name_or_file: str) -> str:
    """The file of a profile.

    What holds a ``/`` or ends in ``.toml`` is a file itself, all else is the name of a stored one. Raises
    UsageError for what cannot be a name.
    """
    if "/" in name_or_file or name_or_file.endswith(".toml"):
        return name_or_file
    return os.path.join(profile_directory(), check_name(name_or_file) + ".toml")


def trace_path(name: str) -> str:
    """The trace of the profile called ``name``. Raises UsageError for what cannot be a name."""
    return os.path.join(trace_directory(), check_name(name) + ".jsonl")


def check_name(name: str) -> str:
    """``name`` itself. Raises UsageError when it cannot name a profile."""
    if not _is_name(name):
        raise UsageError(
            f'"{to_text(name)}" cannot name a profile',
            "use letters, digits and . _ @ + -, not beginning with . or -, not ending in .toml",
        )
    return name


def name_for(command: str) -> str:
    """The name of the profile of ``command`` where the user gave none: its last component, made fit."""
    fit = re.sub(r"[^A-Za-z0-9._@+-]+", "-", os.path.basename(command)).strip(".-")[:100]
    return fit.replace(".toml", "-toml") or "command"


def profile_files() -> Iterator[tuple[str, str]]:
    """(name, path) of every stored profile, by name. Raises MachineError if the directory is unreadable."""
    directory = profile_directory()
    try:
        entries = sorted(os.listdir(directory))
    except FileNotFoundError:
        return
    except OSError as error:
        raise _failure(directory, "read", error) from None
    for entry in entries:
        name = entry.removesuffix(".toml")
        if name != entry and _is_name(name):
            yield name, os.path.join(directory, entry)


def write_atomically(path: str, data: bytes, mode: int = 0o600) -> None:
    """Make ``data`` the content of the file at ``path``, or leave everything as it was.

    A link stays a link and its target is replaced, which is made if it is missing. Missing directories are
    made, for the user alone. A file that exists keeps its mode and, as far as we may, its owner; a new one
    gets ``mode``. A device or a FIFO is written to as it is. Raises UsageError for a directory,
    MachineError when it cannot be written.
    """
    try:
        old = _status(path)
        if old is not None and stat.S_ISDIR(old.st_mode):
            raise UsageError(f"{to_text(path)} is a directory", "name a file in it")
        if old is not None and not stat.S_ISREG(old.st_mode):
            with open(path, "wb") as stream:
                stream.write(data)
            return
        target = os.path.realpath(path)
        _make_directories(os.path.dirname(target))
        _replace(target, data, mode, old)
    except OSError as error:
        raise _failure(path, "write", error) from None


def _replace(target: str, data: bytes, mode: int, old: os.stat_result | None) -> None:
    temporary = os.path.join(os.path.dirname(target), f".sbx-{os.urandom(8).hex()}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            if old is not None:
                _keep_owner(descriptor, old)
                mode = stat.S_IMODE(old.st_mode)
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        os.rename(temporary, target)
    except BaseException:  # an interrupt too: nothing may stay behind
        try:
            os.unlink(temporary)
        except FileNotFoundError:
            pass  # interrupted just after the rename
        raise


def _keep_owner(descriptor: int, old: os.stat_result) -> None:
    """Give the new file the old one's owner: root that mends a user's profile must not take it away."""
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except OSError:
            pass  # not ours to give


def _make_directories(directory: str) -> None:
    """os.makedirs gives its mode to the last one only; these may all hold private things."""
    missing = []
    while not os.path.isdir(directory):
        missing.append(directory)
        directory = os.path.dirname(directory)
    for each in reversed(missing):
        try:
            os.mkdir(each, _PRIVATE)
        except FileExistsError:
            if not os.path.isdir(each):
                raise NotADirectoryError(errno.ENOTDIR, f"{to_text(each)} is no directory") from None


def _status(path: str) -> os.stat_result | None:
    """What ``path`` leads to, if anything."""
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _failure(path: str, doing: str, error: OSError) -> SbxError:
    return MachineError(f"cannot {doing} {to_text(path)}: {error.strerror or error}", _remedy(error))


def _remedy(error: OSError) -> str:
    if isinstance(error, PermissionError):
        return "mend its permissions, or choose a place that you may use"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "make room there, or choose another place"
    return "choose another place"


def _is_name(text: str) -> bool:
    return _NAME.fullmatch(text) is not None and not text.endswith(".toml")


def _xdg(variable: str, default: str) -> str:
    """A base directory; the specification has relative values ignored."""
    value = os.environ.get(variable, "")
    return value if value.startswith("/") else os.path.join(home_directory(), default)
