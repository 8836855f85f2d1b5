"""Which commands give away a shell: whoever may run one of them unasked may run anything. A table with reasons.

An approval list matches the beginning of a command, so whatever follows is the agent's to choose.
"""

import re
from collections.abc import Mapping

_INTERPRETER = "it runs any code that it is given"
_WRAPPER = "it runs the command that follows"
_BUILD = "it runs what the project's own files say, which the agent may write"
_INSTALL = "it runs the scripts of packages as it installs them"
_ESCAPE = "it has an option or a command of its own that runs a shell"
_ELSEWHERE = "it acts outside of the sandbox, or as somebody else"
_WRITES = "it writes any file, also one that is run later"
_SENDS = "it sends files anywhere, and fetches what is to be run next"

_GROUPS: tuple[tuple[str, str], ...] = (
    (
        _INTERPRETER,
        "sh bash dash zsh fish ksh csh tcsh ash busybox python pypy ipython node deno bun ruby irb perl lua",
    ),
    (
        _INTERPRETER,
        "luajit php Rscript R julia java groovy jshell scala ghci swift osascript pwsh powershell tclsh wish",
    ),
    (_INTERPRETER, "awk gawk mawk nawk guile racket sbcl elixir iex erl m4 eval exec source . command builtin"),
    (_WRAPPER, "env xargs nohup time timeout nice ionice setsid stdbuf watch script strace ltrace parallel entr flock"),
    (
        _WRAPPER,
        "chroot unshare nsenter taskset chrt direnv mise asdf dotenv bwrap firejail nono unbuffer expect coproc",
    ),
    (_WRAPPER, "pyenv rbenv nodenv"),
    (_BUILD, "make gmake ninja cmake meson just task rake gulp grunt bazel buck gradle gradlew mvn mvnw ant sbt lein"),
    (_BUILD, "cargo go dotnet mix stack cabal zig pytest tox nox hatch pre-commit rspec jest vitest mocha tsx ts-node"),
    (_BUILD, "eslint webpack vite rollup turbo nx gcc cc clang"),
    (
        _INSTALL,
        "npm npx yarn pnpm pnpx bunx corepack pip pipx uv uvx poetry pdm pipenv conda mamba gem bundle composer",
    ),
    (_INSTALL, "cpan cpanm luarocks apt apt-get dpkg dnf yum rpm pacman apk brew snap flatpak nix nix-shell nix-env"),
    (_ESCAPE, "vi vim nvim view ex ed emacs nano gdb lldb tmux screen tar bsdtar zip rsync sed find fd fdfind man git"),
    (_ESCAPE, "gh hg svn sqlite3 psql mysql ftp sftp openssl ncdu ranger mutt ip tcpdump dc"),
    (
        _ELSEWHERE,
        "sudo doas su pkexec runuser ssh scp docker podman nerdctl kubectl helm systemctl systemd-run at batch",
    ),
    (_ELSEWHERE, "crontab launchctl gpg dbus-send busctl gdbus terraform tofu ansible vagrant multipass code cursor"),
    (_SENDS, "curl wget nc ncat netcat socat telnet aria2c http https xh"),
    (_WRITES, "cp mv ln install dd tee patch truncate"),
)
_PROGRAMS: Mapping[str, str] = {name: reason for reason, names in _GROUPS for name in names.split()}
"""GTFOBins (gtfobins.github.io, functions "shell" and "command"), and the manuals of the build and package tools."""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_HARMLESS: Mapping[str, frozenset[str]] = {
    "git": _words(
        "status log diff show blame rev-parse ls-files ls-tree cat-file describe shortlog merge-base symbolic-ref "
        "for-each-ref count-objects check-ignore name-rev rev-list"
    ),
    "go": _words("version env"),
    "cargo": _words("--version metadata"),
    "npm": _words("ls view outdated --version"),
    "pip": _words("list show freeze --version"),
    "uv": _words("--version"),
}
"""Subcommands that do no more than tell. ``git diff`` and the like can be told to run a program by the repository's
configuration, which is why :mod:`learner.audit.project` looks at that."""

_DESTROY = "it removes, ends or opens to others what it is pointed at"
_DESTROYERS = _words(
    "rm rmdir unlink shred chmod chown chgrp setfacl mkfs fdisk mount umount kill pkill killall reboot shutdown"
)

_VERSION = re.compile(r"[\d.]+\Z")
_JOINED = re.compile(r"[;&|`\n<>]|\$\(")
_WILD = re.compile(r"[*?\[]")


def gives_shell(entry: str) -> str:
    """Why an entry of an approval list (the beginning of a command) gives away a shell, "" if it does not."""
    words = entry.split()
    if not words:
        return "it is empty, and every command begins with nothing"
    if _WILD.search(words[0]):
        return "it has a wildcard where the program's name should be"
    if _JOINED.search(entry):
        return "it joins commands"
    if "=" in words[0]:
        return "it sets a variable, and those that name programs (LD_PRELOAD, PAGER) run them"
    name = program(words[0])
    if name not in _PROGRAMS:
        return ""
    rest = words[1] if len(words) > 1 else ""
    if rest in _HARMLESS.get(name, ()):
        return ""
    return _PROGRAMS[name]


def destroys(entry: str) -> str:
    """Why an entry should be asked for although it gives away no shell, "" if nothing speaks against it."""
    return _DESTROY if entry.split()[:1] and program(entry.split()[0]) in _DESTROYERS else ""


def program(word: str) -> str:
    """The name in :mod:`learner.audit.commands`' table that a program's path or name goes by: python for python3.12."""
    name = word.rsplit("/", 1)[-1]
    return name if name in _PROGRAMS else _VERSION.sub("", name) or name
