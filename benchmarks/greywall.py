"""greywall: what `greywall --learning` would have granted, and what its sandbox denies."""

import os
from collections import Counter

from confined import ALL, SEEN, Denied, Private, below, listed_directories, outermost, pattern, policy, trees

from learner.places import is_within
from learner.policy import CHANGES, NO_RIGHT, Grant, Policy, Scope
from learner.trace import Trace
from tracers.events import Operation

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
    default = [*_SYSTEM, "/run", "/tmp", "/nix", "/snap", "/dev", *below(home, _TOOLS), cwd]
    seen = [a for a in trace.accesses if a.outcome == 0 and a.call in _TRACED and _greywall_keeps(a.object, home)]
    writes = {a.object for a in seen if a.operation in _WRITTEN}
    reads = {a.object for a in seen if a.operation is Operation.READ and a.call == "openat"} - writes
    reads = {path for path in reads if not any(is_within(path, top) for top in default)}
    own = {f"{home}/.npm/_logs", f"{home}/.greywall/debug"}
    writes = {path for path in writes if not any(is_within(path, top) for top in own)}
    directories = listed_directories(trace)
    grants = trees([*_SYSTEM, *below(home, _TOOLS), *below(home, _CACHES)], SEEN)
    grants += [Grant(path, Scope.FILE, SEEN, ()) for path in below(home, _SHELLS)]
    grants += trees(["/dev", cwd, *own], ALL)
    for paths, rights in ((reads, SEEN), (writes, ALL)):
        for path in _greywall_collapse(paths, home):
            scope = Scope.FILE if path in paths and path not in directories else Scope.TREE
            grants.append(Grant(path, scope, rights, ()))
    return policy(grants)


def _greywall_keeps(path: str, home: str) -> bool:
    name = os.path.basename(path)
    if not path.startswith(home + "/") or is_within(path, "/tmp") or name.endswith(".so") or ".so." in name:
        return False
    secret = any(is_within(path, f"{home}/{top}") for top in (".ssh", ".gnupg"))
    return not (secret or name == ".env" or name.startswith(".env.") or path in below(home, _DANGEROUS))


def _greywall_collapse(paths: set[str], home: str) -> list[str]:
    application = {path: _greywall_application(path, home) for path in paths}
    users = Counter(application.values())
    found = set()
    for path, top in application.items():
        parent = os.path.dirname(path)
        found.add(top if top and users[top] >= 2 else path if not top and parent == home else parent)
    return outermost(found)


def _greywall_application(path: str, home: str) -> str:
    for parent in below(home, " ".join(_APPLICATIONS)):
        if path.startswith(parent + "/"):
            return parent + "/" + path.removeprefix(parent + "/").split("/")[0]
    return ""


def greywall_denied(trace: Trace) -> Denied:
    """Masked: ``.env`` and ``.env.*`` of the working directory, SSH private keys, ~/.gnupg. Read-only: start-up files
    of the home and working directories, editors' and agents' directories and git's hooks and config in the latter.
    """
    home, cwd = trace.header.home, trace.header.cwd
    hidden = pattern([*below(cwd, _SECRET_NAMES), f"{home}/.ssh/id_*", f"{home}/.gnupg"])
    places = ".vscode .idea .claude/commands .claude/agents .git/hooks .git/config"
    kept = pattern([*below(home, _DANGEROUS), *below(cwd, f"{_DANGEROUS} {places}")])
    return lambda path: ALL if hidden.fullmatch(path) else CHANGES if kept.fullmatch(path) else NO_RIGHT


def greywall_private(trace: Trace) -> Private:
    """/tmp and /run are empty, but for what is granted there."""
    return _except_granted(greywall(trace), ("/tmp", "/run"))


def _except_granted(policy: Policy, tops: tuple[str, ...]) -> Private:
    deeper = [g for g in policy.grants if any(is_within(g.path, top) for top in tops)]
    return lambda path: any(is_within(path, top) for top in tops) and not any(g.covers(path) for g in deeper)
