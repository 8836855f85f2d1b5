"""The catalogue of what is never granted silently. Data: a new kind of secret is a new line."""

import enum
import re
from typing import NamedTuple

from learner.policy import CHANGES, Right


class Concern(enum.Enum):
    """Which accesses are the danger."""

    ANY = enum.auto()
    CHANGE = enum.auto()
    """Reading it tells nothing, but whoever may change it runs code outside of the sandbox later."""


class Entry(NamedTuple):
    """``pattern``: ``~`` is the home directory, ``*`` any part of one name, ``**`` any number of directories."""

    pattern: str
    reason: str
    concern: Concern = Concern.ANY


_ENVIRONMENT_FILES = "**/.env.*"

CATALOGUE = (
    Entry("~/.ssh/**", "SSH keys"),
    Entry("~/.gnupg/**", "GnuPG keys"),
    Entry("~/.aws/**", "AWS credentials"),
    Entry("~/.azure/**", "Azure credentials"),
    Entry("~/.config/gcloud/**", "Google Cloud credentials"),
    Entry("~/.config/gh/**", "GitHub token"),
    Entry("~/.config/glab-cli/**", "GitLab token"),
    Entry("~/.config/op/**", "1Password session"),
    Entry("~/.kube/**", "Kubernetes credentials"),
    Entry("~/.docker/**", "container registry credentials"),
    Entry("~/.config/containers/auth.json", "container registry credentials"),
    Entry("~/.netrc", "passwords"),
    Entry("~/.git-credentials", "git passwords"),
    Entry("~/.config/git/credentials", "git passwords"),
    Entry("~/.npmrc", "package registry token"),
    Entry("~/.yarnrc*", "package registry token"),
    Entry("~/.pypirc", "package registry token"),
    Entry("~/.cargo/credentials*", "package registry token"),
    Entry("~/.gem/credentials", "package registry token"),
    Entry("~/.terraform.d/credentials*", "Terraform credentials"),
    Entry("~/.vault-token", "Vault token"),
    Entry("~/.pgpass", "database passwords"),
    Entry("~/.my.cnf", "database passwords"),
    Entry("~/.password-store/**", "password store"),
    Entry("~/.local/share/keyrings/**", "desktop keyring"),
    Entry("~/.config/google-chrome/**", "browser profile"),
    Entry("~/.config/chromium/**", "browser profile"),
    Entry("~/.config/BraveSoftware/**", "browser profile"),
    Entry("~/.mozilla/**", "browser profile"),
    Entry("~/.thunderbird/**", "mail"),
    Entry("~/.*_history", "shell history"),
    Entry("~/.bashrc", "shell start-up file"),
    Entry("~/.bash_profile", "shell start-up file"),
    Entry("~/.bash_login", "shell start-up file"),
    Entry("~/.profile", "shell start-up file"),
    Entry("~/.zshrc", "shell start-up file"),
    Entry("~/.zshenv", "shell start-up file"),
    Entry("~/.zprofile", "shell start-up file"),
    Entry("~/.config/fish/config.fish", "shell start-up file"),
    Entry("~/.config/autostart/**", "runs at login", Concern.CHANGE),
    Entry("~/.config/systemd/user/**", "runs at login", Concern.CHANGE),
    Entry("~/.gitconfig", "git runs what it names", Concern.CHANGE),
    Entry("~/.config/git/config", "git runs what it names", Concern.CHANGE),
    Entry("/etc/shadow*", "password hashes"),
    Entry("/etc/gshadow*", "password hashes"),
    Entry("/etc/sudoers", "who may become root"),
    Entry("/etc/sudoers.d/**", "who may become root"),
    Entry("/etc/ssh/ssh_host_*_key", "host keys"),
    Entry("/etc/cron*/**", "runs as root", Concern.CHANGE),
    Entry("/etc/crontab", "runs as root", Concern.CHANGE),
    Entry("/var/spool/cron/**", "runs on a schedule"),
    Entry("/proc/*/environ", "another program's environment"),
    Entry("/proc/*/task/*/environ", "another program's environment"),
    Entry("/proc/*/mem", "another program's memory"),
    Entry("/proc/*/task/*/mem", "another program's memory"),
    Entry("/run/docker.sock", "root on this machine"),
    Entry("/var/run/docker.sock", "root on this machine"),
    Entry("/run/podman/podman.sock", "containers outside of the sandbox"),
    Entry("/run/user/*/docker.sock", "containers outside of the sandbox"),
    Entry("/run/user/*/podman/podman.sock", "containers outside of the sandbox"),
    Entry("/run/user/*/bus", "the desktop session's D-Bus"),
    Entry("/run/dbus/system_bus_socket", "the system D-Bus"),
    Entry("/run/user/*/gnupg/**", "GnuPG agent"),
    Entry("/run/user/*/keyring/**", "desktop keyring"),
    Entry("/run/user/*/wayland-*", "the screen and keyboard"),
    Entry("/tmp/.X11-unix/**", "the screen and keyboard"),
    Entry("/tmp/ssh-*/agent.*", "SSH agent"),
    Entry("**/.env", "environment file with secrets"),
    Entry(_ENVIRONMENT_FILES, "environment file with secrets"),
    Entry("**/.git/hooks/**", "git runs it outside of the sandbox later", Concern.CHANGE),
    Entry("**/id_rsa", "SSH key"),
    Entry("**/id_ed25519", "SSH key"),
    Entry("**/id_ecdsa", "SSH key"),
)

_EXAMPLES = re.compile(r"\.env\.(example|sample|template|dist|defaults?)\Z")  # made to be read: they hold no secret


def _regex(pattern: str, home: str) -> str:
    if pattern.startswith("~/"):
        start, rest = re.escape(home.rstrip("/")) + "/", pattern[2:]
    elif pattern.startswith("**/"):
        start, rest = "/(?:.*/)?", pattern[3:]
    else:
        start, rest = "/", pattern[1:]
    tail = "(?:/.*)?" if rest.endswith("/**") else ""
    rest = rest.removesuffix("/**")
    return start + "[^/]*".join(re.escape(part) for part in rest.split("*")) + tail


class Catalogue:
    """The catalogue for one home directory."""

    def __init__(self, home: str) -> None:
        # What is a concern however it is used comes first: one path may fit several entries.
        self._entries = sorted(CATALOGUE, key=lambda e: e.concern is Concern.CHANGE)
        numbered = [f"(?P<e{i}>{_regex(e.pattern, home)})" for i, e in enumerate(self._entries)]
        self._pattern = re.compile("|".join(numbered), re.DOTALL)

    def match(self, path: str, rights: Right) -> Entry | None:
        """The entry by which using ``rights`` on ``path`` is sensitive, if there is one.

        The process's own entries under /proc are not: a program may know its own environment.
        """
        found = self._pattern.fullmatch(path)
        if found is None or path.startswith(("/proc/self/", "/proc/thread-self/")):
            return None
        entry = self._entries[int((found.lastgroup or "e0")[1:])]
        if entry.pattern == _ENVIRONMENT_FILES and _EXAMPLES.search(path):
            return None
        if entry.concern is Concern.CHANGE and not rights & CHANGES:
            return None
        return entry
