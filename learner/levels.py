"""Levels: how much is granted to any command, without having watched it.

A *level* says what is granted; an *enforcer* says how it is held, and what it cannot hold. The words are
VibeCoding's: ``standard`` lets a command change the project and read the system, ``strict`` lets it read both, and
neither has the network. A level stands alone, or beneath the grants of a learned profile.
"""

import enum
import fnmatch
import functools
import os
import stat
from typing import NamedTuple

from learner.errors import UsageError
from learner.gaps import Gap
from learner.names import to_text
from learner.places import Map, ancestors
from learner.policy import ANYWHERE, NO_RIGHT, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope, Witness
from learner.sensitive import Catalogue
from tracers.events import Transport


class Level(enum.StrEnum):
    """How much is granted, from all to little."""

    NONE = "none"
    STANDARD = "standard"
    STRICT = "strict"


MEANING = {
    Level.NONE: "nothing is confined",
    Level.STANDARD: "project read/write, system read-only, no network",
    Level.STRICT: "project read-only, system read-only, no network",
}

READING = Right.READ | Right.LIST | Right.EXEC
WORKING = (
    READING
    | Right.WRITE
    | Right.TRUNCATE
    | Right.CREATE
    | Right.MKDIR
    | Right.SYMLINK
    | Right.SOCKET
    | Right.FIFO
    | Right.REMOVE
    | Right.RMDIR
    | Right.MOVE
    | Right.ATTRIBUTES
    | Right.CONNECT
)
"""Everything in a directory of one's own, except making device nodes."""
_DEVICE = Right.READ | Right.WRITE | Right.IOCTL

SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/opt", "/snap")
"""Installed programs and libraries: read and executed."""

SETTINGS = (
    "ld.so.cache ld.so.conf ld.so.conf.d ld.so.preload",  # the dynamic loader
    "passwd group nsswitch.conf shells",  # names of users
    "hosts host.conf hostname resolv.conf gai.conf services protocols rpc networks krb5.conf",  # names of machines
    "localtime timezone locale.alias locale.conf default/locale os-release debian_version lsb-release",
    "alternatives mime.types magic magic.mime terminfo fonts xdg inputrc nanorc manpath.config",
    "ssl/certs ssl/openssl.cnf ca-certificates ca-certificates.conf crypto-policies pki/tls/certs pki/tls/openssl.cnf",
    "pki/ca-trust/extracted pki/java static/ssl",
    "profile profile.d bash.bashrc bash_completion.d zsh zshrc zshenv zprofile fish",  # start-up files of shells
    "gitconfig python* perl ruby php java-* maven nodejs gcrypt wgetrc",  # tools that fail if they may not read theirs
)
"""Names in ``/etc``, words of which may be patterns. Not ``/etc`` as a whole: root would read /etc/shadow there."""

ELSEWHERE = ("/var/lib/ca-certificates", "/var/cache/fontconfig")
MACHINE = ("/sys/devices/system", "/sys/fs/cgroup", "/sys/kernel/mm/transparent_hugepage")
"""How many processors and how much memory: language runtimes ask as they start."""
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty", "/dev/ptmx")

TOOLS = (
    ".cargo/bin .cargo/registry .cargo/git .cargo/env .cargo/config .cargo/config.toml .rustup",
    "go .nvm .npm .npm-global .volta .fnm .local/share/fnm .local/share/pnpm .bun .deno",
    ".pyenv .local/share/uv .local/share/pipx .local/pipx .local/lib miniconda3 anaconda3",
    ".rbenv .rvm .gem/ruby .asdf .local/share/mise .local/bin .sdkman .m2/repository .gradle/caches .gradle/wrapper",
    ".dotnet .nuget/packages .ghcup .opam .julia .juliaup .elan .linuxbrew",
    ".gitconfig .config/git/config .config/git/ignore .config/git/attributes",  # git stops if it may not read them
)
"""Language toolchains and package caches in the home directory: read and executed, never changed."""

_catalogue = functools.cache(Catalogue)  # compiling it takes 5 ms
_CACHES = {"XDG_CACHE_HOME": "cache", "npm_config_cache": "cache/npm"}


class Base(NamedTuple):
    """What a level grants here. ``gaps``: what that opens or leaves closed against the wish."""

    policy: Policy
    gaps: tuple[Gap, ...] = ()


class Files:
    """What a level asks of the file system. Nothing raises: what cannot be looked at is not there."""

    def real(self, path: str) -> str | None:
        """The object that ``path`` leads to, without links; None if there is none."""
        try:
            return os.path.realpath(path, strict=True)
        except OSError:
            return None

    def names(self, directory: str) -> list[str]:
        """What is in a directory, sorted."""
        try:
            return sorted(os.listdir(directory))
        except OSError:
            return []

    def is_directory(self, path: str) -> bool:
        """Whether ``path`` is a directory."""
        return os.path.isdir(path)

    def root(self) -> bool:
        """Whether this process is root's, whom file permissions do not hold."""
        return os.geteuid() == 0

    def private(self, top: str, *, beneath: bool) -> str | None:
        """``top``, or the first object ``beneath`` it, that not everybody may read; None if there is none."""
        todo = [top]
        while todo:
            path = todo.pop()
            try:
                mode = os.lstat(path).st_mode
                if not stat.S_ISLNK(mode) and not mode & stat.S_IROTH:
                    return path
                if beneath and stat.S_ISDIR(mode):
                    todo += [os.path.join(path, name) for name in sorted(os.listdir(path), reverse=True)]
            except OSError:
                return path
        return None


def check_project(places: Map) -> None:
    """Raises UsageError where the project is no directory of its own: a level would open what holds everything."""
    shown = to_text(places.project)
    remedy = "cd to the project, or learn a profile with `sbx learn`"
    if not places.has_project:
        raise UsageError(f"{shown} is no project of its own: a level would open everything in it", remedy)
    entry = _catalogue(places.home).match(places.project, READING)
    if entry is not None:
        raise UsageError(f"{shown} holds {entry.reason}: a level would open it", remedy)


def base(
    level: Level, places: Map, files: Files | None = None, *, network: bool = False, devices: bool = False
) -> Base:
    """What ``level`` (standard or strict) grants for the project, home and temporary directory of ``places``.

    ``network`` grants every endpoint; ``devices`` all of /dev. Raises ValueError for ``none``, which is no policy.
    """
    if level is Level.NONE:
        raise ValueError("level none grants nothing: it confines nothing")
    files = files or Files()
    builder = _Builder(level, places, files)
    builder.own(WORKING if level is Level.STANDARD else READING)
    builder.system()
    builder.settings()
    builder.tools()
    builder.devices(every=devices)
    if files.root():
        builder.as_root()
    return builder.done(open_network(level) if network else ())


def describe(level: Level, *, network: bool = False, devices: bool = False) -> str:
    """What a level is, in words, with what :func:`base` was asked for beyond it."""
    if level is Level.NONE:
        return f"level {level}: {MEANING[level]}"
    meaning = MEANING[level].replace("no network", "any network") if network else MEANING[level]
    return f"level {level}: {meaning}" + (", all devices" if devices else "")


def for_command(file: str, policy: Policy) -> tuple[Grant, ...]:
    """Grants to start the command in ``file`` and its interpreters, as far as ``policy`` does not give them."""
    if policy.rights_on(os.path.realpath(file)) & Right.EXEC:
        return ()  # then its interpreter is the system's, or is missing
    import shutil  # as the next one slow to import, and mostly not needed

    from learner.interpreters import MAX_DEPTH, Via, interpreters

    found: dict[str, Grant] = {}
    todo = [os.path.realpath(file)]
    for _ in range(MAX_DEPTH + 1):
        path = next((p for p in todo if p not in found and not policy.rights_on(p) & Right.EXEC), None)
        if path is None:
            break
        found[path] = Grant(path, Scope.FILE, Right.READ | Right.EXEC, (Witness("the command", (), path),))
        for each in interpreters(path):
            name = shutil.which(each.path) if each.via is Via.ENV else each.path
            todo += [os.path.realpath(name)] if name else []
    return tuple(found[path] for path in sorted(found))


def open_network(level: Level) -> tuple[NetworkGrant, ...]:
    """Grants of every endpoint, to reach and to take."""
    why = (Witness(f"level {level}", (), "the network"),)
    return tuple(
        NetworkGrant(action, ANYWHERE, 0, transport, why)
        for action in sorted(NetworkAction)
        for transport in (Transport.TCP, Transport.UDP)
    )


def environment(places: Map) -> dict[str, str]:
    """Variables for a command at a level alone: caches go to the private temporary directory.

    The home directory's own caches are not granted for writing: what a build leaves there, a later build outside of
    the sandbox would trust.
    """
    return {name: os.path.join(places.temporary, where) for name, where in _CACHES.items()} if places.temporary else {}


class _Builder:
    """Collects the grants of one level."""

    def __init__(self, level: Level, places: Map, files: Files) -> None:
        self._why, self._places, self._files = f"level {level}", places, files
        self._catalogue = _catalogue(places.home)
        self._grants: dict[tuple[str, Scope], Grant] = {}
        self._gaps: set[Gap] = set()

    def done(self, network: tuple[NetworkGrant, ...]) -> Base:
        """All that was collected, sorted; what lies in a wider grant of the same rights is left out."""
        trees = {path: grant.rights for (path, scope), grant in self._grants.items() if scope is Scope.TREE}
        kept = tuple(
            grant
            for _, grant in sorted(self._grants.items())
            if not any(not grant.rights & ~trees.get(above, NO_RIGHT) for above in ancestors(grant.path))
        )
        return Base(Policy(kept, network), tuple(sorted(self._gaps)))

    def own(self, rights: Right) -> None:
        """The project and the private directory for temporary files."""
        self._grant(self._places.project, Scope.TREE, rights)
        if self._places.temporary:
            self._grant(self._places.temporary, Scope.TREE, WORKING)
        for name in self._files.names(self._places.project):
            self._expose(f"{self._places.project}/{name}", rights)
        self._expose(f"{self._places.project}/.git/hooks", rights)

    def system(self) -> None:
        """Installed packages, and what the kernel tells of the machine and of processes."""
        for path in (*SYSTEM, *ELSEWHERE):
            real = self._files.real(path)
            if real is None or (real not in SYSTEM and self._places.is_shared(real)):
                continue
            if path == "/opt":  # each program has a directory of its own there, some of them closed to others
                for name in self._files.names(real):
                    self._public(f"{real}/{name}", READING, beneath=False)
            else:
                self._grant(real, Scope.TREE, READING)
        self._grant("/proc", Scope.TREE, Right.READ | Right.LIST)
        for path in MACHINE:
            self._public(path, Right.READ | Right.LIST, beneath=False)

    def settings(self) -> None:
        """The machine's settings, name by name, as far as everybody may read them."""
        names = self._files.names("/etc")
        for word in " ".join(SETTINGS).split():
            for name in fnmatch.filter(names, word) if "*" in word else [word]:
                self._public(f"/etc/{name}", Right.READ | Right.LIST)

    def tools(self) -> None:
        """Toolchains in the home directory."""
        for word in " ".join(TOOLS).split():
            real = self._files.real(os.path.join(self._places.home, word))
            if real is None or self._places.is_shared(real) or self._catalogue.match(real, READING):
                continue
            self._object(real, READING if self._files.is_directory(real) else Right.READ)

    def devices(self, *, every: bool) -> None:
        """Devices that hold nothing, terminals; or all that there are."""
        if every:
            self._grant("/dev", Scope.TREE, _DEVICE | Right.LIST)
            self._gaps.add(Gap("/dev", "granted as a whole: disks, cameras and keyboards as far as this user may"))
            return
        for path in DEVICES:
            real = self._files.real(path)
            if real is not None:
                self._grant(real, Scope.FILE, _DEVICE)
        self._grant("/dev/pts", Scope.TREE, _DEVICE | Right.LIST)
        self._gaps.add(
            Gap("shared memory", "/dev/shm is everybody's, so it is not granted: named semaphores fail")  # noqa: S108
        )

    def as_root(self) -> None:
        """Root reads what the others may not, and no grant can tell the two apart."""
        self._gaps.add(Gap("root", "what may be read is read as root: files in /usr that others may not read"))

    def _public(self, path: str, rights: Right, *, beneath: bool = True) -> None:
        """Grant what exists at ``path`` if everybody may read it anyway (and all ``beneath`` it), else say so."""
        real = self._files.real(path)
        if real is None:
            return
        secret = self._files.private(real, beneath=beneath)
        entry = self._catalogue.match(real, rights)
        if secret is None and entry is None:
            self._object(real, rights)
        else:
            why = entry.reason if entry else f"not everybody may read {to_text(secret or real)}"
            self._gaps.add(Gap(to_text(path), f"left out: {why}"))

    def _object(self, real: str, rights: Right) -> None:
        if self._files.is_directory(real):
            self._grant(real, Scope.TREE, rights)
        else:
            self._grant(real, Scope.FILE, rights & ~Right.LIST)

    def _grant(self, path: str, scope: Scope, rights: Right) -> None:
        known = self._grants.get((path, scope))
        rights |= known.rights if known else NO_RIGHT
        self._grants[path, scope] = Grant(path, scope, rights, (Witness(self._why, (), path),))

    def _expose(self, path: str, rights: Right) -> None:
        """Say which sensitive objects the project's grant opens."""
        entry = self._catalogue.match(path, rights)
        if entry is not None and self._files.real(path) is not None:
            self._gaps.add(Gap(to_text(path), f"{entry.reason}; open with the project"))
