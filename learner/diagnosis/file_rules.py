"""Why a file or directory could not be used."""

import errno
import os
import re
import stat

from learner.access import Kind
from learner.diagnosis.case import Case, Certainty, Role, Severity, Trouble
from learner.diagnosis.rule import Rule, Said, how, is_directory, name
from learner.policy import CHANGES, Right, Scope
from learner.words import rights_phrase, verb
from tracers.events import Operation

_LIBRARY = re.compile(r"\.so(\.[\d.]+|\.\w*\d\w*)?$")
_CONFIG = re.compile(r"\.(toml|ya?ml|json5?|ini|cfg|conf|rc|env|properties)$|rc$|/config$|/\.config/")
_CACHE = re.compile(r"/__pycache__(/|$)|\.pyc(\.\d+)?$|/\.cache/|/node-compile-cache/")
_SPECIAL = re.compile(r"/(?:dev|proc|sys)(?:/|$)|/tmp$")
_LIMITS = {
    errno.EMFILE: "it has too many files open (ulimit -n)",
    errno.ENFILE: "the machine has too many files open",
    errno.ENOMEM: "there is no memory left for it (a limit of its own, or its cgroup's)",
    errno.ENOSPC: "the file system is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than allowed (ulimit -f)",
}
_MOVES = frozenset({Operation.RENAME_FROM, Operation.RENAME_TO, Operation.LINK_FROM, Operation.LINK_TO})
_MAKES = frozenset({Operation.CREATE, Operation.RENAME_TO, Operation.RENAME_FROM, Operation.REMOVE, Operation.LINK_TO})


def _doing(trouble: Trouble) -> str:
    return f"{trouble.program} may not {verb(trouble.access.operation)} {name(trouble.subject)}"


def _library(case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.operation is not Operation.READ or not trouble.refused:
        return None
    if not _LIBRARY.search(trouble.subject):
        return None
    said = "" if trouble.access.outcome == errno.ENOENT else ', although ld.so says "No such file"'
    way = tuple(f"{link} is a symlink to {text}" for link, text in trouble.links)
    sentence = (
        f"{trouble.program} needs the shared library {name(trouble.subject)}, which is {how(case, trouble)}{said}"
    )
    return Said(sentence, "", way)


def _cache(_case: Case, trouble: Trouble) -> Said | None:
    if not trouble.lacking & CHANGES or not _CACHE.search(trouble.subject):
        return None
    return Said(f"{_doing(trouble)}: a cache, which programs do without (more slowly)")


def _special(case: Case, trouble: Trouble) -> Said | None:
    if not trouble.refused or not _SPECIAL.match(trouble.subject):
        return None
    return Said(f"{trouble.program} takes {name(trouble.subject)} for granted, and it is {how(case, trouble)}")


def _link(case: Case, trouble: Trouble) -> Said | None:
    if not trouble.refused or not trouble.links:
        return None
    link = trouble.links[-1][0]
    granted = case.policy.rights_on(link) or case.policy.rights_on(os.path.dirname(link))
    so = "the link is granted, its target is not" if granted else f"its target is {how(case, trouble)}"
    sentence = f"{name(link)} is a symlink to {name(trouble.subject)}: {so}"
    return Said(sentence, "", tuple(f"{name(one)} is a symlink to {name(text)}" for one, text in trouble.links))


def _current(case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.operation is not Operation.CHDIR or trouble.subject != case.cwd or not trouble.refused:
        return None
    return Said(f"the current directory {name(case.cwd)} is not there in the sandbox, so it started in another one")


def _link_hidden(case: Case, trouble: Trouble) -> Said | None:
    if trouble.role is not Role.LINK:
        return None
    link, text = next((each for each in trouble.links if each[0] == trouble.subject), trouble.links[-1])
    sentence = f"the symlink {name(link)} to {name(text)} is {how(case, trouble)}, though what it leads to is granted"
    return Said(sentence, "", tuple(f"{name(one)} is a symlink to {name(to)}" for one, to in trouble.links))


def _replaced(case: Case, trouble: Trouble) -> Said | None:
    """A rule stands on an inode: whoever renames another file over it loses the grant."""
    if trouble.refused or trouble.access.outcome != errno.EACCES or case.enforcer.hides:
        return None
    singles = [g for g in case.policy.grants if g.path == trouble.subject and g.scope is Scope.FILE]
    by = [a for a in case.accesses if a.operation is Operation.RENAME_TO and a.object == trouble.subject]
    if not singles or not by or any(a.outcome for a in by):
        return None
    return Said(
        f"{name(trouble.subject)} was replaced by rename since it was granted, and the grant went with the old file",
        f"grant its directory instead: {name(os.path.dirname(trouble.subject))}",
    )


def _came_later(case: Case, trouble: Trouble) -> Said | None:
    """A rule stands on an inode: what is only made during the run cannot have one of its own."""
    if trouble.refused or trouble.exists or trouble.access.outcome not in (errno.EACCES, errno.EROFS):
        return None
    if not any(g.path == trouble.subject and g.scope is Scope.FILE for g in case.policy.grants):
        return None
    return Said(
        f"{name(trouble.subject)} was not there when the sandbox was made, so the grant on it came to nothing",
        f"grant its directory instead, or make the file first: {name(os.path.dirname(trouble.subject))}",
    )


def _across(_case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.operation not in _MOVES or trouble.access.outcome != errno.EXDEV or not trouble.refused:
        return None
    peer = name(trouble.access.peer or "another directory")
    sentence = (
        f'{trouble.program} may not move {peer} to {name(trouble.subject)}: Landlock says "Invalid cross-device link"'
    )
    return Said(f"{sentence} for a move that is not granted")


def _replacing(case: Case, trouble: Trouble) -> Said | None:
    """Temp + rename: the grant is on the file, and the program changes the directory."""
    directory = trouble.anchor
    if trouble.access.operation not in _MAKES or not trouble.refused or not trouble.lacking & CHANGES:
        return None
    theirs = [g for g in case.policy.grants if os.path.dirname(g.path) == directory and g.rights & Right.WRITE]
    if not theirs:
        return None
    file = name(theirs[0].path)
    sentence = f"{trouble.program} replaces {file} by a temporary file and a rename"
    return Said(f"{sentence}, which takes the directory {name(directory)}, and only the file is granted")


def _read_only(case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.outcome != errno.EROFS:
        return None
    if trouble.refused:
        return Said(f"{_doing(trouble)}: {name(trouble.anchor)} is read-only in the sandbox")
    mount = case.machine.mount(trouble.subject)
    where = f"the file system at {name(mount.at)}" if mount.read_only else "the file system"
    return Said(
        f"{_doing(trouble)}: {where} is read-only", "no grant can help: mount it read-write, or write elsewhere"
    )


def _list(case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.operation is not Operation.LIST or not trouble.refused:
        return None
    sentence = f"{trouble.program} may not list the directory {name(trouble.subject)}, which is {how(case, trouble)}"
    reads = case.policy.rights_on(trouble.subject) & Right.READ
    return Said(sentence + (" although files in it may be read" if reads else ""))


def _socket(_case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.endpoint is not None or not trouble.subject.startswith("/"):
        return None
    if trouble.access.kind is not Kind.SOCKET and trouble.access.operation not in (Operation.CONNECT, Operation.SEND):
        return None
    if not trouble.refused:
        return None
    return Said(f"{trouble.program} may not reach the unix socket {name(trouble.subject)}")


def _config(case: Case, trouble: Trouble) -> Said | None:
    hidden = trouble.access.outcome in (errno.ENOENT, errno.ENOTDIR)
    if not trouble.refused or trouble.access.operation not in (Operation.READ, Operation.STAT) or not hidden:
        return None
    if not _CONFIG.search(trouble.subject):
        return None
    return Said(f"{trouble.program} went on with its defaults, because its file {name(trouble.subject)} is hidden")


def _swallowed(case: Case, trouble: Trouble) -> Said | None:
    if trouble.access.outcome or not trouble.refused or not case.enforcer.hides:
        return None
    sentence = f"{trouble.program} wrote {name(trouble.subject)} into a file system of the sandbox's own"
    return Said(f"{sentence}, which is gone now: {name(trouble.anchor)} is not granted")


def _changing(case: Case, trouble: Trouble) -> Said | None:
    if not trouble.refused or not trouble.lacking & CHANGES:
        return None
    where = f" in {name(trouble.anchor)}" if trouble.anchor != trouble.subject else ""
    exists = "" if case.machine.mode(trouble.anchor) else ", which does not exist"
    return Said(f"{_doing(trouble)}: {rights_phrase(trouble.lacking)}{where} is not granted{exists}")


def _hidden(case: Case, trouble: Trouble) -> Said | None:
    if not trouble.refused or not trouble.subject.startswith("/"):
        return None
    if trouble.access.outcome not in (errno.ENOENT, errno.ENOTDIR):
        return None
    what = "directory" if is_directory(case, trouble.subject) else "file"
    sentence = (
        f'the {what} {name(trouble.subject)} exists, but is hidden from {trouble.program}, which hears "No such file"'
    )
    return Said(sentence)


def _refused(_case: Case, trouble: Trouble) -> Said | None:
    if not trouble.refused or not trouble.subject.startswith("/"):
        return None
    return Said(f"{_doing(trouble)}: {rights_phrase(trouble.lacking)} is not granted")


def _permissions(case: Case, trouble: Trouble) -> Said | None:
    if trouble.refused or trouble.access.outcome not in (errno.EACCES, errno.EPERM) or trouble.subject[:1] != "/":
        return None
    if trouble.access.operation is Operation.EXEC and case.machine.mode(trouble.subject) & stat.S_IXUSR == 0:
        return None
    return Said(
        f"{_doing(trouble)}: its own file permissions forbid it, not the sandbox",
        "no grant can help: change its owner or mode, or run as the user that it belongs to",
    )


def _absent(_case: Case, trouble: Trouble) -> Said | None:
    if trouble.refused or trouble.exists or trouble.access.outcome not in (errno.ENOENT, errno.ENOTDIR):
        return None
    if trouble.subject[:1] != "/" or not trouble.recorded:
        return None
    return Said(
        f"{name(trouble.subject)} was there when {trouble.program} was recorded, and is not on this machine any more",
        "no grant can help: put it back, or learn again with `sbx learn`",
    )


def _limit(_case: Case, trouble: Trouble) -> Said | None:
    why = _LIMITS.get(trouble.access.outcome)
    if why is None:
        return None
    return Said(
        f"{trouble.program} could not {verb(trouble.access.operation)} {name(trouble.subject)}: {why}", "raise it"
    )


FIRST = (
    Rule("current-directory", "the current directory is not there in the sandbox", Severity.USUAL, _current),
    Rule("link-hidden", "the target of a symlink is granted and the link itself hidden", Severity.USUAL, _link_hidden),
    Rule("library", "a shared library is not granted, though ld.so says No such file", Severity.FATAL, _library),
    Rule("cache", "a cache may not be written", Severity.QUIET, _cache),
    Rule("special-file", "/dev/null, /dev/tty, /proc or /tmp is missing", Severity.FATAL, _special),
    Rule("link-target", "a symlink is granted and its target is not", Severity.USUAL, _link),
    Rule("replaced", "the file was replaced since it was granted", Severity.USUAL, _replaced),
    Rule("came-later", "a file that is granted was not there when the sandbox was made", Severity.USUAL, _came_later),
    Rule("move", "a move between directories is not granted (EXDEV)", Severity.USUAL, _across),
    Rule("replacing", "a file is replaced by temp + rename, which takes the directory", Severity.USUAL, _replacing),
    Rule("read-only", "a read-only mount or file system (EROFS)", Severity.USUAL, _read_only),
    Rule("not-listable", "a directory may not be listed", Severity.USUAL, _list),
    Rule("unix-socket", "a unix socket is not granted", Severity.USUAL, _socket),
    Rule("swallowed", "what was written went into a tmpfs of the sandbox", Severity.USUAL, _swallowed),
    Rule("limit", "a resource limit (files, memory, disk)", Severity.FATAL, _limit),
)
LAST = (
    Rule(
        "config-hidden", "a hidden config file: defaults were used", Severity.USUAL, _config, certainty=Certainty.LIKELY
    ),
    Rule("not-writable", "a change is not granted", Severity.USUAL, _changing),
    Rule("hidden", "a file exists, but is hidden", Severity.USUAL, _hidden),
    Rule("not-granted", "an access is not granted", Severity.USUAL, _refused),
    Rule("permissions", "plain file permissions: no grant can help", Severity.USUAL, _permissions),
    Rule("absent", "a file is not there outside of the sandbox either", Severity.USUAL, _absent),
)
