"""firejail: the profile that `firejail --build` would have written, and what it masks."""

import os
import re
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from confined import ALL, Denied, Private, below, listed_directories, outermost, pattern, policy, texts, trees

from learner.places import ancestors, is_within
from learner.policy import CHANGES, NO_RIGHT, Grant, Policy, Right, Scope
from learner.trace import Trace
from tracers.events import Operation

_OPENS = frozenset({"open", "openat", "openat2", "creat"})
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
    devices = tuple(below("/dev", _PRIVATE_DEVICES))
    return _Build(
        home=_firejail_home(names, home, trace.header.cwd, listed_directories(trace)),
        run=_new(run, below("/run", _RUN_COMMON)),
        share=_new({top for name in names if (top := _first(name, "/usr/share"))}, below("/usr/share", _SHARE_COMMON)),
        var=_new(var, below("/var", _VAR_COMMON)),
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
    return _new(found, below(home, _HOME_COMMON)) or None


def _first(path: str, top: str) -> str:
    return f"{top}/{path.removeprefix(top + '/').split('/')[0]}" if path.startswith(top + "/") else ""


def _new(paths: set[str], common: list[str]) -> tuple[str, ...]:
    known = pattern(common)
    return tuple(outermost(path for path in paths if not known.fullmatch(path)))


def firejail(trace: Trace) -> Policy:
    """``firejail --build``: the whole file system, and a line for each name that is brought back where it hides things.

    It goes by what the C library was asked to open, list, access() or connect to, whether or not that succeeded, and
    by what was executed. Truncated: /etc/X and /usr/share/X (first name), the directory of a file in the home directory
    (the file if it is directly in there; never ~/.config, ~/.local, ~/.local/share or ~/.cache; ~/.cache/X at most),
    /var and /run in full, programs in the eight directories of programs by name.
    """
    built = _firejail_build(trace)
    grants = trees(["/"], ALL)
    grants += trees([*(built.home or ()), *built.run, *built.share, *built.var, *built.etc], ALL)
    grants += [Grant(f"{top}/{name}", Scope.FILE, ALL, ()) for name in built.bin for top in _BIN[1:2]]
    return policy(grants)


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
        _mask("/usr/share", [*built.share, *below("/usr/share", _SHARE_COMMON)]),
        _mask("/var", [*built.var, *below("/var", _VAR_COMMON)]),
        _mask("/run", [*built.run, *below("/run", _RUN_COMMON)]),
        _mask("/etc", built.etc),
        _mask("/home", [user]),
        *(_mask(top, below(top, " ".join(built.bin))) for top in _BIN),
    ]
    if not built.devices:
        masks.append(_mask("/dev", [f"{path}*" for path in below("/dev", _PRIVATE_DEVICES)]))
    blacklist = pattern([*_BLACKLIST.split(), *below(home, _HOME_BLACKLIST)])
    fixed = pattern(["/usr", "/bin", "/sbin", "/lib*", "/etc", "/sys", "/proc/sys", *below(home, _READ_ONLY)])
    varying = pattern(["/var/tmp", "/var/lock"])
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
    return _Mask(top, pattern(kept), re.compile(texts({a for path in kept for a in ancestors(path)}), re.DOTALL))


def firejail_private(trace: Trace) -> Private:
    """The home directory, but for what is whitelisted there, and /tmp if nothing in it was touched."""
    home, built = trace.header.home, _firejail_build(trace)
    shown = pattern([] if built.home is None else [*built.home, *below(home, _HOME_COMMON)])
    temporary = () if built.temporary else ("/tmp",)

    def private(path: str) -> bool:
        if is_within(path, home):
            return not shown.fullmatch(path)
        return any(is_within(path, top) for top in temporary)

    return private
