"""Work done in a forked child: as another user, confined for good, or both."""

import ctypes
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

NOBODY = 65534
USERS = [0, NOBODY] if os.getuid() == 0 else [os.getuid()]
"""As whom a kernel test runs: root and an ordinary user where it can."""


class ChildError(AssertionError):
    """The child raised something."""


def in_child(work: Callable[[], Any], user: int | None = None) -> Any:
    """The (JSON) value of ``work()`` in a forked child. An OSError is given back as its errno, negative."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            if user is not None and user != os.getuid():
                os.setgroups([])
                os.setresgid(user, user, user)
                os.setresuid(user, user, user)
                ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: else nobody may trace it
            said: Any = {"value": work()}
        except OSError as problem:
            said = {"value": -(problem.errno or 0)}
        except BaseException as problem:  # noqa: BLE001 - the test must hear of it
            said = {"error": f"{type(problem).__name__}: {problem}"}
        try:
            os.write(write_end, json.dumps(said).encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    found = json.loads(data or b'{"error": "died"}')
    if "error" in found:
        raise ChildError(found["error"])
    return found["value"]


@contextmanager
def area_of(user: int) -> Iterator[str]:
    """An empty directory of ``user``'s that everybody can reach, unlike pytest's own."""
    path = os.path.realpath(tempfile.mkdtemp(prefix="sbx-test-"))
    try:
        os.chmod(path, 0o755)
        os.chown(path, user, -1)
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def listing(top: str) -> dict[str, tuple[object, ...]]:
    """What is in a tree: kind and mode, inode, time of change and content of each object."""
    found: dict[str, tuple[object, ...]] = {}
    for directory, names, files in os.walk(top):
        for name in [*names, *files]:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            content: object = None
            if os.path.islink(path):
                content = os.readlink(path)
            elif os.path.isfile(path):
                with open(path, "rb") as file:
                    content = file.read()
            time = None if os.path.isdir(path) else status.st_mtime_ns
            found[os.path.relpath(path, top)] = (status.st_mode, status.st_ino, time, content)
    return found


def eventually(holds: Callable[[], object], seconds: float = 5.0) -> bool:
    """Wait until ``holds()`` does; whether it came to that in time."""
    end = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True
