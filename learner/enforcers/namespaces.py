"""A file system that holds only what is granted: a user and a mount namespace of our own, made in place.

No helper, no setuid program, no fork: the thread that is to exec the command builds its root directory itself
(user_namespaces(7), mount_namespaces(7), pivot_root(2)). What that rules out is a process id namespace, which takes a
fork: so /proc is the machine's own, bound (a new one cannot even be mounted without), and what keeps the program from
processes outside is the user namespace (ptrace_may_access) and, within :mod:`learner.enforcers.layered`, Landlock.
The cgroup namespace stays the machine's: programs look up their own limits by their path in it.
"""

import contextlib
import fcntl
import os
import socket
import stat
import struct
from collections.abc import Callable, Iterable, Iterator

from learner.enforcers import kernel
from learner.enforcers.binds import FARMS, Make, Plan, Step, leads, plan
from learner.enforcers.enforcer import UNHELD, Strength
from learner.enforcers.view import HostView
from learner.gaps import Gap
from learner.places import is_within
from learner.policy import CHANGES, Policy, Right, Scope
from learner.settings import map_ids
from tracers.tracer import Command

_SIOCSIFFLAGS, _IFF_UP = 0x8914, 1  # linux/sockios.h, linux/if.h
_BASES = ("/tmp", "/usr", "/proc")  # noqa: S108 - where the new root is put together, unseen by others


class NamespaceConfinement:
    """A plan and the namespaces for one launch."""

    supervised = False

    def __init__(self, policy: Policy, *, inner: bool = False) -> None:
        self._policy = policy
        self._inner = inner
        self.plan = self._planned(())
        self.own_network = not policy.network
        """A network namespace without any way out: only possible where nothing of the network is granted."""
        self.gaps = tuple(sorted({*self.plan.gaps, *namespace_gaps(policy)}))
        self.strength = Strength.PARTIAL if self.gaps else Strength.FULL

    def _planned(self, through: tuple[str, ...]) -> Plan:
        return plan(self._policy, HostView(), through=(*surroundings(), *through), farms=farms(), inner=self._inner)

    def wrap(self, command: Command) -> Command:
        """See :class:`~learner.enforcers.enforcer.Confinement`. Also keeps the symlinks that ``command.file`` walks."""
        if not leads(self.plan, HostView(), os.path.normpath(command.file)):
            self.plan = self._planned((command.file,))
        return Command(command.file, command.argv, self.apply)

    def apply(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`. Every capability is gone, no_new_privs is set."""
        enter(self.plan, own_network=self.own_network)

    def check(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""

    def close(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""


def surroundings() -> tuple[str, ...]:
    """Names that programs expect to be there: the current and the home directory."""
    found = [os.environ.get("HOME", "")]
    with contextlib.suppress(OSError):
        found.insert(0, os.getcwd())
    return tuple(path for path in found if path.startswith("/"))


def farms() -> tuple[str, ...]:
    """Directories whose links are worth keeping."""
    searched = [d for d in os.environ.get("PATH", "").split(":") if d.startswith("/")]
    return tuple(dict.fromkeys([*FARMS, *map(os.path.normpath, searched)]))


def namespace_gaps(policy: Policy) -> tuple[Gap, ...]:
    """What namespaces alone do not hold, whatever the plan."""
    found = [
        *UNHELD,
        Gap(
            "kinds of rights", "what is bound can be read, listed and executed, and changed where any change is granted"
        ),
    ]
    trees = [g for g in policy.grants if g.scope is Scope.TREE]
    if any(not g.rights & Right.CONNECT for g in trees):
        found.append(Gap("unix sockets in granted trees", "one that lies in a granted directory can be connected to"))
    if any(g.rights & CHANGES and not g.rights & Right.ATTRIBUTES for g in policy.grants):
        found.append(Gap("attributes in granted trees", "where anything may be changed, modes and times may be, too"))
    if os.geteuid() == 0:
        found.append(Gap("root", "runs without capabilities: what only root's power opens stays closed"))
    if policy.network:
        found += [
            Gap("TCP", "a network namespace is all or nothing, and some network is granted"),
            Gap("hosts", "a network namespace is all or nothing, and some network is granted"),
        ]
    else:
        found.append(
            Gap("servers", "in a network of its own a program may listen on any port: nobody outside reaches it")
        )
    left = "the user's other processes can be signalled"
    left += ", and abstract sockets, which belong to the network, be reached" if policy.network else ""
    found.append(Gap("abstract unix sockets and signals", left))
    return tuple(found)


def enter(what: Plan, *, own_network: bool) -> None:
    """Restrict the calling thread, the only one of its process, to what is planned. Raises OSError."""
    uid, gid = os.geteuid(), os.getegid()
    cwd, capabilities = _cwd(), kernel.capabilities()
    kernel.make_dumpable()
    flags = kernel.CLONE_NEWUSER | kernel.CLONE_NEWNS | kernel.CLONE_NEWIPC | kernel.CLONE_NEWUTS
    kernel.unshare(flags | (kernel.CLONE_NEWNET if own_network else 0))
    map_ids(uid, gid)
    if own_network:
        _bring_up_loopback()
    hide_directories_from_exec()
    _make_root(what)
    try:
        os.chdir(cwd)
    except OSError:
        os.chdir("/")
    kernel.no_new_privileges()
    kernel.drop_capabilities(capabilities)


def _cwd() -> str:
    try:
        return os.getcwd()
    except OSError:
        return "/"


def _bring_up_loopback() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def hide_directories_from_exec() -> None:
    """An inherited directory would lead out of the new root: close it on exec, or replace it for standard streams."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        try:
            if not stat.S_ISDIR(os.fstat(fd).st_mode):
                continue
            if fd > 2:
                os.set_inheritable(fd, False)
            else:
                null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
                os.dup2(null, fd)
                os.close(null)
        except OSError:
            continue  # the one that listed them


def _make_root(what: Plan) -> None:
    """Put the new root together on a directory that exists, and swap it in (pivot_root(2), "pivot_root(".", ".")")."""
    kernel.mount(None, "/", None, kernel.MS_REC | kernel.MS_PRIVATE)
    old = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    base = next(b for b in _BASES if os.path.isdir(b))
    hidden = [s for s in what.binds if s.path == "/" or is_within(s.path, base)]
    early = dict(_taken(old, hidden))  # the base is about to hide them
    whole = early.pop("/", None)
    if whole is None:
        kernel.mount("tmpfs", base, "tmpfs", kernel.MS_NOSUID | kernel.MS_NODEV, "mode=0755")
    else:
        under = kernel.open_beneath(old, base)
        kernel.attach(whole, under)
        os.close(under)
        os.close(whole)
    root = os.open(base, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for step in what.steps:
        if step.path != "/":
            _MAKERS[step.make](root, step, lambda s: early.pop(s.path) if s in hidden else _source(old, s))
    os.fchdir(root)
    kernel.pivot_root(".", ".")
    kernel.detach(".")
    os.chdir("/")
    os.close(old)
    if whole is None:
        kernel.set_attributes(root, kernel.RDONLY | kernel.NOSUID | kernel.NODEV, recursive=False)
    os.close(root)


def _taken(old: int, steps: Iterable[Step]) -> Iterator[tuple[str, int]]:
    for step in steps:
        with contextlib.suppress(FileNotFoundError):
            yield step.path, _source(old, step)


def _source(old: int, step: Step) -> int:
    """The mounts to bind for a step, detached and restricted."""
    found = kernel.open_beneath(old, step.path)
    try:
        tree = kernel.clone_tree(found)
    finally:
        os.close(found)
    attributes = kernel.NOSUID | (0 if step.device else kernel.NODEV) | (0 if step.writable else kernel.RDONLY)
    kernel.set_attributes(tree, attributes, recursive=True)
    return tree


_Get = Callable[[Step], int]


def _directory(root: int, step: Step, _get: _Get) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(step.path[1:], 0o755, dir_fd=root)


def _hidden_directory(root: int, step: Step, _get: _Get) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(step.path[1:], 0o111, dir_fd=root)


def _hidden_file(root: int, step: Step, _get: _Get) -> None:
    os.close(os.open(step.path[1:], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0, dir_fd=root))


def _symlink(root: int, step: Step, _get: _Get) -> None:
    os.symlink(step.text, step.path[1:], dir_fd=root)


def _bind(root: int, step: Step, get: _Get) -> None:
    try:
        tree = get(step)
    except (FileNotFoundError, KeyError):
        return  # it went away since it was planned: what is not there is not shown
    try:
        try:
            target = kernel.open_beneath(root, step.path)
        except FileNotFoundError:
            _make_mount_point(root, step)
            target = kernel.open_beneath(root, step.path)
        kernel.attach(tree, target)
        os.close(target)
    finally:
        os.close(tree)


def _make_mount_point(root: int, step: Step) -> None:
    if step.file:
        os.close(os.open(step.path[1:], os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=root))
    else:
        os.mkdir(step.path[1:], 0o755, dir_fd=root)


def _terminals(root: int, step: Step, _get: _Get) -> None:
    os.mkdir(step.path[1:], 0o755, dir_fd=root)
    flags = kernel.MS_NOSUID | kernel.MS_NOEXEC
    kernel.mount("devpts", f"/proc/self/fd/{root}{step.path}", "devpts", flags, "newinstance,ptmxmode=0666,mode=620")


_MAKERS: dict[Make, Callable[[int, Step, _Get], None]] = {
    Make.DIRECTORY: _directory,
    Make.HIDDEN_DIRECTORY: _hidden_directory,
    Make.HIDDEN_FILE: _hidden_file,
    Make.SYMLINK: _symlink,
    Make.BIND: _bind,
    Make.TERMINALS: _terminals,
}
