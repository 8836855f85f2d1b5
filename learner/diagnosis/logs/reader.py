"""A log read once, line by line: the distinct messages in it, most telling first, in constant memory."""

import errno
import os
import re
from collections import deque
from typing import BinaryIO, NamedTuple

from learner.diagnosis.case import Certainty
from learner.diagnosis.logs.lines import lines, whole
from learner.diagnosis.logs.shapes import Message
from learner.diagnosis.logs.table import messages
from learner.policy import Grant, NetworkAction, NetworkGrant, Right, Scope
from tracers.events import Operation, Transport

KEPT = 200
"""Distinct refusals that are remembered, and distinct other messages; more are counted."""
_BEFORE = 6
"""Lines before a Python exception in which the call stands that raised it."""
_TELLING = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.EXDEV})
_FRAMES = (
    (re.compile(r"\b(?:os\.)?(?:mkdir|makedirs)\("), Operation.MKDIR),
    (re.compile(r"\b(?:os\.)?(?:unlink|remove)\("), Operation.REMOVE),
    (re.compile(r"\b(?:listdir|scandir|iterdir)\("), Operation.LIST),
    (re.compile(r"\b(?:write_text|write_bytes|touch|mkstemp)\(|open\([^)]*['\"][wax]b?\+?['\"]"), Operation.CREATE),
    (re.compile(r"\bsubprocess\.|_execute_child|execv"), Operation.EXEC),
    (re.compile(r"\.connect\(|create_connection\("), Operation.CONNECT),
)
_PROBE_NAMES = re.compile(r"\.so(\.|$)|/locale/|locale-archive|ld\.so\.|gconv|\.pyc$|__pycache__")
_RIGHTS = {
    Operation.READ: Right.READ,
    Operation.LIST: Right.LIST,
    Operation.WRITE: Right.WRITE | Right.TRUNCATE,
    Operation.TRUNCATE: Right.TRUNCATE,
    Operation.EXEC: Right.READ | Right.EXEC,
    Operation.CHMOD: Right.ATTRIBUTES,
    Operation.CHOWN: Right.ATTRIBUTES,
    Operation.UTIME: Right.ATTRIBUTES,
    Operation.SETXATTR: Right.ATTRIBUTES,
}
_IN_DIRECTORY = {
    Operation.CREATE: Right.CREATE,
    Operation.MKDIR: Right.MKDIR,
    Operation.SYMLINK: Right.SYMLINK,
    Operation.REMOVE: Right.REMOVE,
    Operation.RMDIR: Right.RMDIR,
    Operation.RENAME_FROM: Right.CREATE | Right.REMOVE,
    Operation.LINK_FROM: Right.CREATE,
}


class Entry(NamedTuple):
    """A message, in which line it stood first, and how often it was there."""

    message: Message
    line: int
    times: int


class Log(NamedTuple):
    """``entries``: most telling first. ``more``: distinct messages beyond those kept. ``read``: lines."""

    entries: tuple[Entry, ...]
    more: int
    read: int


def read_log(stream: BinaryIO) -> Log:
    """What a log says."""
    # Apart, so that no number of things that are only missing takes the place of a refusal.
    told: dict[bool, dict[Message, tuple[int, int]]] = {False: {}, True: {}}
    before: deque[str] = deque(maxlen=_BEFORE)
    more = number = 0
    for number, line in enumerate(whole(lines(stream)), 1):
        said = list(messages(line))
        # A line that was wrapped, or a document whose members stand on lines of their own.
        if not said and before and before[-1]:
            said = list(messages(before[-1] + line))
        for each in said:
            message = _with_frame(each, before)
            found = told[message.errno in _TELLING]
            if message in found:
                first, times = found[message]
                found[message] = (first, times + 1)
            elif len(found) < KEPT:
                found[message] = (number, 1)
            else:
                more += 1
        before.append("" if said else line[:400])
    entries = [Entry(message, *seen) for found in told.values() for message, seen in found.items()]
    return Log(tuple(sorted(entries, key=_rank)), more, number)


def _with_frame(message: Message, before: "deque[str]") -> Message:
    if message.shape != "python" or message.operation is not Operation.READ:
        return message
    for line in reversed(before):
        for pattern, operation in _FRAMES:
            if pattern.search(line):
                return message._replace(operation=operation)
    return message


_ORDER = {Certainty.CERTAIN: 0, Certainty.LIKELY: 1, Certainty.POSSIBLE: 2}


def _rank(entry: Entry) -> tuple[bool, bool, bool, int, int]:
    """Refusals before things that are not there, what strace saw fail and every program probes for last."""
    message = entry.message
    raw = message.shape == "strace"
    probe = raw and message.errno in (errno.ENOENT, errno.ENOTDIR)
    return (
        probe,
        message.errno not in _TELLING,
        bool(_PROBE_NAMES.search(message.path)) and raw,
        _ORDER[message.certainty],
        entry.line,
    )


def grant(message: Message, home: str) -> Grant | NetworkGrant | None:
    """The smallest grant that would admit what a message tells of, None if it tells too little."""
    if message.operation in (Operation.CONNECT, Operation.BIND):
        host, _, port = message.path.rpartition(":")
        if not host or not port.isdigit():
            return None
        action = NetworkAction.BIND if message.operation is Operation.BIND else NetworkAction.CONNECT
        return NetworkGrant(action, host.removeprefix("remote:").strip("[]"), int(port), Transport.TCP, ())
    path = message.path
    if path.startswith("~/"):
        path = home + path[1:]
    if not path.startswith("/"):
        return None
    path = os.path.normpath(path)
    if message.operation in _IN_DIRECTORY:
        return Grant(os.path.dirname(path), Scope.FILE, _IN_DIRECTORY[message.operation], ())
    rights = _RIGHTS.get(message.operation)
    return Grant(path, Scope.FILE, rights, ()) if rights else None
