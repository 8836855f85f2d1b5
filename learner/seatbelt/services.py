"""What only the macOS sandbox controls: by which filter each operation is narrowed to a name. A table.

The operations and filters are those that Apple's own profiles use (``/System/Library/Sandbox/Profiles``, macOS 12 to
15). An operation that is not in it is left out: a word that the compiler does not know spoils the whole profile.
"""

import re

from learner.access import Access
from learner.policy import ServiceGrant
from learner.seatbelt.sbpl import Expression, Symbol, is_sayable

_ANY = ""
_PATH = "literal"
FILTERS = {
    "appleevent-send": "appleevent-destination",
    "authorization-right-obtain": "right-name",
    "darwin-notification-post": "notification-name",
    "distributed-notification-post": "notification-name",
    "dynamic-code-generation": _ANY,
    "file-chroot": _PATH,
    "file-clone": _PATH,
    "file-issue-extension": _PATH,
    "file-lock": _PATH,
    "file-revoke": _PATH,
    "file-search": _PATH,
    "hid-control": _ANY,
    "iokit-get-properties": "iokit-property",
    "iokit-open": "iokit-registry-entry-class",
    "iokit-open-service": "iokit-registry-entry-class",
    "iokit-open-user-client": "iokit-user-client-class",
    "iokit-set-properties": "iokit-property",
    "ipc-posix-sem": "ipc-posix-name",
    "ipc-posix-sem-create": "ipc-posix-name",
    "ipc-posix-sem-open": "ipc-posix-name",
    "ipc-posix-sem-post": "ipc-posix-name",
    "ipc-posix-sem-unlink": "ipc-posix-name",
    "ipc-posix-sem-wait": "ipc-posix-name",
    "ipc-posix-shm": "ipc-posix-name",
    "ipc-posix-shm-read-data": "ipc-posix-name",
    "ipc-posix-shm-read-metadata": "ipc-posix-name",
    "ipc-posix-shm-write-create": "ipc-posix-name",
    "ipc-posix-shm-write-data": "ipc-posix-name",
    "ipc-posix-shm-write-unlink": "ipc-posix-name",
    "ipc-sysv-sem": _ANY,
    "ipc-sysv-shm": _ANY,
    "job-creation": _ANY,
    "lsopen": _ANY,
    "mach-lookup": "global-name",
    "mach-priv-host-port": _ANY,
    "mach-priv-task-port": _ANY,
    "mach-register": "global-name",
    "mach-task-name": _ANY,
    "nvram-get": "nvram-variable",
    "process-codesigning-status-get": _ANY,
    "process-fork": _ANY,
    "pseudo-tty": _ANY,
    "sysctl-read": "sysctl-name",
    "sysctl-write": "sysctl-name",
    "system-audit": _ANY,
    "system-fsctl": "fsctl-command",
    "system-info": _ANY,
    "system-sched": _ANY,
    "system-socket": _ANY,
    "user-preference-read": "preference-domain",
    "user-preference-write": "preference-domain",
}
"""By operation, the filter of its name; empty where it is granted as a whole."""

GROUPS = ("iokit-open", "ipc-posix-sem", "ipc-posix-shm")
"""Operations that stand for all that begin as they do, without a star."""

KEYCHAIN = ("com.apple.SecurityServer", "com.apple.secd", "com.apple.securityd.xpc")
"""The keychain's services."""
SAME = "same-sandbox"
"""The target of what a program may always do to itself and its children (:func:`is_own`), and to no other process."""


def is_about_paths(operation: str) -> bool:
    """Whether the names of a service are paths."""
    return FILTERS.get(operation) == _PATH


def is_own(operation: str) -> bool:
    """Whether it is signalling, or asking about, a process. The log does not say which one."""
    return operation == "signal" or operation.startswith("process-info")


def name_of(access: Access) -> str:
    """What a service access was about; its object begins with the operation, so that it can be told from others."""
    return access.object[len(access.call) + 1 :]


UNGRANTABLE = {
    "forbidden-exec-sugid": "no program that is setuid or setgid runs in any sandbox of macOS",
}
"""What no rule can admit, and why."""

REACHES = {
    **dict.fromkeys(KEYCHAIN, "the keychain: it hands out secrets that the user has unlocked"),
    "com.apple.pasteboard.1": "the pasteboard: what the user copied last, passwords too",
    "com.apple.coreservices.appleevents": "Apple events: other programs do what they are told, outside",
    "com.apple.coreservices.launchservicesd": "Launch Services: it opens programs outside of the sandbox",
    "com.apple.windowserver.active": "the window server: the screen, and what is typed",
    "com.apple.tccd": "privacy decisions of the user",
    "com.apple.tccd.system": "privacy decisions of the user",
    "com.apple.ssh-agent": "the ssh agent: it signs with the user's keys",
}
"""Mach services that act outside of the sandbox for whoever reaches them."""
ACTS = {
    "appleevent-send": REACHES["com.apple.coreservices.appleevents"],
    "authorization-right-obtain": "rights of an administrator",
    "hid-control": "keyboard and mouse of the user",
    "job-creation": "launchd: it starts programs outside of the sandbox",
    "lsopen": REACHES["com.apple.coreservices.launchservicesd"],
    "mach-priv-task-port": "other processes, and all that is in their memory",
}
"""The same of whole operations."""


def acts_outside(operation: str, name: str) -> str:
    """What a program does outside of the sandbox by a service, "" for nothing."""
    if operation == "mach-lookup":
        return REACHES.get(name, "") if name else "every service: the keychain is among them"
    return ACTS.get(operation, "")


def covers(grant: ServiceGrant, operation: str, name: str) -> bool:
    """Whether ``grant`` allows ``operation`` on ``name`` ("": on any)."""
    known = grant.operation
    same = known == operation or (known in GROUPS and operation.startswith(known))
    return same and grant.name in ("", name)


_FSCTL = re.compile(r'\((_IO[RW]{0,2}) "([A-Za-z])" (\d{1,3})\)')


def filter_of(operation: str, name: str) -> tuple[Expression, ...] | None:
    """The filters of a rule for ``operation`` on ``name``; None if it cannot be written."""
    if operation not in FILTERS or not is_sayable(name):
        return None
    word = FILTERS[operation]
    if not name or not word:
        return ()
    if word == "fsctl-command":
        match = _FSCTL.fullmatch(name)
        return None if match is None else ((Symbol(word), (Symbol(match[1]), match[2], int(match[3]))),)
    return ((Symbol(word), name),)
