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
