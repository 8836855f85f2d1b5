"""Files that are not granted, reached by their own name, by another one, or through a link."""

import errno
import os
import stat
import struct
from ctypes import create_string_buffer

from learner.escapes.calls import call, check, libc
from learner.escapes.escape import LINKED, Escape, Family, Ground, Void, Who
from learner.policy import Right


def _open(path: str, flags: int) -> None:
    os.close(os.open(path, flags | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY, 0o600))


def _own_read(ground: Ground) -> None:
    ground.read(ground.plant())


def _truncate_at_open(ground: Ground) -> None:
    _open(ground.secret, os.O_WRONLY | os.O_TRUNC)


def _own_truncate_at_open(ground: Ground) -> None:
    _open(ground.plant(), os.O_WRONLY | os.O_TRUNC)


def _append(ground: Ground) -> None:
    _open(ground.secret, os.O_WRONLY | os.O_APPEND)


def _write_hook(ground: Ground) -> None:
    hooks = f"{ground.outside}/project/.git/hooks"
    _open(f"{hooks}/pre-commit", os.O_WRONLY | os.O_CREAT)


def _write_rc(ground: Ground) -> None:
    with open(f"{ground.outside}/.bashrc", "a") as file:
        file.write("echo escaped\n")


def _replace_rc(ground: Ground) -> None:
    os.replace(ground.plant(), f"{ground.outside}/.bashrc")


def _real_rc(ground: Ground) -> None:
    """The user's own: opened, and left as it is."""
    for name in (".bashrc", ".profile", ".zshrc", ".bash_profile"):
        path = os.path.realpath(f"{ground.shared.home}/{name}")
        if os.path.isfile(path):
            if ground.shared.policy.rights_on(path) & Right.WRITE:
                raise Void("the policy grants it")
            _open(path, os.O_WRONLY | os.O_APPEND)
            return
    raise FileNotFoundError(errno.ENOENT, "there is none")


def _remove(ground: Ground) -> None:
    os.unlink(ground.secret)


def _own_remove(ground: Ground) -> None:
    os.unlink(ground.plant())


def _symlink(ground: Ground) -> None:
    link = f"{ground.inside}/link"
    os.symlink(ground.secret, link)
    ground.read(link)


def _own_symlink(ground: Ground) -> None:
    link = f"{ground.inside}/own-link"
    os.symlink(ground.plant(), link)
    ground.read(link)


def _symlinked_directory(ground: Ground) -> None:
    link = f"{ground.inside}/directory"
    os.symlink(ground.outside, link)
    _open(f"{link}/new", os.O_WRONLY | os.O_CREAT)


def _dots(ground: Ground) -> None:
    os.chdir(ground.inside)
    ground.read(os.path.relpath(ground.secret, ground.inside))


def _own_dots(ground: Ground) -> None:
    os.mkdir(f"{ground.inside}/sub")
    os.chdir(f"{ground.inside}/sub")
    name = os.path.basename(ground.plant())
    ground.read(f"../{name}")


def _self_root(ground: Ground) -> None:
    ground.read(f"/proc/self/root{ground.secret}")


def _thread_self_root(ground: Ground) -> None:
    ground.read(f"/proc/thread-self/root{ground.secret}")


def _hard_link(ground: Ground) -> None:
    os.link(ground.secret, f"{ground.inside}/hard")
    ground.read(f"{ground.inside}/hard")


def _own_hard_link(ground: Ground) -> None:
    os.link(ground.plant(), f"{ground.inside}/own-hard")
    ground.read(f"{ground.inside}/own-hard")


def _rename_out(ground: Ground) -> None:
    os.rename(ground.plant(), f"{ground.outside}/moved")


def _rename_in(ground: Ground) -> None:
    os.rename(ground.secret, f"{ground.inside}/moved")
    ground.read(f"{ground.inside}/moved")


def _own_rename(ground: Ground) -> None:
    os.rename(ground.plant(), f"{ground.inside}/moved")
    ground.read(f"{ground.inside}/moved")


def _exchange(ground: Ground) -> None:
    own = ground.plant()
    exchange = 2  # RENAME_EXCHANGE, linux/fs.h
    check(libc.renameat2(-100, os.fsencode(own), -100, os.fsencode(ground.secret), exchange))
    ground.read(own)


def _openat2(resolve: int, path: str, directory: str) -> int:
    """openat2(2) for reading, from an O_PATH descriptor of ``directory``."""
    start = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    try:
        how = create_string_buffer(struct.pack("=QQQ", os.O_RDONLY | os.O_CLOEXEC, 0, resolve), 24)
        return call("openat2", start, os.fsencode(path), how, 24)
    finally:
        os.close(start)


_RESOLVE_IN_ROOT, _RESOLVE_BENEATH = 0x10, 0x08  # linux/openat2.h


def _read_and_close(ground: Ground, fd: int) -> None:
    try:
        ground.found(os.read(fd, 65536))
    finally:
        os.close(fd)


def _resolve_in_root(ground: Ground) -> None:
    """The directory that is taken for the root is not granted, and what is opened seems to be ``/secret``."""
    _read_and_close(ground, _openat2(_RESOLVE_IN_ROOT, "/secret", ground.outside))


def _resolve_beneath(ground: Ground) -> None:
    _read_and_close(ground, _openat2(_RESOLVE_BENEATH, ground.secret.lstrip("/"), "/"))


def _own_resolve(ground: Ground) -> None:
    name = os.path.basename(ground.plant())
    _read_and_close(ground, _openat2(_RESOLVE_IN_ROOT, f"/{name}", ground.inside))


def _reopen(ground: Ground) -> None:
    fd = os.open(ground.secret, os.O_PATH | os.O_CLOEXEC)
    try:
        ground.read(f"/proc/self/fd/{fd}")
    finally:
        os.close(fd)


def _handle(ground: Ground) -> None:
    """By file handle, with no path at all (open_by_handle_at(2)): takes CAP_DAC_READ_SEARCH."""
    handle = create_string_buffer(struct.pack("=Ii", 128, 0), 8 + 128)
    number = create_string_buffer(4)
    check(libc.name_to_handle_at(-100, os.fsencode(ground.secret), handle, number, 0))
    near = os.open(ground.inside, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _read_and_close(ground, check(libc.open_by_handle_at(near, handle, os.O_RDONLY | os.O_CLOEXEC)))
    finally:
        os.close(near)


def _device(ground: Ground) -> None:
    """A device file of one's own for the disk that holds the file system."""
    device = os.stat(ground.inside).st_dev
    if os.major(device) == 0:
        raise Void("the file system is on no disk")
    node = f"{ground.inside}/disk"
    os.mknod(node, stat.S_IFBLK | 0o600, device)
    _open(node, os.O_RDONLY)


def _disk(ground: Ground) -> None:
    """The device file of the disk, where it is known by that number."""
    device = os.stat(ground.inside).st_dev
    for name in sorted(os.listdir("/dev")):
        status = os.stat(f"/dev/{name}", follow_symlinks=False)
        if stat.S_ISBLK(status.st_mode) and status.st_rdev == device:
            _open(f"/dev/{name}", os.O_RDONLY)
            return
    raise FileNotFoundError(errno.ENOENT, "there is no device file of it")


def _chroot(ground: Ground) -> None:
    os.chroot(ground.outside)
    ground.read("/secret")


_F, _L = Family.FILES, Family.LINKS
ESCAPES = (
    Escape("read a file", _F, lambda g: g.read(g.secret), twin=_own_read),
    Escape("empty a file by opening it (O_TRUNC)", _F, _truncate_at_open, twin=_own_truncate_at_open),
    Escape(
        "empty a file (truncate)",
        _F,
        lambda g: os.truncate(g.secret, 0),
        gaps=("truncation",),
        twin=lambda g: os.truncate(g.plant(), 0),
    ),
    Escape("open a file to append", _F, _append),
    Escape("remove a file", _F, _remove, twin=_own_remove),
    Escape("make a hook in another repository's .git/hooks", _F, _write_hook),
    Escape("write in a .bashrc", _F, _write_rc),
    Escape("put a file in the place of a .bashrc", _F, _replace_rc, LINKED),
    Escape("open your own shell's start-up file to append", _F, _real_rc),
    Escape("make a device file of the disk and open it", _F, _device, who=Who.ROOT),
    Escape("open the disk itself", _F, _disk, who=Who.ROOT),
    Escape("a symlink out of a granted directory", _L, _symlink, twin=_own_symlink),
    Escape("make a file through a symlink to a directory", _L, _symlinked_directory),
    Escape(".. out of a granted directory", _L, _dots, twin=_own_dots),
    Escape("/proc/self/root", _L, _self_root),
    Escape("/proc/thread-self/root", _L, _thread_self_root),
    Escape(
        "a hard link into a granted directory",
        _L,
        _hard_link,
        LINKED,
        ("moving between directories",),
        twin=_own_hard_link,
    ),
    Escape("rename into a granted directory", _L, _rename_in, LINKED, twin=_own_rename),
    Escape("rename out of a granted directory", _L, _rename_out, LINKED),
    Escape("exchange with a granted file (RENAME_EXCHANGE)", _L, _exchange, LINKED),
    Escape("openat2 with RESOLVE_IN_ROOT", _L, _resolve_in_root, twin=_own_resolve),
    Escape("openat2 with RESOLVE_BENEATH, from /", _L, _resolve_beneath),
    Escape("O_PATH, then again through /proc/self/fd", _L, _reopen),
    Escape("by file handle (open_by_handle_at)", _L, _handle, who=Who.ROOT),
    Escape("chroot to a directory that is not granted", _L, _chroot, who=Who.ROOT),
)
