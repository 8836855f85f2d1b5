"""What three other tools would have granted for the same trace: their published rules, as pure functions.

A trace keeps resolved paths. Where a peer goes by the text that the program passed, what it would see is not known:
relative paths, which greywall and firejail drop, count here as if they had been absolute, and where it matters the
names of the links that were walked are added. Each such liberty is in the peer's favour, and so is the choice of the
user: none of the three is held to what it does for root alone.

A peer's answer has more than grants: places that it masks, and places where it puts an empty directory of the
program's own. :func:`confine` puts the three together.
"""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import msgspec

from learner.access import Access, Kind
from learner.needs import Need, created, needs
from learner.places import ancestors, is_within
from learner.policy import CHANGES, NO_RIGHT, Grant, Policy, Right, Scope
from learner.trace import Header, Trace
from tracers.events import Operation

ALL = ~NO_RIGHT
SEEN = Right.READ | Right.LIST | Right.EXEC | Right.CONNECT
"""A read-only bind mount, or Landlock's three rights to read; neither keeps from connecting to a socket."""

Denied = Callable[[str], Right]
"""The rights that are taken away on an absolute path, whatever is granted; all rights on a directory: on its tree."""


Private = Callable[[str], bool]
"""Whether a path lies where the program sees a directory of its own, empty at first, and not the real one."""


class Baseline(NamedTuple):
    """A peer. ``source``: repository, files and version that the rules were read from.

    ``unchecked``: rights that its mechanism does not check at all.
    """

    name: str
    source: str
    learn: Callable[[Trace], Policy]
    denied: Callable[[Trace], Denied]
    private: Callable[[Trace], Private]
    unchecked: Right = NO_RIGHT


class Confined(NamedTuple):
    """What a program can do when ``policy`` is enforced with what a peer denies and replaces."""

    policy: Policy
    denied: Denied = lambda path: NO_RIGHT
    private: Private = lambda path: False
    unchecked: Right = NO_RIGHT

    def rights(self, path: str) -> Right:
        """The rights on what lies at ``path`` on this machine, as seen from outside of the sandbox."""
        if self.private(path):
            return NO_RIGHT
        denied = self.denied(path)
        return self.policy.rights_on(path) & ~denied if denied is not ALL else NO_RIGHT

    def refused(self, trace: Trace) -> tuple[Need, ...]:
        """What of ``trace`` succeeded, or reached its object, and would not now.

        In a private directory all works on what the run itself made there, and nothing on what was there before.
        """
        # sbx names a private $TMPDIR of its own; without it the program would have used the peer's /tmp.
        made = created(trace.accesses) | {trace.header.temporary}
        return tuple(need for access in trace.accesses for need in needs(access) if self._refuses(need, made))

    def opened(self) -> Iterator[str]:
        """Every object that exists on this machine now and on which there is a right. /proc counts as one."""
        done: set[str] = set()
        trees = {g.path for g in self.policy.grants if g.scope is Scope.TREE}
        for top in sorted({g.path for g in self.policy.grants if os.path.lexists(g.path)}):
            todo = [(top, top in trees and os.path.isdir(top) and not os.path.islink(top))]
            while todo:
                path, walk = todo.pop()
                if path in done or not self.rights(path):
                    continue
                done.add(path)
                yield path
                if walk and path != "/proc":
                    todo += _children(path)

    def _refuses(self, need: Need, made: frozenset[str]) -> bool:
        path = need.path
        if not self.private(path):
            return bool(need.right & ~self.unchecked & ~self.rights(path))
        standing = not self.private(os.path.dirname(path)) or any(is_within(g.path, path) for g in self.policy.grants)
        return path not in made and not standing


def confine(baseline: Baseline, trace: Trace) -> Confined:
    """What ``baseline`` learns from ``trace``, enforced as it does."""
    return Confined(baseline.learn(trace), baseline.denied(trace), baseline.private(trace), baseline.unchecked)


def as_in(trace: Trace, header: Header) -> Trace:
    """``trace`` as it would have been in the project, home and temporary directory of ``header``.

    What a peer makes of this is what its learned profile means to that later run, if it had variables for the three.
    """
    old, new = ((h.project, h.home, h.temporary, h.cwd) for h in (trace.header, header))
    places = sorted({(a, b) for a, b in zip(old, new, strict=True) if a and b}, key=lambda pair: (-len(pair[0]), pair))

    def move(path: str) -> str:
        return next((b + path.removeprefix(a) for a, b in places if is_within(path, a)), path)

    accesses = (
        msgspec.structs.replace(
            a, object=move(a.object), links=tuple(map(move, a.links)), peer=None if a.peer is None else move(a.peer)
        )
        for a in trace.accesses
    )
    return msgspec.structs.replace(trace, header=header, accesses=tuple(accesses))


def _children(path: str) -> list[tuple[str, bool]]:
    try:
        with os.scandir(path) as entries:
            return [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    except OSError:
        return []


def _policy(grants: Iterable[Grant]) -> Policy:
    return Policy(tuple(sorted(set(grants), key=lambda g: (g.path, g.scope, g.rights.value))))


def _trees(paths: Iterable[str], rights: Right) -> list[Grant]:
    return [Grant(path, Scope.TREE, rights, ()) for path in paths]


def _directories(trace: Trace) -> frozenset[str]:
    found = {a.object for a in trace.accesses if a.kind is Kind.DIRECTORY}
    return frozenset(found.union(*(ancestors(a.object) for a in trace.accesses if a.object.startswith("/"))))


def _outermost(paths: Iterable[str]) -> list[str]:
    every = set(paths)
    return sorted(path for path in every if every.isdisjoint(ancestors(path)))


def _below(top: str, names: str) -> list[str]:
    return [f"{top}/{name}" for name in names.split()]


def _pattern(paths: Iterable[str]) -> re.Pattern[str]:
    """Matches the paths and all beneath them; ``*`` and ``?`` stay within a name."""
    return re.compile(f"(?:{_texts(paths)})(?:/.*)?", re.DOTALL)


def _texts(paths: Iterable[str]) -> str:
    texts = [re.escape(path).replace(r"\*", "[^/]*").replace(r"\?", "[^/]") for path in sorted(paths)]
    return "|".join(texts) or "(?!)"


# greywall ------------------------------------------------------------------------------------------------------------

_APPLICATIONS = (".cache", ".config", ".local/share", ".local/state", ".local/lib", ".data")
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib64", "/etc", "/opt", "/sys", "/proc")
_TOOLS = """.nvm .fnm .volta .n .pyenv .local/pipx .rbenv .rvm .cargo/bin .rustup go/bin .go .local/bin bin .bun/bin
    .deno/bin"""
_CACHES = ".cache .npm .cargo .rustup .local .config"
_SHELLS = ".bashrc .bash_profile .profile .zshrc .zprofile .zshenv .inputrc"
_DANGEROUS = ".gitconfig .gitmodules .bashrc .bash_profile .zshrc .zprofile .profile .ripgreprc .mcp.json"
_SECRET_NAMES = ".env .env.*"
_TRACED = frozenset({"openat", "creat", "mkdirat", "unlinkat", "renameat2", "symlinkat", "linkat"})
_WRITTEN = frozenset(
    {
        *(Operation.WRITE, Operation.CREATE, Operation.TRUNCATE, Operation.MKDIR, Operation.REMOVE, Operation.RMDIR),
        *(Operation.RENAME_TO, Operation.LINK_TO, Operation.SYMLINK),
    }
)


def greywall(trace: Trace) -> Policy:
    """The learned template on top of what greywall opens by itself.

    Learned, from calls that succeeded: files below the home directory that openat() opened, for writing, or for
    reading and not as a directory, and what creat, mkdirat, unlinkat, renameat2, symlinkat and linkat made or removed.
    (It traces mkdir, open and renameat too, but its parser does not know them; rename and unlink are not traced.) Left
    out: /tmp, shared libraries (``*.so``, ``*.so.*``), SSH and GnuPG files, ``.env`` and ``.env.*``, nine start-up
    files of the home directory, and for reads what is open anyway.

    Collapsed: two or more paths below one child of ~/.cache, ~/.config, ~/.local/{share,state,lib} or ~/.data become
    that child; each other path becomes its parent directory, unless that is the home directory itself.

    Open by itself: system directories and the tools and caches of the home directory to read, /dev and the working
    directory to change.
    """
    home, cwd = trace.header.home, trace.header.cwd
    default = [*_SYSTEM, "/run", "/tmp", "/nix", "/snap", "/dev", *_below(home, _TOOLS), cwd]
    seen = [a for a in trace.accesses if a.outcome == 0 and a.call in _TRACED and _greywall_keeps(a.object, home)]
    writes = {a.object for a in seen if a.operation in _WRITTEN}
    reads = {a.object for a in seen if a.operation is Operation.READ and a.call == "openat"} - writes
    reads = {path for path in reads if not any(is_within(path, top) for top in default)}
    own = {f"{home}/.npm/_logs", f"{home}/.greywall/debug"}
    writes = {path for path in writes if not any(is_within(path, top) for top in own)}
    directories = _directories(trace)
    grants = _trees([*_SYSTEM, *_below(home, _TOOLS), *_below(home, _CACHES)], SEEN)
    grants += [Grant(path, Scope.FILE, SEEN, ()) for path in _below(home, _SHELLS)]
    grants += _trees(["/dev", cwd, *own], ALL)
    for paths, rights in ((reads, SEEN), (writes, ALL)):
        for path in _greywall_collapse(paths, home):
            scope = Scope.FILE if path in paths and path not in directories else Scope.TREE
            grants.append(Grant(path, scope, rights, ()))
    return _policy(grants)


def _greywall_keeps(path: str, home: str) -> bool:
    name = os.path.basename(path)
    if not path.startswith(home + "/") or is_within(path, "/tmp") or name.endswith(".so") or ".so." in name:
        return False
    secret = any(is_within(path, f"{home}/{top}") for top in (".ssh", ".gnupg"))
    return not (secret or name == ".env" or name.startswith(".env.") or path in _below(home, _DANGEROUS))


def _greywall_collapse(paths: set[str], home: str) -> list[str]:
    application = {path: _greywall_application(path, home) for path in paths}
    users = Counter(application.values())
    found = set()
    for path, top in application.items():
        parent = os.path.dirname(path)
        found.add(top if top and users[top] >= 2 else path if not top and parent == home else parent)
    return _outermost(found)


def _greywall_application(path: str, home: str) -> str:
    for parent in _below(home, " ".join(_APPLICATIONS)):
        if path.startswith(parent + "/"):
            return parent + "/" + path.removeprefix(parent + "/").split("/")[0]
    return ""


def greywall_denied(trace: Trace) -> Denied:
    """Masked: ``.env`` and ``.env.*`` of the working directory, SSH private keys, ~/.gnupg. Read-only: start-up files
    of the home and working directories, editors' and agents' directories and git's hooks and config in the latter.
    """
    home, cwd = trace.header.home, trace.header.cwd
    hidden = _pattern([*_below(cwd, _SECRET_NAMES), f"{home}/.ssh/id_*", f"{home}/.gnupg"])
    places = ".vscode .idea .claude/commands .claude/agents .git/hooks .git/config"
    kept = _pattern([*_below(home, _DANGEROUS), *_below(cwd, f"{_DANGEROUS} {places}")])
    return lambda path: ALL if hidden.fullmatch(path) else CHANGES if kept.fullmatch(path) else NO_RIGHT


def greywall_private(trace: Trace) -> Private:
    """/tmp and /run are empty, but for what is granted there."""
    return _except_granted(greywall(trace), ("/tmp", "/run"))


def _except_granted(policy: Policy, tops: tuple[str, ...]) -> Private:
    deeper = [g for g in policy.grants if any(is_within(g.path, top) for top in tops)]
    return lambda path: any(is_within(path, top) for top in tops) and not any(g.covers(path) for g in deeper)


# sandlock ------------------------------------------------------------------------------------------------------------

COLLAPSE = 4
"""What ``--collapse`` means without a number."""
_PROTECTED = re.compile(r"/|/root|.*/\.(?:ssh|aws|kube|gnupg)", re.DOTALL)
_GUARDED = frozenset({"/etc", "/proc", "/sys", "/dev", "/boot", "/run/secrets"})
_UNSTABLE = re.compile(r"/proc/[0-9].*|/dev/pts(?:/.*)?|/dev/tty", re.DOTALL)
_OPENS = frozenset({"open", "openat", "openat2", "creat"})
_IN_PARENT = frozenset(
    {
        *(Operation.MKDIR, Operation.MKNOD, Operation.REMOVE, Operation.RMDIR, Operation.SYMLINK, Operation.BIND),
        *(Operation.RENAME_FROM, Operation.RENAME_TO, Operation.LINK_TO),
    }
)
_CHANGED = frozenset({Operation.WRITE, Operation.CREATE, Operation.TRUNCATE})


def sandlock(trace: Trace) -> Policy:
    """``sandlock learn --collapse 4``: attempts, whether or not they succeeded, as long as the object exists.

    Each run is undone afterwards (copy on write), so "exists" is before the run. Reads: what was opened, directories
    too, what was executed and its interpreters. Writes: what was opened for writing, and the parent directory of all
    that was made, renamed or removed, or was tried to be; something that does not exist is replaced by its nearest
    ancestor that does, unless that is protected. Dropped: /proc/PID, terminals, and the root directory.

    Collapsed once, not again and again: four or more listed paths in one directory become the directory, except for
    protected and guarded ones; then what lies beneath another of the list goes. Landlock grants are of whole trees, so
    a directory that was only listed is granted with all that is in it. Nothing is granted besides.
    """
    home = trace.header.home
    made = created(trace.accesses)
    there = {a.object for a in trace.accesses if a.kind is not Kind.ABSENT} - made
    absent = (made | {a.object for a in trace.accesses if a.kind is Kind.ABSENT}) - there
    wanted = set()
    for a in (a for a in trace.accesses if a.object.startswith("/")):
        if a.operation in _CHANGED and (a.call in _OPENS or a.operation is Operation.TRUNCATE):
            wanted.add(a.object)
        elif a.operation in _IN_PARENT:
            wanted.add(os.path.dirname(a.object))
    writes = {_sandlock_existing(path, absent, home) for path in wanted if not _UNSTABLE.fullmatch(path)} - {""}
    reads = {a.object for a in trace.accesses if _sandlock_reads(a)} - wanted
    reads = {path for path in reads if path not in absent and not _UNSTABLE.fullmatch(path)} - {"/"}
    directories = _directories(trace)
    grants = []
    for paths, rights in ((reads, SEEN), (writes, ALL)):
        for path in _outermost(_sandlock_collapse(paths, home)):
            grants.append(Grant(path, Scope.TREE if path in directories else Scope.FILE, rights, ()))
    return _policy(grants)


def _sandlock_reads(access: Access) -> bool:
    opened = access.operation in (Operation.READ, Operation.LIST) and access.call in _OPENS
    return access.object.startswith("/") and (opened or access.operation in (Operation.EXEC, Operation.LINK_FROM))


def _sandlock_existing(path: str, absent: frozenset[str] | set[str], home: str) -> str:
    if path not in absent:
        return "" if path == "/" else path
    nearest = next(above for above in ancestors(path) if above not in absent)
    return "" if _PROTECTED.fullmatch(nearest) else nearest


def _sandlock_collapse(paths: set[str], home: str) -> set[str]:
    members = Counter(os.path.dirname(path) for path in paths)
    found = set()
    for path in paths:
        parent = os.path.dirname(path)
        ordinary = not _PROTECTED.fullmatch(parent) and parent not in _GUARDED and parent != home
        found.add(parent if members[parent] >= COLLAPSE and ordinary else path)
    return found


# firejail ------------------------------------------------------------------------------------------------------------

_LOGGED = _OPENS | {"access", "connect"}
_BIN = ("/usr/local/bin", "/usr/bin", "/bin", "/usr/games", "/usr/local/games", "/usr/local/sbin", "/usr/sbin", "/sbin")
_PRIVATE_DEVICES = """stdin stdout stderr zero null full random srandom urandom sr0 cdrom cdrw dvd dvdrw fd pts ptmx
    log shm aload dsp tty snd dri nvidia video dvb hidraw usb input"""
_HOME_COMMON = """.XCompose .alsaequal.bin .asoundrc .config/ibus .config/mimeapps.list .config/pkcs11
    .config/user-dirs.dirs .config/user-dirs.locale .drirc .icons .local/share/applications .local/share/icons
    .local/share/mime .mime.types .sndio/cookie .uim.d .config/dconf .cache/fontconfig .config/fontconfig .fontconfig
    .fonts .fonts.conf .fonts.conf.d .fonts.d .local/share/fonts .pangorc .config/gtk-2.0 .config/gtk-3.0
    .config/gtk-4.0 .config/gtkrc .config/gtkrc-2.0 .gnome2 .gnome2-private .gtk-2.0 .gtkrc .gtkrc-2.0
    .local/share/themes .themes .config/Kvantum .config/Trolltech.conf .config/QtProject.conf .config/kdeglobals
    .config/qt5ct .config/qt6ct .config/qtcurve .nix-profile"""
_SHARE_COMMON = """alsa applications ca-certificates crypto-policies cursors dconf distro-info drirc.d egl enchant
    enchant-2 file fontconfig fonts fonts-config gir-1.0 gjs-1.0 glib-2.0 glvnd gtk-2.0 gtk-3.0 gtk-engines
    gtksourceview-3.0 gtksourceview-4 hunspell hwdata icons icu knotifications5 kservices5 Kvantum kxmlgui5 libdrm
    libthai locale mime misc Modules myspell p11-kit perl perl5 pipewire pixmaps pki plasma publicsuffix qt qt4 qt5
    qt5ct qt6 qt6ct sounds tcl8.6 tcltk terminfo texlive texmf themes thumbnail.so uim vulkan X11 xml zenity zoneinfo"""
_VAR_COMMON = "lib/aspell lib/ca-certificates lib/dbus lib/menu-xdg lib/uim cache/fontconfig tmp run lock"
_RUN_COMMON = """NetworkManager/resolv.conf avahi-daemon/socket cups/cups.sock dbus/system_bus_socket media
    resolvconf/resolv.conf netconfig/resolv.conf shm systemd/journal/dev-log systemd/journal/socket
    systemd/resolve/resolv.conf systemd/resolve/stub-resolv.conf udev/data opengl-driver user/*/bus user/*/dconf
    user/*/gdm/Xauthority user/*/ICEauthority user/*/pulse/native user/*/pipewire-? user/*/wayland-? user/*/xauth_*"""
_BLACKLIST = """/etc/X11/Xsession.d /etc/xdg/autostart /etc/systemd/network /etc/systemd/system /etc/init.d
    /etc/rc.conf /etc/runlevels /etc/adduser.conf /etc/anacrontab /etc/apparmor* /etc/cron* /etc/default /etc/dkms
    /etc/grub* /etc/kernel* /etc/logrotate* /etc/modules* /etc/rc.local /etc/rc?.d /etc/sysconfig /etc/hosts.equiv
    /etc/davfs2/secrets /etc/group+ /etc/group- /etc/gshadow* /etc/passwd+ /etc/passwd- /etc/shadow* /etc/ssh
    /etc/boto.cfg /etc/ssmtp /var/lib/systemd /var/cache/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/apt
    /var/lib/apt /var/lib/dkms /var/lib/mysql/mysql.sock /var/lib/upower /var/mail /var/opt /var/run/docker.sock
    /var/run/screens /var/spool/anacron /var/spool/cron /var/spool/mail /var/backup /var/lib/flatpak /var/lib/snapd
    /var/snap /home/.ecryptfs /home/.fscrypt /.fscrypt /.snapshots /initrd* /vmlinuz* /snap /usr/lib/openssh
    /usr/lib/ssh /usr/libexec/openssh /usr/lib/policykit-1/polkit-agent-helper-1
    /usr/lib/dbus-1.0/dbus-daemon-launch-helper /usr/lib/xorg/Xorg.wrap /usr/lib/snapd /usr/lib/vmware
    /usr/lib/virtualbox /usr/share/flatpak /tmp/ssh-* /tmp/tmux-* /tmp/clipmenu* /boot /selinux /usr/src/linux
    /lib/modules /usr/lib/modules /usr/lib/debug /sys/firmware /sys/hypervisor /sys/fs /sys/module /sys/power
    /sys/kernel/debug /sys/kernel/vmcoreinfo /sys/kernel/uevent_helper /dev/port"""
_HOME_BLACKLIST = """.*_history .*_history_* .histfile .history .lesshst .viminfo .python-history .local/share/Trash
    .config/autostart .config/autostart-scripts .local/share/autostart .xinitrc .xprofile .xsession .xsessionrc
    .config/systemd .local/share/systemd .config/VirtualBox .VirtualBox .cache/libvirt .config/libvirt .VeraCrypt
    .rhosts .shosts .ssh *.kdb *.kdbx *.key Private .Private .caff .cargo/credentials .cargo/credentials.toml .cert
    .config/hub .config/keybase .davfs2/secrets .ecryptfs .fetchmailrc .fscrypt .git-credential-cache
    .git-credentials .gnome2/keyrings .gnupg .local/share/keyrings .local/share/kwalletd .local/share/pki
    .local/share/plasma-vault .minisign .msmtprc .mutt .muttrc .netrc .nyx .pki .smbcredentials .vaults .aws .boto
    .config/gcloud .kube .passwd-s3fs .s3cmd .cache/flatpak .config/flatpak .var snap .Mail .mail Mail mail
    .password-store .config/git .gitconfig .config/jgit .npm .npmrc .node-gyp .yarncache .cache/pip"""
_READ_ONLY = """.antigen .bash_aliases .bash_login .bash_logout .bash_profile .bashrc .config/environment.d
    .config/fish .cshrc .kshrc .local/share/fish .login .logout .mkshrc .oh-my-zsh .pam_environment .profile .tcshrc
    .zlogin .zlogout .zprofile .zshenv .zshrc .zshrc.local .cargo/env .config/nvim .dotfiles .emacs .emacs.d
    .local/lib .local/share/nvim .mailcap .nano .npmrc .pythonrc.py .tmux.conf .vim .vimrc .yarnrc .bin .cargo/bin
    .gem .local/bin .luarocks .npm-packages .nvm .rustup bin Applications"""
_UNTOUCHED = re.compile(r"\.Xauthority|\.Xdefaults-debian|\.config/pulse/.*|\.pulse/.*|\.bash_hist.*|\.bashrc")


class _Build(NamedTuple):
    """What fbuilder writes into a profile. ``home``: None stands for ``private``, an empty home directory.

    ``temporary``, ``devices``: whether /tmp and /dev stay open, because something there is not private-tmp's or -dev's.
    """

    home: tuple[str, ...] | None
    run: tuple[str, ...]
    share: tuple[str, ...]
    var: tuple[str, ...]
    etc: tuple[str, ...]
    bin: tuple[str, ...]
    temporary: bool
    devices: bool


def _firejail_build(trace: Trace) -> _Build:
    home = trace.header.home
    tried = [a for a in trace.accesses if a.call in _LOGGED and a.object.startswith("/")]
    names = {name for a in tried for name in (a.object, *a.links)}
    run = {name for name in names if name.startswith("/run/") and not is_within(name, "/run/user")}
    var = {name for name in names if name.startswith("/var/")}
    programs = {name for a in trace.accesses if a.operation is Operation.EXEC for name in (a.object, *a.links)}
    devices = tuple(_below("/dev", _PRIVATE_DEVICES))
    return _Build(
        home=_firejail_home(names, home, trace.header.cwd, _directories(trace)),
        run=_new(run, _below("/run", _RUN_COMMON)),
        share=_new({top for name in names if (top := _first(name, "/usr/share"))}, _below("/usr/share", _SHARE_COMMON)),
        var=_new(var, _below("/var", _VAR_COMMON)),
        etc=tuple(sorted({top for name in names if (top := _first(name, "/etc"))})),
        bin=tuple(sorted({os.path.basename(name) for name in programs if os.path.dirname(name) in _BIN})),
        temporary=any(name.startswith("/tmp/") and not name.startswith("/tmp/runtime-") for name in names),
        devices=any(name.startswith("/dev/") and not name.startswith(devices) for name in names),
    )


def _firejail_home(names: set[str], home: str, cwd: str, directories: frozenset[str]) -> tuple[str, ...] | None:
    found = set()
    for path in (name for name in names if name.startswith(home + "/")):
        name = path.removeprefix(home + "/")
        # The builder asks whether the name is a directory, but of the directory that it was started in.
        own = cwd == home and path in directories
        name = name if own else os.path.dirname(name) or name
        if name.startswith(".cache/"):
            name = "/".join(name.split("/")[:2])
        skipped = (".config", ".local", ".local/share", ".cache")
        if not _UNTOUCHED.fullmatch(path.removeprefix(home + "/")) and name not in skipped:
            found.add(f"{home}/{name}")
    return _new(found, _below(home, _HOME_COMMON)) or None


def _first(path: str, top: str) -> str:
    return f"{top}/{path.removeprefix(top + '/').split('/')[0]}" if path.startswith(top + "/") else ""


def _new(paths: set[str], common: list[str]) -> tuple[str, ...]:
    known = _pattern(common)
    return tuple(_outermost(path for path in paths if not known.fullmatch(path)))


def firejail(trace: Trace) -> Policy:
    """``firejail --build``: the whole file system, and a line for each name that is brought back where it hides things.

    It goes by what the C library was asked to open, list, access() or connect to, whether or not that succeeded, and
    by what was executed. Truncated: /etc/X and /usr/share/X (first name), the directory of a file in the home directory
    (the file if it is directly in there; never ~/.config, ~/.local, ~/.local/share or ~/.cache; ~/.cache/X at most),
    /var and /run in full, programs in the eight directories of programs by name.
    """
    built = _firejail_build(trace)
    grants = _trees(["/"], ALL)
    grants += _trees([*(built.home or ()), *built.run, *built.share, *built.var, *built.etc], ALL)
    grants += [Grant(f"{top}/{name}", Scope.FILE, ALL, ()) for name in built.bin for top in _BIN[1:2]]
    return _policy(grants)


def firejail_denied(trace: Trace) -> Denied:
    """What a built profile hides: in /etc, /usr/share, /var, /run, the home directory and the directories of programs
    all that it does not name and that the common whitelists do not; /dev beyond private-dev's; other users' homes; the
    blacklists. Read-only: /usr, /lib*, /etc, /var, /sys, and start-up files of the home directory.

    Of the blacklists of single programs' settings only those of developers' tools stand here: the others concern
    directories in the home directory that nothing whitelists. Programs that are blacklisted by name count as visible
    if the trace executed them, which is what private-bin says anyway.
    """
    home, built = trace.header.home, _firejail_build(trace)
    user = "/".join(home.split("/")[:3])
    masks = [
        _mask("/usr/share", [*built.share, *_below("/usr/share", _SHARE_COMMON)]),
        _mask("/var", [*built.var, *_below("/var", _VAR_COMMON)]),
        _mask("/run", [*built.run, *_below("/run", _RUN_COMMON)]),
        _mask("/etc", built.etc),
        _mask("/home", [user]),
        *(_mask(top, _below(top, " ".join(built.bin))) for top in _BIN),
    ]
    if not built.devices:
        masks.append(_mask("/dev", [f"{path}*" for path in _below("/dev", _PRIVATE_DEVICES)]))
    blacklist = _pattern([*_BLACKLIST.split(), *_below(home, _HOME_BLACKLIST)])
    fixed = _pattern(["/usr", "/bin", "/sbin", "/lib*", "/etc", "/sys", "/proc/sys", *_below(home, _READ_ONLY)])
    varying = _pattern(["/var/tmp", "/var/lock"])
    # Asked of every object on the machine: only the masks of its top directory are tried.
    by_top: dict[str, list[_Mask]] = defaultdict(list)
    for mask in masks:
        by_top[mask.top.split("/")[1]].append(mask)

    def denied(path: str) -> Right:
        if blacklist.fullmatch(path):
            return ALL
        top = path.split("/", 2)[1]
        for mask in by_top.get(top, ()):
            taken = mask.taken(path)
            if taken:
                return taken
        return CHANGES if fixed.fullmatch(path) or (top == "var" and not varying.fullmatch(path)) else NO_RIGHT

    return denied


class _Mask(NamedTuple):
    """A directory that shows only some of what is in it; the directories on the way there are new ones."""

    top: str
    shown: re.Pattern[str]
    above: re.Pattern[str]

    def taken(self, path: str) -> Right:
        if not is_within(path, self.top) or self.shown.fullmatch(path):
            return NO_RIGHT
        return ALL & ~Right.LIST if path == self.top or self.above.fullmatch(path) else ALL


def _mask(top: str, shown: Iterable[str]) -> _Mask:
    kept = list(shown)
    return _Mask(top, _pattern(kept), re.compile(_texts({a for path in kept for a in ancestors(path)}), re.DOTALL))


def firejail_private(trace: Trace) -> Private:
    """The home directory, but for what is whitelisted there, and /tmp if nothing in it was touched."""
    home, built = trace.header.home, _firejail_build(trace)
    shown = _pattern([] if built.home is None else [*built.home, *_below(home, _HOME_COMMON)])
    temporary = () if built.temporary else ("/tmp",)

    def private(path: str) -> bool:
        if is_within(path, home):
            return not shown.fullmatch(path)
        return any(is_within(path, top) for top in temporary)

    return private


BASELINES = (
    Baseline(
        "greywall",
        "github.com/GreyhavenHQ/greywall, internal/sandbox: linux.go at 0177398, learning.go and learning_linux.go at"
        " 386e91c, dangerous.go at ddcf8cd, linux_landlock.go at 5aeb9c8",
        greywall,
        greywall_denied,
        greywall_private,
    ),
    Baseline(
        f"sandlock --collapse {COLLAPSE}",
        "github.com/multikernel/sandlock: crates/sandlock-cli/src/learn.rs and docs/learn.md as of pull requests 165,"
        " 209 and 220 (September 2026), crates/sandlock-core/src/{seccomp_plan,landlock}.rs",
        sandlock,
        lambda trace: lambda path: NO_RIGHT,
        lambda trace: lambda path: False,
        Right.ATTRIBUTES,
    ),
    Baseline(
        "firejail --build",
        "github.com/netblue30/firejail: src/fbuilder at ae8f62d, src/firejail/{fs,fs_bin,restrict_users}.c of 2018; the"
        " .inc files of 0.9.72 (Debian 12)",
        firejail,
        firejail_denied,
        firejail_private,
    ),
)
"""The peers, in the order of the table."""
