"""The processes of macOS, which has no ``/proc``: from ps(1), which runs outside of the sandbox as sbx does."""

from typing import NamedTuple

PS = "/bin/ps"


class Listed(NamedTuple):
    """``user``: the real user id."""

    pid: int
    parent: int
    user: int


def processes() -> tuple[Listed, ...]:
    """Every process that has not ended, but the ps that listed them. Raises OSError."""
    import subprocess  # slow to import, and only for who asks

    words = (PS, "-A", "-o", "pid=", "-o", "ppid=", "-o", "ruid=", "-o", "stat=")
    with subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as ps:
        text, _ = ps.communicate()
    rows = (line.split() for line in text.decode("ascii", "replace").splitlines())
    found = (Listed(*map(int, row[:3])) for row in rows if len(row) == 4 and not row[3].startswith("Z"))
    return tuple(one for one in found if one.pid != ps.pid)
