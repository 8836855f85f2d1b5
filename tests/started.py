"""``sbx`` started as any user, from this process's own modules: the user need not be able to read the source."""

import ctypes
import importlib
import os
import pkgutil
import sys
import tempfile
from typing import NamedTuple

import learner
import reports
import tracers
from learner.cli.main import main
from tracers.tracer import exit_status

LOADED = [
    importlib.import_module(module.name)
    for package in (learner, reports, tracers)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if not module.name.endswith("__main__")
] + [importlib.import_module(late) for late in ("dns.message", "encodings.ascii", "encodings.utf_8_sig", "resource")]
"""All that ``sbx`` may import on its way, loaded before the fork."""


class Done(NamedTuple):
    """How it ended: the status as a shell has it, and what it wrote."""

    status: int
    out: str
    err: str


def sbx(*words: str, cwd: str, user: int, **env: str) -> Done:
    """Run ``sbx WORDS`` as ``user`` in ``cwd``, its input empty. ``env`` is added to a plain environment."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull) as empty:
        pid = os.fork()
        if pid == 0:
            status = 97
            try:
                for number, stream in enumerate((empty, out, err)):
                    os.dup2(stream.fileno(), number)
                # pytest's own streams would keep what is written.
                sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", buffering=1, closefd=False)
                if user != os.getuid():
                    os.setgroups([])
                    os.setresgid(user, user, user)
                    os.setresuid(user, user, user)
                    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE
                os.chdir(cwd)
                os.environ.clear()
                os.environ.update({"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": cwd, "LC_ALL": "C.UTF-8"} | env)
                status = main(words)
                sys.stdout.flush()
            except BaseException as problem:  # noqa: BLE001 - the test must hear of it
                os.write(2, f"sbx raised {type(problem).__name__}: {problem}\n".encode())
            finally:
                os._exit(status)
        _, waited = os.waitpid(pid, 0)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read().decode(errors="replace"))
    return Done(exit_status(waited), *texts)
