"""From an operation of the macOS sandbox and its target to what every tracer emits.

The names are those of Apple's own profiles (``/System/Library/Sandbox/Profiles``) and of the log. What has its like on
Linux becomes that operation; everything else is :attr:`~tracers.events.Operation.SERVICE`, whose target is the name.
"""

import ipaddress
import os

from tracers.events import Endpoint, Family, Opaque, Operation, PathTarget, Target, Transport

_FILES = {
    "file-read*": (Operation.READ,),
    "file-read-data": (Operation.READ,),
    "file-map-executable": (Operation.READ,),
    "file-read-metadata": (Operation.STAT,),
    "file-test-existence": (Operation.STAT,),
    "file-read-xattr": (Operation.GETXATTR,),
    "file-write*": (Operation.WRITE,),
    "file-write-data": (Operation.WRITE,),
    "file-write-create": (Operation.CREATE,),
    "file-write-unlink": (Operation.REMOVE,),
    "file-write-mode": (Operation.CHMOD,),
    "file-write-acl": (Operation.CHMOD,),
    "file-write-flags": (Operation.CHMOD,),
    "file-write-setugid": (Operation.CHMOD,),
    "file-write-owner": (Operation.CHOWN,),
    "file-write-times": (Operation.UTIME,),
    "file-write-xattr": (Operation.SETXATTR,),
    "file-link": (Operation.LINK_TO,),
    "file-ioctl": (Operation.IOCTL,),
    "process-exec": (Operation.EXEC,),
    "process-exec*": (Operation.EXEC,),
    "process-exec-interpreter": (Operation.EXEC,),
}
_NETWORK = {
    "network-outbound": Operation.CONNECT,
    "network-bind": Operation.BIND,
    "network-inbound": Operation.BIND,
}
_DATA_VOLUME = "/System/Volumes/Data"
_FIRMLINKED = (
    "/Applications",
    "/Library",
    "/System/Library/Assets",
    "/System/Library/Caches",
    "/Users",
    "/Volumes",
    "/cores",
    "/opt",
    "/private",
    "/usr/local",
)
"""What of the data volume shows elsewhere too (``/usr/share/firmlinks``): the kernel may name it either way."""
_LINKED = ("/etc", "/tmp", "/var")  # noqa: S108 - names: links into /private, on every Mac


def canonical(path: str) -> str:
    """``path`` as the sandbox decides on it: in ``/private``, and not by the data volume's own name."""
    if path.startswith(_DATA_VOLUME):
        rest = path[len(_DATA_VOLUME) :]
        if any(rest == known or rest.startswith(known + "/") for known in _FIRMLINKED):
            path = rest
    if any(path == known or path.startswith(known + "/") for known in _LINKED):
        path = "/private" + path
    return path


def understand(operation: str, target: str) -> tuple[Operation, Target] | None:
    """What a report is about, None if it makes no sense (a file operation without a path)."""
    if operation in _FILES:
        return (_FILES[operation][0], _path(target)) if _is_path(target) else None
    if operation in _NETWORK:
        if target.startswith("/"):
            return (_NETWORK[operation], _path(target)) if _is_path(target) else None
        end = endpoint(target)
        return None if end is None else (_NETWORK[operation], end)
    if operation.startswith("file-") and not _is_path(target):
        return None
    return Operation.SERVICE, Opaque(canonical(target) if target.startswith("/") else target)


def endpoint(target: str) -> Endpoint | None:
    """``remote:*:443``, ``*:1921``, ``local:1.2.3.4:80`` or ``[::1]:80``; the sandbox does not tell TCP from UDP."""
    text = target.removeprefix("remote:").removeprefix("local:")
    host, colon, port = text.rpartition(":")
    if not colon or not host or not (port == "*" or (port.isascii() and port.isdecimal() and int(port[:6]) < 65536)):
        return None
    host = host.removeprefix("[").removesuffix("]")
    family = Family.INET6 if ":" in host else Family.INET
    if host not in ("*", "localhost"):
        try:
            ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return None
    return Endpoint(family, host, 0 if port == "*" else int(port), Transport.UNKNOWN)


def _is_path(target: str) -> bool:
    return target.startswith("/") and not {".", ".."} & {*target.split("/")} and "//" not in target


def _path(target: str) -> PathTarget:
    name = os.fsencode(canonical(target.rstrip("/") or "/"))
    # The kernel resolved it, so no link is left in it, and the last name is meant as it is.
    return PathTarget(name, follow=False, opened=name)
