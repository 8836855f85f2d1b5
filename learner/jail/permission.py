"""Whether this machine lets us make a jail, and if not, why: one sentence, and what to do about it."""

import errno
import os

from learner.errors import LaunchError
from learner.jail import namespace
from learner.jail.addresses import ResolvConf
from learner.settings import read_setting


class NotPermitted(LaunchError):  # noqa: N818 - named as the other launch errors are
    """No jail can be made here; the message says why."""


_FALLBACK = "or use --network proxy"


def refusal(problem: OSError) -> tuple[str, str]:
    """(sentence, remedy) for a failure of :mod:`learner.jail.namespace`. Reads the settings that explain it."""
    step = problem.filename or "namespaces"
    if step == "nftables" and problem.errno not in (errno.EPERM, errno.EACCES):
        return (
            f"this kernel cannot redirect connections with nftables ({problem.strerror})",
            f"load the modules nf_tables, nft_chain_nat and nft_redir, {_FALLBACK}",
        )
    if step == "listeners":
        return f"the jail's ports could not be taken: {problem.strerror}", "report this"
    for setting, value, sentence, remedy in _SETTINGS:
        if read_setting(setting) == value:
            return sentence, f"{remedy}, {_FALLBACK}"
    if problem.errno in (errno.EINVAL, errno.ENOSYS):
        return "this kernel has no user or network namespaces", f"use a kernel built with them, {_FALLBACK}"
    if problem.errno == errno.ENOSPC:
        return "the limit on user or network namespaces is reached", f"raise user.max_user_namespaces, {_FALLBACK}"
    if _seccomp():
        return (
            "a seccomp filter forbids namespaces here, as containers' default profiles do",
            f"start the container with a profile that allows unshare, {_FALLBACK}",
        )
    return f"namespaces are not permitted here ({step}: {problem.strerror})", f"see user_namespaces(7), {_FALLBACK}"


_SETTINGS = (
    (
        "/proc/sys/kernel/unprivileged_userns_clone",
        "0",
        "this machine forbids user namespaces to ordinary users (kernel.unprivileged_userns_clone is 0)",
        "as root: sysctl kernel.unprivileged_userns_clone=1",
    ),
    (
        "/proc/sys/user/max_user_namespaces",
        "0",
        "this machine allows no user namespaces (user.max_user_namespaces is 0)",
        "as root: sysctl user.max_user_namespaces=10000",
    ),
    (
        "/proc/sys/user/max_net_namespaces",
        "0",
        "this machine allows no network namespaces (user.max_net_namespaces is 0)",
        "as root: sysctl user.max_net_namespaces=10000",
    ),
    (
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns",
        "1",
        "AppArmor takes the rights of user namespaces away (kernel.apparmor_restrict_unprivileged_userns is 1, as on "
        "Ubuntu)",
        "as root: give sbx's Python an AppArmor profile with `userns,`, or set that to 0",
    ),
)


def obstacle() -> tuple[str, str] | None:
    """Try to make a jail in a child that ends at once: None, or the (sentence, remedy) that says why not."""
    said_read, said_write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = ""
        try:
            namespace.separate()
            namespace.network(ResolvConf.here().servers)
        except OSError as problem:
            said = f"{problem.errno or 0} {problem.filename or 'namespaces'}"
        except BaseException:  # noqa: BLE001 - nothing may go on as if it were the parent
            said = f"{errno.EIO} namespaces"
        finally:
            os.write(said_write, said.encode())
            os._exit(0)
    os.close(said_write)
    with os.fdopen(said_read) as answer:
        text = answer.read()
    os.waitpid(pid, 0)
    if not text:
        return None
    code, _, step = text.partition(" ")
    return refusal(OSError(int(code), os.strerror(int(code)), step))


def _seccomp() -> bool:
    """Whether this process is under a seccomp filter (proc_pid_status(5))."""
    return any(line.split() == ["Seccomp:", "2"] for line in read_setting("/proc/self/status").splitlines())
