"""Where escapes are tried: directories, processes, listeners and objects of our own, all removed afterwards."""

import contextlib
import errno
import functools
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import msgspec

from learner import kinship
from learner.errors import MachineError
from learner.escapes import ipc
from learner.escapes.calls import end
from learner.escapes.escape import Escape, Family, Ground, Outsider, Shared, Void
from learner.escapes.programs import static_program
from learner.escapes.sockets import SERVICES
from learner.places import Map
from learner.policy import NO_RIGHT, Grant, Policy, Right, Scope
from learner.probe import NAME

_LIBRARY_BYTES = 1 << 20
_MPTCP = 262


class Yard(NamedTuple):
    """``control`` and ``confined`` are grounds of equal shape, one for each escape.

    ``policy``: the one to enforce, which grants what lies inside besides.
    """

    control: tuple[Ground, ...]
    confined: tuple[Ground, ...]
    policy: Policy


@contextmanager
def yard(policy: Policy, places: Map, escapes: Sequence[Escape]) -> Iterator[Yard]:
    """Build one. Raises MachineError where nothing may be made outside of what ``policy`` grants."""
    token = secrets.token_hex(8).encode()
    with ExitStack() as stack:
        top = stack.enter_context(_top(policy, places))
        shared = stack.enter_context(_shared(policy, places.home, top, token))
        sides = []
        for side in ("control", "confined"):
            directory = f"{top}/{side}"
            os.mkdir(directory, 0o700)
            for part in ("outside", "inside", "readable"):
                os.mkdir(f"{directory}/{part}", 0o700)
            sides.append(tuple(_ground(stack, directory, n, e, shared, token) for n, e in enumerate(escapes)))
        granted = (
            Grant(f"{top}/confined/inside", Scope.TREE, ~Right.DEVICE, ()),
            Grant(f"{top}/confined/readable", Scope.TREE, Right.READ | Right.LIST, ()),
        )
        yield Yard(sides[0], sides[1], msgspec.structs.replace(policy, grants=(*policy.grants, *granted)))


@contextmanager
def _top(policy: Policy, places: Map) -> Iterator[str]:
    """A directory that the policy says nothing of."""
    name = f"{NAME}escapes-{secrets.token_hex(6)}"
    for base in (places.home, os.path.dirname(places.project), "/var/tmp", "/tmp"):  # noqa: S108 - a random name
        path = f"{os.path.realpath(base)}/{name}"
        if policy.rights_on(f"{path}/x") != NO_RIGHT:
            continue
        try:
            os.mkdir(path, 0o700)
        except OSError:
            continue
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)
        return
    raise MachineError(
        "escapes cannot be tried: everything that you may write is granted",
        "verify a narrower profile, or leave out --all",
    )


def _ground(stack: ExitStack, top: str, number: int, escape: Escape, shared: Shared, token: bytes) -> Ground:
    outside, inside, readable = (f"{top}/{part}/{number:02}" for part in ("outside", "inside", "readable"))
    for directory in (outside, inside, readable):
        os.mkdir(directory, 0o700)
    secret = f"{outside}/secret"
    _put(secret, token)
    if escape.family is Family.FILES:
        _put(f"{outside}/.bashrc", b"# as it was\n")
        os.makedirs(f"{outside}/project/.git/hooks")
    if escape.family is Family.PROGRAMS:
        _put(f"{outside}/program", shared.program, 0o700)
        _put(f"{outside}/library.so", _library(), 0o700)
    file = here = -1
    if escape.family is Family.DESCRIPTORS:
        file, here = os.open(secret, os.O_RDONLY), os.open(outside, os.O_RDONLY | os.O_DIRECTORY)
        for fd in (file, here):
            stack.callback(os.close, fd)
            os.set_inheritable(fd, True)
    return Ground(shared, outside, secret, token, inside, readable, file, here)


def _put(path: str, content: bytes, mode: int = 0o600) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    try:
        os.write(fd, content)
    finally:
        os.close(fd)


def _library() -> bytes:
    """Some small library that loads anywhere: one that this process has loaded itself."""
    loaded = {line.split()[-1] for line in open("/proc/self/maps") if ".so" in line and "/" in line}
    sizes = sorted((os.path.getsize(path), path) for path in loaded if os.path.isfile(path))
    found = [path for size, path in sizes if size < _LIBRARY_BYTES]
    if not found:
        return b""
    with open(found[0], "rb") as file:
        return file.read()


@contextmanager
def _shared(policy: Policy, home: str, top: str, token: bytes) -> Iterator[Shared]:
    with ExitStack() as stack:
        tcp = _listen(stack, socket.AF_INET, "127.0.0.1")
        receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        receiver.bind(("127.0.0.1", 0))
        abstract = f"{NAME}{secrets.token_hex(6)}"
        by_name = stack.enter_context(socket.socket(socket.AF_UNIX))
        by_name.bind("\0" + abstract)
        by_name.listen(64)
        yield Shared(
            policy=policy,
            home=home,
            runner=os.getpid(),
            outsider=stack.enter_context(_outsider(top, token)),
            tcp=tcp,
            tcp6=_listen(stack, socket.AF_INET6, "::1"),
            mptcp=_listen(stack, socket.AF_INET, "127.0.0.1", _MPTCP),
            udp=(receiver.getsockname()[1], receiver.fileno()),
            resolver=-1,
            sockets=stack.enter_context(_services(policy, top, token)),
            abstract=abstract,
            memory=_object(stack, ipc.make_memory, ipc.remove_memory, token),
            queue=_object(stack, ipc.make_queue, ipc.remove_queue, token),
            posix_queue=_posix_queue(stack, token),
            shm_file=stack.enter_context(_shm_file(policy, token)),
            terminal=_terminal(stack),
            program=static_program(),
        )


def _listen(stack: ExitStack, family: socket.AddressFamily, host: str, protocol: int = 0) -> int:
    """The port of a new listener, 0 where there is no such thing."""
    try:
        listener = stack.enter_context(socket.socket(family, socket.SOCK_STREAM, protocol))
        listener.bind((host, 0))
        listener.listen(64)
        return int(listener.getsockname()[1])
    except OSError:
        return 0


@contextmanager
def _outsider(top: str, token: bytes) -> Iterator[Outsider]:
    program = shutil.which("sleep")
    if program is None:
        raise MachineError("escapes cannot be tried: there is no `sleep`", "install coreutils")
    secret = f"{top}/held"
    _put(secret, token)
    with open(secret, "rb") as held:
        process = subprocess.Popen(
            [program, "600"],
            env={"SBX_CANARY": token.decode()},
            stdin=held,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=top,
            start_new_session=True,
            preexec_fn=functools.partial(kinship.die_with_parent, os.getpid()),  # noqa: PLW1509 - sbx has no threads
        )
    try:
        with open(f"/proc/{process.pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        start, stop = int(fields[47]), int(fields[48])  # env_start and env_end are 50 and 51 (proc_pid_stat(5))
        yield Outsider(process.pid, (start, stop - start), 0)
    finally:
        process.kill()
        process.wait()


_RUN = ("/run/user/{uid}", "/run")
_PLACES = {"docker.sock": ("/run",), "ssh-agent": ("/tmp",), "D-Bus": _RUN, "syslog": ("/run",), "helper": _RUN}  # noqa: S108
"""Where such services have their sockets; another directory where these are granted or not to be written."""


@contextmanager
def _services(policy: Policy, top: str, token: bytes) -> Iterator[dict[str, str]]:
    places: dict[str, str] = {}
    with ExitStack() as stack:
        mask = os.umask(0o177)
        stack.callback(os.umask, mask)
        for service in SERVICES:
            kind = socket.SOCK_DGRAM if service == "syslog" else socket.SOCK_STREAM
            listener = stack.enter_context(socket.socket(socket.AF_UNIX, kind))
            for directory in (*_PLACES[service], top, "/tmp"):  # noqa: S108 - a random name
                place = f"{directory.format(uid=os.geteuid())}/{NAME}{secrets.token_hex(6)}.sock"
                if policy.rights_on(place) != NO_RIGHT:
                    continue
                try:
                    listener.bind(place)
                except OSError:
                    continue
                stack.callback(_unlink, place)
                if kind is socket.SOCK_STREAM:
                    listener.listen(64)
                places[service] = place
                break
            if service == "helper" and service in places:
                stack.enter_context(_helper(listener, f"{top}/held"))
        os.umask(mask)
        yield places


def _unlink(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


@contextmanager
def _helper(listener: socket.socket, secret: str) -> Iterator[None]:
    """A process that hands the secret, opened, to whoever connects."""
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        kinship.die_with_parent(parent)
        try:
            while True:
                peer, _ = listener.accept()
                with peer, open(secret, "rb") as file, contextlib.suppress(OSError):
                    socket.send_fds(peer, [b"x"], [file.fileno()])
        finally:
            os._exit(0)
    try:
        yield
    finally:
        end(pid)


def _object(stack: ExitStack, make: Callable[[int, bytes], None], remove: Callable[[int], None], token: bytes) -> int:
    """The key of a new System V object, 0 if none can be made."""
    for _ in range(8):
        key = secrets.randbelow(0x7FFFFFFE) + 1
        try:
            make(key, token)
        except FileExistsError:
            continue
        except OSError:
            return 0
        stack.callback(remove, key)
        return key
    return 0


def _posix_queue(stack: ExitStack, token: bytes) -> str:
    name = f"{NAME.strip('.-')}-{secrets.token_hex(6)}"
    try:
        ipc.make_posix_queue(name, token)
    except (OSError, Void):
        return ""
    stack.callback(ipc.remove_posix_queue, name)
    return name


@contextmanager
def _shm_file(policy: Policy, token: bytes) -> Iterator[str]:
    path = f"/dev/shm/{NAME}{secrets.token_hex(6)}"  # noqa: S108 - a random name
    try:
        if policy.rights_on(path) & Right.READ:
            raise OSError(errno.EEXIST, "granted")
        _put(path, token)
    except OSError:
        yield ""
        return
    try:
        yield path
    finally:
        _unlink(path)


def _terminal(stack: ExitStack) -> tuple[int, int]:
    try:
        pair = os.openpty()
    except OSError:
        return -1, -1
    for fd in pair:
        stack.callback(os.close, fd)
    return pair


def content(ground: Ground) -> dict[str, tuple[object, ...]]:
    """What is outside and what may only be read, so that two moments can be compared."""
    found: dict[str, tuple[object, ...]] = {}
    for top in (ground.outside, ground.readable):
        for directory, names, files in os.walk(top):
            for path in [directory, *(f"{directory}/{name}" for name in [*names, *files])]:
                found[path] = _state(path)
    return found


def _state(path: str) -> tuple[object, ...]:
    status = os.lstat(path)
    attributes: list[tuple[str, bytes]] = []
    with contextlib.suppress(OSError):
        attributes = [(name, os.getxattr(path, name)) for name in sorted(os.listxattr(path))]
    text = b""
    if os.path.isfile(path) and not os.path.islink(path):
        with open(path, "rb") as file:
            text = file.read()
    return (status.st_mode, status.st_ino, status.st_uid, status.st_mtime_ns, status.st_nlink, attributes, text)
