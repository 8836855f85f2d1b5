"""Landlock: unprivileged, in every recent kernel, nothing to install (landlock(7)).

landlockpy does the system calls. This adapter maps our rights onto its own, compares what was asked with what the
kernel handles, and names what Landlock does not see at all.
"""

import errno
import functools
import os
import stat

import landlockpy
from landlockpy import AccessFS, AccessNet, LandlockError, Ruleset, Scope

from learner.access import Access, Kind
from learner.enforcers import capabilities
from learner.enforcers.anchors import Anchor, anchor
from learner.enforcers.enforcer import UNHELD, Strength, only_on_macos
from learner.errors import MachineError
from learner.gaps import Gap
from learner.names import to_text
from learner.policy import ALWAYS, DIRECTORY_RIGHTS, NO_RIGHT, Grant, NetworkAction, Policy, Right
from learner.policy import Scope as GrantScope
from learner.ports import ephemeral_ports
from learner.settings import read_setting
from tracers.events import Family, Operation, Transport
from tracers.tracer import Command

FS_RIGHTS: dict[Right, AccessFS] = {
    Right.READ: AccessFS.READ_FILE,
    Right.LIST: AccessFS.READ_DIR,
    # The kernel opens what it executes for reading too: EXECUTE alone is refused (measured, Linux 6.18).
    Right.EXEC: AccessFS.EXECUTE | AccessFS.READ_FILE,
    Right.WRITE: AccessFS.WRITE_FILE,
    Right.TRUNCATE: AccessFS.TRUNCATE,
    Right.CREATE: AccessFS.MAKE_REG,
    Right.MKDIR: AccessFS.MAKE_DIR,
    Right.SYMLINK: AccessFS.MAKE_SYM,
    Right.SOCKET: AccessFS.MAKE_SOCK,
    Right.FIFO: AccessFS.MAKE_FIFO,
    Right.DEVICE: AccessFS.MAKE_CHAR | AccessFS.MAKE_BLOCK,
    Right.REMOVE: AccessFS.REMOVE_FILE,
    Right.RMDIR: AccessFS.REMOVE_DIR,
    Right.MOVE: AccessFS.REFER,
    Right.ATTRIBUTES: AccessFS.NONE,
    Right.IOCTL: AccessFS.IOCTL_DEV,
    Right.CONNECT: AccessFS.RESOLVE_UNIX,
}

_FILE_ONLY = (
    AccessFS.EXECUTE
    | AccessFS.WRITE_FILE
    | AccessFS.READ_FILE
    | AccessFS.TRUNCATE
    | AccessFS.IOCTL_DEV
    | AccessFS.RESOLVE_UNIX
)
"""Rights that a rule on something other than a directory may carry (EINVAL otherwise)."""

_TIOCSTI = "/proc/sys/dev/tty/legacy_tiocsti"
"""0 if nobody without CAP_SYS_ADMIN may type into a terminal; missing before Linux 6.2."""


@functools.cache
def abi() -> int:
    """Landlock's ABI version on this kernel, 0 if it has none or it is switched off at boot."""
    try:
        return landlockpy.abi_version()
    except LandlockError:
        return 0


def fs_access(rights: Right) -> AccessFS:
    """Landlock's rights for ours."""
    access = AccessFS.NONE
    for right in rights:
        access |= FS_RIGHTS[right]
    return access


class LandlockConfinement:
    """A ruleset for one launch."""

    supervised = False

    def __init__(self, ruleset: Ruleset, strength: Strength, gaps: tuple[Gap, ...]) -> None:
        self._ruleset = ruleset
        self.strength = strength
        self.gaps = gaps

    def wrap(self, command: Command) -> Command:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        return Command(command.file, command.argv, self.apply)

    def apply(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`. Sets no_new_privs.

        Root also loses the capabilities that reach past Landlock: see :mod:`learner.enforcers.capabilities`.
        """
        self._ruleset.restrict()
        capabilities.give_up()

    def check(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""

    def close(self) -> None:
        """See :class:`~learner.enforcers.enforcer.Confinement`."""
        self._ruleset.close()


class LandlockEnforcer:
    """Confines with Landlock at the kernel's own ABI.

    ``ports``: TCP ports, too; False where something else does. ``alone``: it sees the machine as it is, symlinks that
    the program made among it; False in a namespace that was made without them, and perhaps without /proc.
    """

    name = "landlock"
    hides = False

    def __init__(self, *, ports: bool = True, alone: bool = True) -> None:
        self._ports, self._alone = ports, alone

    def prepare(self, policy: Policy) -> LandlockConfinement:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        if abi() == 0:
            raise MachineError(
                "this kernel has no Landlock, or it is switched off",
                "use Linux 5.13 or newer with `landlock` in the lsm= list of its command line (see `sbx doctor`)",
            )
        abstract = any(n.abstract for n in policy.network)
        scopes = Scope.SIGNAL if abstract else Scope.SIGNAL | Scope.ABSTRACT_UNIX_SOCKET
        try:
            handled = _handled_network(policy) if self._ports else AccessNet.NONE
            ruleset = Ruleset(scoped=scopes, handled_net=handled)
        except LandlockError as problem:
            raise MachineError(
                f"Landlock refused a ruleset: {problem.strerror}",
                "a container's seccomp profile may forbid it",
            ) from None
        gaps = [*kernel_gaps(abi()), *policy_gaps(policy), *_root_gaps()]
        try:
            for device in ALWAYS:
                _allow(ruleset, device, policy, alone=self._alone)
            for grant in policy.grants:
                obstacle = _allow(ruleset, grant, policy, alone=self._alone)
                if obstacle:
                    gaps.append(Gap(to_text(grant.path), obstacle))
            if self._ports:
                _allow_network(ruleset, policy)
        except BaseException:
            ruleset.close()
            raise
        return LandlockConfinement(ruleset, Strength.PARTIAL if gaps else Strength.FULL, tuple(sorted(set(gaps))))

    def mediates(self, rights: Right) -> Right:
        """See :class:`~learner.enforcers.enforcer.Enforcer`."""
        handled = landlockpy.fs_for_abi(abi())
        kept = NO_RIGHT
        for right in rights:
            if FS_RIGHTS[right] & handled:
                kept |= right
        return kept

    def gates(self, access: Access) -> bool:
        """See :class:`~learner.enforcers.enforcer.Enforcer`. What has path needs is decided by :meth:`mediates`."""
        end = access.endpoint
        if end is None:
            return access.kind is not Kind.OPAQUE
        if end.family is Family.ABSTRACT:
            return access.operation in (Operation.CONNECT, Operation.SEND) and abi() >= 6
        return end.transport is Transport.TCP and access.operation in (Operation.CONNECT, Operation.BIND) and abi() >= 4


def _allow(ruleset: Ruleset, grant: Grant, policy: Policy, *, alone: bool) -> str:
    """Add the rule for a grant; why there is none, if there is not."""
    access = fs_access(grant.rights)
    try:
        found = anchor(grant, policy) if alone else Anchor(os.open(grant.path, os.O_PATH | os.O_CLOEXEC))
    except (FileNotFoundError, NotADirectoryError):
        return "not there, so nothing was granted on it"
    except OSError as problem:
        if problem.errno == errno.ELOOP:
            return "a loop of symlinks, so nothing was granted on it"
        raise MachineError(f"{to_text(grant.path)}: {problem.strerror}", "you need to reach what you grant") from None
    try:
        if found.detour:
            return f"nothing was granted on it: the program itself could have made it a symlink to {found.detour}"
        if not stat.S_ISDIR(os.fstat(found.fd).st_mode):
            access &= _FILE_ONLY
        elif grant.scope is GrantScope.FILE:
            access &= ~_FILE_ONLY  # on a directory alone they mean nothing, and a rule would open every file beneath
        if access:
            ruleset.allow_path(f"/proc/self/fd/{found.fd}" if alone else grant.path, access)
    except LandlockError as problem:
        raise MachineError(f"{to_text(grant.path)}: {problem.strerror}", "no rule can stand on it: remove it") from None
    finally:
        os.close(found.fd)
    return ""


def _handled_network(policy: Policy) -> AccessNet:
    """The TCP rights to be refused without a rule: 65,536 rules would not be the way to say "every port"."""
    handled = landlockpy.net_for_abi(abi())
    open_to_all = {grant.action for grant in policy.network if grant.anywhere and grant.transport is Transport.TCP}
    if NetworkAction.BIND in open_to_all:
        handled &= ~AccessNet.BIND_TCP
    if NetworkAction.CONNECT in open_to_all:
        handled &= ~AccessNet.CONNECT_TCP
    return handled


def _allow_network(ruleset: Ruleset, policy: Policy) -> None:
    for grant in policy.network:
        if grant.anywhere or grant.abstract or grant.transport is not Transport.TCP:
            continue
        if grant.action is NetworkAction.BIND:
            ruleset.allow_port(grant.port, AccessNet.BIND_TCP)
        elif grant.port:
            ruleset.allow_port(grant.port, AccessNet.CONNECT_TCP)
        else:
            for port in ephemeral_ports():
                ruleset.allow_port(port, AccessNet.CONNECT_TCP)


def kernel_gaps(version: int) -> tuple[Gap, ...]:
    """What Landlock does not refuse at an ABI version, whatever the policy says."""
    found = [
        Gap("metadata", "Landlock does not hide names: stat, access and readlink work everywhere"),
        Gap("attributes", "Landlock does not see chmod, chown, utime and extended attributes"),
        Gap("other sockets", "Landlock does not see raw, netlink and vsock sockets, nor MPTCP connections"),
        Gap("TCP Fast Open", "Landlock does not see a connection that is opened by sending (MSG_FASTOPEN)"),
        *UNHELD,
        Gap("keyrings", "Landlock does not see keyctl: keys of the session can be read"),
        Gap("shared memory and queues", "Landlock does not see System V shared memory, queues and semaphores"),
    ]
    if read_setting(_TIOCSTI) != "0":
        found.append(Gap("terminal", "Landlock does not see TIOCSTI: characters can be typed into the terminal"))
    by_version = (
        (2, "moving between directories", "always refused before Landlock ABI 2 (Linux 5.19)"),
        (3, "truncation", "not seen before Landlock ABI 3 (Linux 6.2)"),
        (4, "TCP", "not seen before Landlock ABI 4 (Linux 6.7)"),
        (5, "device ioctls", "not seen before Landlock ABI 5 (Linux 6.10)"),
        (6, "abstract unix sockets and signals", "not seen before Landlock ABI 6 (Linux 6.12)"),
        (
            9,
            "unix sockets by path",
            "not seen before Landlock ABI 9 (Linux 7.1): docker.sock, agents' sockets",
        ),
        (10, "UDP", "not seen before Landlock ABI 10 (Linux 7.2): DNS and QUIC to any host"),
    )
    found += [Gap(item, reason) for since, item, reason in by_version if version < since]
    return tuple(found)


def _root_gaps() -> list[Gap]:
    lost = capabilities.held()
    if not lost:
        return []
    names = ", ".join(beyond.name for beyond in lost)
    return [Gap("root", f"runs without the capabilities that reach past Landlock: what takes them fails ({names})")]


def policy_gaps(policy: Policy) -> list[Gap]:
    """What Landlock can only grant more widely than ``policy`` says, or not at all."""
    gaps = [*only_on_macos(policy)]
    if any(n.transport is Transport.TCP and not n.abstract and not n.anywhere for n in policy.network):
        gaps.append(Gap("hosts", "Landlock grants TCP by port: a granted port is open on every host"))
    if any(n.abstract for n in policy.network):
        gaps.append(Gap("abstract sockets", "one is granted, and Landlock can only open all of them"))
    if any(
        n.action is NetworkAction.CONNECT and n.port == 0 and not (n.abstract or n.anywhere) for n in policy.network
    ):
        gaps.append(Gap("own ports", "the program's own ephemeral port is granted as the whole range"))
    if any(g.scope is GrantScope.FILE and g.rights & DIRECTORY_RIGHTS for g in policy.grants):
        gaps.append(Gap("single directories", "a Landlock rule on a directory holds for everything beneath it"))
    return gaps
