"""Small files of the kernel's: settings in /proc/sys, id maps, cgroups."""

import os


def read_setting(path: str) -> str:
    """What the file holds, without white space around it; empty if it cannot be read."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def write_setting(path: str, text: str) -> None:
    """Write ``text`` in one write(2): the kernel takes the content of such files only whole. Raises OSError."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode())
    finally:
        os.close(descriptor)


def map_ids(uid: int, gid: int) -> None:
    """Keep these ids in the user namespace that was just entered. Raises OSError."""
    # Without this an unprivileged user may not map groups: dropping one could open a file (user_namespaces(7)).
    write_setting("/proc/self/setgroups", "deny")
    write_setting("/proc/self/uid_map", f"{uid} {uid} 1")
    write_setting("/proc/self/gid_map", f"{gid} {gid} 1")
