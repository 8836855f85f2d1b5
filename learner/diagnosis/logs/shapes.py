"""What a message is, and how each kind of match becomes one."""

import errno
import json
import os
import re
from collections.abc import Callable
from typing import NamedTuple

from learner.diagnosis.case import Certainty
from tracers.events import Operation

_CODES = {os.strerror(code).lower(): code for code in sorted(errno.errorcode)} | {
    "read-only filesystem": errno.EROFS,
    "no such file or directory (os error 2)": errno.ENOENT,
    "command not found": errno.ENOENT,
}
READS, MAKES = Operation.READ, Operation.CREATE
Said = tuple[Operation, str, int] | None
"""(operation, path, errno), None if a match is no message after all."""


class Message(NamedTuple):
    """``path``: a path, a name on PATH, or an endpoint. ``errno``: 0 where the line does not tell."""

    shape: str
    operation: Operation
    path: str
    errno: int
    certainty: Certainty


class Shape(NamedTuple):
    """``read`` makes a message of a match, None if it is none after all."""

    name: str
    title: str
    pattern: re.Pattern[str]
    read: Callable[["re.Match[str]"], Said]
    certainty: Certainty = Certainty.CERTAIN


def code_of(text: str | None) -> int:
    """The errno of a name (EACCES) or of its words; 0 for neither."""
    text = text or ""
    text = text.strip().rstrip(".)").removesuffix(" (os error 13").removesuffix(" (os error 2")
    named = getattr(errno, text, None) if text.isupper() else None
    return named if isinstance(named, int) else _CODES.get(text.lower(), 0)


_CALLS = {
    "execve": Operation.EXEC,
    "execveat": Operation.EXEC,
    "mkdir": Operation.MKDIR,
    "mkdirat": Operation.MKDIR,
    "unlink": Operation.REMOVE,
    "unlinkat": Operation.REMOVE,
    "rmdir": Operation.RMDIR,
    "rename": Operation.RENAME_FROM,
    "renameat": Operation.RENAME_FROM,
    "renameat2": Operation.RENAME_FROM,
    "symlink": Operation.SYMLINK,
    "symlinkat": Operation.SYMLINK,
    "link": Operation.LINK_FROM,
    "linkat": Operation.LINK_FROM,
    "chmod": Operation.CHMOD,
    "fchmodat": Operation.CHMOD,
    "chown": Operation.CHOWN,
    "truncate": Operation.TRUNCATE,
    "open": Operation.READ,
    "openat": Operation.READ,
    "openat2": Operation.READ,
    "creat": Operation.CREATE,
    "scandir": Operation.LIST,
    "opendir": Operation.LIST,
    "readdir": Operation.LIST,
    "connect": Operation.CONNECT,
    "bind": Operation.BIND,
    "listen": Operation.BIND,
    "spawn": Operation.EXEC,
    "fork/exec": Operation.EXEC,
    "exec": Operation.EXEC,
    "unlinkSync": Operation.REMOVE,
    "copyfile": Operation.READ,
    "rm": Operation.REMOVE,
}
_ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)")')
_UNIX = re.compile(r'sun_path=(@?)"((?:[^"\\]|\\.)*)"')


def strace_says(found: "re.Match[str]") -> Said:
    call, arguments, code = found["call"], found["args"], code_of(found["errno"])
    operation = _CALLS.get(call)
    if operation is None or not code:
        return None
    if call in ("connect", "bind"):
        end = _ADDRESS.search(arguments)
        if end:
            return operation, f"{end[2] or end[3]}:{end[1]}", code
        local = _UNIX.search(arguments)
        return (operation, local[1] + _unescaped(local[2]), code) if local else None
    path = re.search(r'"((?:[^"\\]|\\.)*)"', arguments)
    if path is None:
        return None
    if operation is Operation.READ:
        if "O_CREAT" in arguments:
            operation = Operation.CREATE
        elif "O_WRONLY" in arguments or "O_RDWR" in arguments:
            operation = Operation.WRITE
        elif "O_DIRECTORY" in arguments:
            operation = Operation.LIST
    name = _unescaped(path[1])
    base = re.match(r"(?:AT_FDCWD|\d+)<([^>]*)>", arguments)
    return operation, os.path.join(base[1], name) if base else name, code


def _unescaped(text: str) -> str:
    return re.sub(r'\\(["\\])', r"\1", text)


_SEATBELT = {
    "file-read-data": Operation.READ,
    "file-read-metadata": Operation.STAT,
    "file-read-xattr": Operation.GETXATTR,
    "file-write-data": Operation.WRITE,
    "file-write-create": Operation.CREATE,
    "file-write-unlink": Operation.REMOVE,
    "file-write-mode": Operation.CHMOD,
    "file-write-owner": Operation.CHOWN,
    "file-write-times": Operation.UTIME,
    "file-write-flags": Operation.CHMOD,
    "file-write-xattr": Operation.SETXATTR,
    "process-exec": Operation.EXEC,
    "process-exec-interpreter": Operation.EXEC,
    "network-outbound": Operation.CONNECT,
    "network-bind": Operation.BIND,
    "network-inbound": Operation.LISTEN,
}


def seatbelt_says(found: "re.Match[str]") -> Said:
    operation, target = _SEATBELT.get(found["op"].rstrip("*")), found["target"].strip()
    return (operation, target.replace("\\/", "/"), errno.EPERM) if operation and target else None


def fixed_says(operation: Operation, code: int = 0) -> Callable[["re.Match[str]"], Said]:
    def read(found: "re.Match[str]") -> Said:
        said = code_of(found["why"]) if "why" in found.re.groupindex else code
        return operation, found["path"], said or code

    return read


def node_says(found: "re.Match[str]") -> Said:
    operation, code = _CALLS.get(found["call"]), code_of(found["errno"])
    if operation is None or not code:
        return None
    return operation, found["path"] or found["target"] or "", code


def python_says(found: "re.Match[str]") -> Said:
    operation = Operation.RENAME_FROM if found["peer"] else READS
    return operation, found["path"], int(found["code"])


def go_says(found: "re.Match[str]") -> Said:
    code = code_of(found["why"])
    return (_CALLS[found["call"]], found["path"], code) if code else None


def worded_says(found: "re.Match[str]") -> Said:
    """``cannot create /x: Permission denied``: the verb tells the operation."""
    code = code_of(found["why"])
    if not code:
        return None
    verb = (found["verb"] or "").lower()
    for word, operation in VERBS:
        if word in verb:
            return operation, found["path"], code
    return (MAKES if code == errno.EROFS else READS), found["path"], code


_NONO = {"read": READS, "write": Operation.WRITE, "read+write": Operation.WRITE, "readwrite": Operation.WRITE}
"""nono tells what access was tried, and no error; a Landlock sandbox says EACCES."""


def nono_says(found: "re.Match[str]") -> Said:
    operation = _NONO.get(found["access"].lower())
    return (operation, found["path"], errno.EACCES) if operation else None


def nono_json_says(found: "re.Match[str]") -> Said:
    said = nono_says(found)
    try:
        return (said[0], json.loads(f'"{found["path"]}"'), said[2]) if said else None
    except ValueError:
        return None


VERBS = (
    ("open directory", Operation.LIST),
    ("mkdir", Operation.MKDIR),
    ("directory", Operation.MKDIR),
    ("mk", Operation.MKDIR),
    ("creat", Operation.CREATE),
    ("touch", Operation.CREATE),
    ("writ", Operation.WRITE),
    ("save", Operation.WRITE),
    ("remov", Operation.REMOVE),
    ("unlink", Operation.REMOVE),
    ("delet", Operation.REMOVE),
    ("exec", Operation.EXEC),
    ("run", Operation.EXEC),
    ("spawn", Operation.EXEC),
    ("list", Operation.LIST),
    ("connect", Operation.CONNECT),
)
