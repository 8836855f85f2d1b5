"""The kernel side of the eBPF tracer: compiled from its source once, loaded with the distribution's libbpf.

The object is kept in the cache directory under the digest of what it was made from. It is given to the kernel by
root, so only a file of our own in a directory of our own is trusted.
"""

import contextlib
import ctypes
import errno
import hashlib
import os
import platform
import stat
from pathlib import Path

from tracers.tracer import TracerError

SOURCE = Path(__file__).parent / "bpf" / "observe.bpf.c"
PACKAGES = "apt install clang libbpf-dev"
_COMPILERS = ("clang", *(f"clang-{version}" for version in range(21, 13, -1)))  # 14 is the oldest that was tried
_FLAGS = ("-g", "-O2", "-target", "bpf", "-D__TARGET_ARCH_x86")
_LIBRARY = "libbpf.so.1"
_ANY = 0  # BPF_ANY, linux/bpf.h


def compiler() -> str | None:
    """The clang there is."""
    import shutil  # as what follows: all this is needed once on a machine

    return next((found for name in _COMPILERS if (found := shutil.which(name))), None)


def library() -> ctypes.CDLL | None:
    """The distribution's libbpf (1.0 or newer), None if it is not installed."""
    try:
        return ctypes.CDLL(_LIBRARY, use_errno=True)
    except OSError:
        return None


def cached() -> Path:
    """Where the object is kept; it need not be there."""
    digest = hashlib.sha256(" ".join((platform.machine(), *_FLAGS)).encode())
    digest.update(SOURCE.read_bytes())
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return home / "sbx" / "bpf" / f"observe-{digest.hexdigest()[:16]}.o"


def object_bytes() -> bytes:
    """The compiled object, from the cache or the compiler. Raises TracerError."""
    place = cached()
    known = _trusted(place)
    if known is not None:
        return known
    clang = compiler()
    if clang is None:
        raise TracerError("clang is not installed, which the eBPF tracer needs once", PACKAGES)
    import subprocess
    import tempfile

    with tempfile.TemporaryDirectory() as aside:
        partial = Path(aside) / "observe.o"
        headers = f"-I/usr/include/{platform.machine()}-linux-gnu"  # asm/types.h on Debian
        command = [clang, *_FLAGS, headers, "-c", str(SOURCE), "-o", str(partial)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode:
            raise TracerError(f"clang could not compile {SOURCE.name}: {_first_error(done.stderr)}", PACKAGES)
        code = partial.read_bytes()
    with contextlib.suppress(OSError):  # without a cache it is compiled each time
        _keep(place, code)
    return code


def _first_error(said: str) -> str:
    lines = said.splitlines()
    return next((line for line in lines if "error" in line), lines[0] if lines else "it said nothing")


def _keep(place: Path, code: bytes) -> None:
    above_cache = place.parents[3]
    if not above_cache.is_dir():  # a home that is not there is not ours to make
        return
    import tempfile

    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, name = tempfile.mkstemp(dir=place.parent)  # 0600, and ours
    with open(descriptor, "wb") as file:
        file.write(code)
    os.replace(name, place)


def _trusted(place: Path) -> bytes | None:
    """What is there, if nobody else could have put it there."""
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or not stat.S_ISREG(found.st_mode) or found.st_mode & 0o022:
            return None
        return file.read()


class BpfObject:
    """A loaded object; its programs run while it is attached and end with this process, whatever ends it."""

    def __init__(self, code: bytes) -> None:
        found = library()
        if found is None:
            raise TracerError(f"{_LIBRARY} is not installed", "apt install libbpf1")
        self._bpf = found
        self._links: list[int] = []
        for name in ("open_mem", "next_program", "find_map_by_name"):
            getattr(found, f"bpf_object__{name}").restype = ctypes.c_void_p
        found.bpf_program__attach.restype = ctypes.c_void_p
        found.libbpf_set_print(None)  # it would write to the command's stderr
        self._object = ctypes.c_void_p(
            found.bpf_object__open_mem(code, ctypes.c_size_t(len(code)), None),
        )
        if not self._object:
            raise _refused("open", ctypes.get_errno())
        if found.bpf_object__load(self._object):
            failure = ctypes.get_errno()
            self.close()
            raise _refused("load", failure)

    def attach(self) -> None:
        """Attach every program. Raises TracerError."""
        program = self._bpf.bpf_object__next_program(self._object, None)
        while program:
            link = self._bpf.bpf_program__attach(ctypes.c_void_p(program))
            if not link:
                raise _refused("attach", ctypes.get_errno())
            self._links.append(link)
            program = self._bpf.bpf_object__next_program(self._object, ctypes.c_void_p(program))

    def map(self, name: str) -> int:
        """The descriptor of a map; it belongs to the object."""
        descriptor = int(self._bpf.bpf_object__find_map_fd_by_name(self._object, name.encode()))
        if descriptor < 0:
            raise _refused(f"find the map {name}", -descriptor)
        return descriptor

    def cpus(self) -> int:
        """How many values an element of a per-CPU map has."""
        return int(self._bpf.libbpf_num_possible_cpus())

    def put(self, descriptor: int, key: bytes, value: bytes) -> None:
        """Set one element. Raises OSError."""
        if self._bpf.bpf_map_update_elem(descriptor, key, value, ctypes.c_ulonglong(_ANY)):
            raise OSError(ctypes.get_errno(), "bpf_map_update_elem")

    def get(self, descriptor: int, key: bytes, size: int) -> bytes | None:
        """The value of one element, None if there is none."""
        value = ctypes.create_string_buffer(size)
        if self._bpf.bpf_map_lookup_elem(descriptor, key, value):
            return None
        return value.raw

    def close(self) -> None:
        """Unload everything. The object is of no use afterwards."""
        for link in self._links:
            self._bpf.bpf_link__destroy(ctypes.c_void_p(link))
        self._links.clear()
        if self._object:
            self._bpf.bpf_object__close(self._object)
            self._object = ctypes.c_void_p(None)


def _refused(what: str, code: int) -> TracerError:
    if code in (errno.EPERM, errno.EACCES):
        return TracerError(
            "the kernel does not let us use eBPF here", "run as root, or with CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE"
        )
    return TracerError(
        f"libbpf could not {what} the programs of the eBPF tracer: {os.strerror(code)}",
        "use --tracer ptrace; Linux 6.1 or newer with BTF is needed",
    )
