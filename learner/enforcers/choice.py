"""Which enforcer holds a policy: the one that was asked for, or the strongest that this machine can do.

Strongest first: layered, Landlock, bubblewrap. bubblewrap alone comes last although it hides names, because it opens
the whole network as soon as a policy grants any of it, and tells no kinds of rights apart. macOS has one of its own.
"""

import enum
import errno
import functools
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple

from learner.enforcers.enforcer import Confinement, Enforcer
from learner.errors import MachineError, UsageError
from learner.gaps import Gap
from learner.settings import read_setting


class EnforcerName(enum.StrEnum):
    """What ``--enforcer`` takes."""

    AUTO = "auto"
    LAYERED = "layered"
    LANDLOCK = "landlock"
    BUBBLEWRAP = "bubblewrap"
    SEATBELT = "seatbelt"


REQUIRABLE = (
    "TCP",
    "TCP Fast Open",
    "UDP",
    "abstract unix sockets and signals",
    "attributes",
    "device ioctls",
    "hosts",
    "inherited descriptors",
    "keyrings",
    "kinds of rights",
    "metadata",
    "moving between directories",
    "other processes",
    "other sockets",
    "process files",
    "programs in memory",
    "servers",
    "shared memory and queues",
    "single directories",
    "terminal",
    "truncation",
    "unix sockets by path",
    "unix sockets in granted trees",
)
"""What ``--require`` takes: the items of gaps (:class:`learner.gaps.Gap`) that an enforcer may leave open."""


class Choice(NamedTuple):
    """``reason``: why not a stronger one, empty if there is none."""

    enforcer: Enforcer
    reason: str = ""


def choose(name: EnforcerName, *, ports: bool = True) -> Choice:
    """The enforcer for ``name``. Raises MachineError, saying why, if this machine cannot do it.

    ``ports``: whether it is to hold TCP ports; False where something beside it holds the network.
    """
    if sys.platform == "darwin" or name is EnforcerName.SEATBELT:
        return Choice(_seatbelt(name))
    if name is EnforcerName.LANDLOCK:
        return Choice(_landlock(ports))
    if name is EnforcerName.BUBBLEWRAP:
        return Choice(_bubblewrap())
    obstacle = layered_obstacle()
    if not obstacle:
        from learner.enforcers.layered import LayeredEnforcer

        return Choice(LayeredEnforcer(ports=ports))
    if name is EnforcerName.LAYERED:
        raise MachineError(f"layered enforcement cannot work here: {obstacle}", "use --enforcer landlock or bubblewrap")
    from learner.enforcers.landlock import abi

    if abi():
        return Choice(_landlock(ports), obstacle)
    try:
        return Choice(_bubblewrap(), obstacle)
    except MachineError:
        return Choice(_landlock(ports), obstacle)  # says, when it is used, what is missing


def _seatbelt(name: EnforcerName) -> Enforcer:
    if sys.platform != "darwin":
        raise MachineError("the seatbelt enforcer is the sandbox of macOS", "use another --enforcer")
    if name not in (EnforcerName.AUTO, EnforcerName.SEATBELT):
        raise MachineError(f"{name} is a part of Linux", "use --enforcer seatbelt")
    from learner.enforcers.seatbelt import SeatbeltEnforcer

    return SeatbeltEnforcer()


def _landlock(ports: bool) -> Enforcer:
    from learner.enforcers.landlock import LandlockEnforcer

    return LandlockEnforcer(ports=ports)


def _bubblewrap() -> Enforcer:
    from learner.enforcers.bubblewrap import BubblewrapEnforcer, find_bwrap, not_installed

    if find_bwrap() is None:
        raise not_installed()
    return BubblewrapEnforcer()


def check_items(items: Sequence[str]) -> None:
    """Raises UsageError for an item that no enforcer knows."""
    for item in items:
        if item not in REQUIRABLE:
            raise UsageError(f"--require {item}: there is no such item", f"one of: {', '.join(REQUIRABLE)}")


def demand(confinement: Confinement, enforcer: Enforcer, items: Sequence[str]) -> None:
    """Raises MachineError unless each of ``items`` is held."""
    for item in items:
        missing = [gap for gap in confinement.gaps if gap.item == item]
        if missing:
            raise MachineError(f"{enforcer.name} does not hold {item!r} here: {missing[0].reason}", _remedy(enforcer))


def _remedy(enforcer: Enforcer) -> str:
    if enforcer.name == EnforcerName.LAYERED:
        return "no enforcer on this machine holds it for this policy: leave out --require, or change the grants"
    return "try --enforcer layered, or leave out --require"


def layered_obstacle() -> str:
    """Why namespaces and Landlock cannot be layered here, one clause; empty if they can. Tries it in a child."""
    from learner.enforcers.landlock import abi

    if abi() == 0:
        return "this kernel has no Landlock, or it is switched off"
    return namespace_obstacle()


@functools.cache
def namespace_obstacle() -> str:
    """Why a process cannot give itself a root of its own here, one clause; empty if it can. Tries it in a child."""
    from learner.enforcers.binds import Plan
    from learner.enforcers.namespaces import enter

    code, where = _tried(lambda: enter(Plan((), ()), own_network=False))
    return explain(code, where) if code else ""


def _tried(work: Callable[[], None]) -> tuple[int, str]:
    """The errno of ``work()`` in a child, and which call it was."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = "0 "
        try:
            work()
        except OSError as problem:
            said = f"{problem.errno or errno.EIO} {problem.strerror}"
        except BaseException as problem:  # noqa: BLE001 - the parent must hear of anything
            said = f"{errno.EIO} {problem}"
        finally:
            os.write(write_end, said.encode(errors="replace")[:4000])
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, "rb") as answer:
        code, _, where = answer.read().decode(errors="replace").partition(" ")
    os.waitpid(pid, 0)
    return int(code or errno.EIO), where


_SETTINGS = (
    ("kernel.unprivileged_userns_clone", "0", "unprivileged user namespaces are switched off"),
    ("kernel.apparmor_restrict_unprivileged_userns", "1", "AppArmor restricts unprivileged user namespaces (Ubuntu)"),
    ("user.max_user_namespaces", "0", "user namespaces are limited to none"),
)
"""(setting, value, what it means): Debian's patch, Ubuntu's from 23.10 on, and namespaces(7)."""


def explain(code: int, where: str) -> str:
    """One clause on why a namespace could not be made: ``code`` and ``where`` are of the call that failed."""
    for name, value, meaning in _SETTINGS:
        if read_setting(f"/proc/sys/{name.replace('.', '/')}") == value:
            return f"{meaning}: sysctl {name} is {value}"
    if "unshare" in where:
        if code == errno.ENOSPC:
            return "the limit on nested or on all user namespaces is reached (user.max_user_namespaces)"
        if code in (errno.EINVAL, errno.ENOSYS):
            return "this kernel was built without user namespaces"
        if code == errno.EPERM and _in_container():
            return "the container that this runs in forbids user namespaces (its seccomp profile)"
        if code == errno.EPERM:
            return "user namespaces are refused to this process: it is itself confined, or in a chroot"
    if code == errno.ENOSYS:
        return f"this kernel is too old for it, Linux 5.12 has what it takes ({where})"
    return f"a root directory of its own could not be made: {where or os.strerror(code)}"


def _in_container() -> bool:
    return any(os.path.exists(mark) for mark in ("/.dockerenv", "/run/.containerenv")) or "container" in os.environ


def open_items(gaps: Sequence[Gap]) -> str:
    """The items of ``gaps`` in one line."""
    return ", ".join(sorted({gap.item for gap in gaps})) or "nothing"
