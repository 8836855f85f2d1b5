"""What is imported on a Mac must not touch what only Linux has: every command is imported as if this were one."""

import subprocess
import sys

SCRIPT = """
import errno, importlib, os, resource, select, signal, socket, sys
sys.platform = "darwin"
for name in ("landlockpy", "ptrace", "pyroute2"):
    sys.modules[name] = None
for module, names in {
    os: ("memfd_create", "pidfd_open", "setns", "unshare", "O_PATH", "O_TMPFILE", "CLONE_NEWUSER", "eventfd",
         "MFD_CLOEXEC", "sched_getaffinity", "P_PIDFD", "getxattr", "splice", "preadv2x"),
    signal: ("sigwaitinfo", "sigtimedwait", "SIGRTMIN", "SIGRTMAX", "SIGPWR", "SIGPOLL", "pidfd_send_signal"),
    select: ("epoll", "EPOLLIN"),
    errno: ("ELIBACC", "ELIBBAD", "ELIBEXEC", "ENOKEY", "ENOMEDIUM", "EUCLEAN", "ENOPKG", "EREMOTEIO", "EBADFD"),
    resource: ("RLIMIT_RTPRIO", "RLIMIT_NICE", "RLIMIT_MSGQUEUE", "RLIMIT_SIGPENDING", "prlimit"),
    socket: ("AF_NETLINK", "SOCK_CLOEXEC", "SO_PEERCRED", "AF_PACKET"),
}.items():
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
from learner.cli.main import _COMMANDS
failed = {}
for name, lazy in _COMMANDS.items():
    try:
        importlib.import_module(lazy.place.partition(":")[0])
    except Exception as problem:
        import traceback
        failed[name] = repr(problem) + " " + traceback.format_exc().strip().splitlines()[-3]
for name, why in failed.items():
    print(name, why)
for name in sys.argv[1:]:
    try:
        importlib.import_module(name)
    except Exception as problem:
        print(name, repr(problem))
        failed[name] = problem
from learner.cli.main import main
for words in (["--help"], ["learn", "--help"], ["run", "--help"], ["doctor", "--help"]):
    if main(words) != 0:
        failed[str(words)] = True
sys.exit(bool(failed))
"""


BESIDE = (
    "learner.canaries",
    "learner.enforcers.seatbelt",
    "learner.machine_darwin",
    "learner.replay",
    "learner.seatbelt.judged",
    "learner.session",
    "learner.targets.seatbelt",
    "learner.watch",
    "tracers.seatbelt",
)
"""What commands import once they run."""


def test_every_command_is_imported_without_what_only_linux_has() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT, *BESIDE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
