"""The shapes of messages that name an operation, an object and a reason: one line for each."""

import errno
import re
from collections.abc import Iterator

from learner.diagnosis.case import Certainty
from learner.diagnosis.logs.shapes import (
    READS,
    Message,
    Shape,
    fixed_says,
    go_says,
    node_says,
    nono_json_says,
    nono_says,
    python_says,
    seatbelt_says,
    strace_says,
    worded_says,
)
from tracers.events import Operation

_WHY = (
    r"(?P<why>Permission denied|Operation not permitted|No such file or directory|Read-only file system|"
    r"Not a directory|Invalid cross-device link|Exec format error|Connection refused|Network is unreachable|"
    r"EACCES|EPERM|ENOENT|EROFS|EXDEV|permission denied|operation not permitted|no such file or directory|"
    r"read-only file system|exec format error)"
)
_QUOTED = r"['\"‘`]?(?P<path>(?:/|~|\./|\.\./)[^'\"’`:]*?|[\w.+-]+)['\"’`]?"


def _shape(name: str, title: str, pattern: str, read: object, certainty: Certainty = Certainty.CERTAIN) -> Shape:
    return Shape(name, title, re.compile(pattern), read, certainty)  # type: ignore[arg-type]


SHAPES = (
    _shape(
        "strace",
        "strace",
        r"^(?:\[pid +\d+\] |\d+ +)?(?:[\d.:]+ )?(?P<call>\w+)\((?P<args>.*)\) += -1 (?P<errno>E[A-Z0-9]+) \(",
        strace_says,
    ),
    _shape(
        "seatbelt",
        "macOS sandbox log",
        r"(?<!System )\bSandbox: .+?\(\d+\) deny(?:\(\d+\))? (?P<op>[\w-]+\*?) ?(?P<target>.*?)(?:\"[,}].*)?$",
        seatbelt_says,
    ),
    _shape(
        "bwrap-exec",
        "bubblewrap: execvp",
        rf"^bwrap: execvp (?P<path>.+): {_WHY}$",
        fixed_says(Operation.EXEC),
        Certainty.LIKELY,
    ),
    _shape(
        "bwrap-source",
        "bubblewrap: a bind's source",
        rf"^bwrap: Can't find source path (?P<path>.+): {_WHY}$",
        fixed_says(Operation.READ),
    ),
    _shape(
        "bwrap-create",
        "bubblewrap: a mount point",
        rf"^bwrap: Can't (?:create file at|mkdir parents for|mkdir) (?P<path>.+): {_WHY}$",
        fixed_says(Operation.CREATE),
    ),
    _shape(
        "bwrap-nested",
        "bubblewrap within a sandbox",
        r"^bwrap: (?P<path>setting up uid map|Creating new namespace failed|No permissions to creat\w+ new namespace)"
        r"(?:: (?P<why>Permission denied|Operation not permitted|No space left on device))?",
        fixed_says(Operation.NAMESPACE, errno.EPERM),
    ),
    _shape(
        "ld.so",
        "the dynamic loader",
        r"error while loading shared libraries: (?P<path>[^:]+): cannot open shared object file: (?P<why>[A-Z][\w ]+)",
        fixed_says(Operation.READ),
    ),
    _shape(
        "bad-interpreter",
        "a shell: bad interpreter",
        r"(?:^|: )(?P<script>[^:]+): (?P<path>/[^:]+): bad interpreter: (?P<why>[A-Z][\w ]+)",
        fixed_says(Operation.EXEC),
    ),
    _shape(
        "bad-interpreter-zsh",
        "zsh: bad interpreter",
        r"^zsh: (?P<script>[^:]+): bad interpreter: (?P<path>/[^:]+): (?P<why>[\w ]+)",
        fixed_says(Operation.EXEC),
    ),
    _shape(
        "not-found",
        "a shell: command not found",
        r"(?:^|[: ])(?P<path>[^\s:]+): (?:command )?not found$",
        fixed_says(Operation.EXEC, errno.ENOENT),
        Certainty.LIKELY,
    ),
    _shape(
        "not-found-zsh",
        "zsh: command not found",
        r"(?:command not found|no such file or directory): (?P<path>[^\s:]+)$",
        fixed_says(Operation.EXEC, errno.ENOENT),
        Certainty.LIKELY,
    ),
    _shape(
        "node",
        "a Node.js error",
        r"\b(?P<errno>E[A-Z]{3,}): [a-z][\w\s,-]*?, (?P<call>[\w/]+)(?: '(?P<path>[^']*)')?(?P<target>)",
        node_says,
    ),
    _shape(
        "node-net",
        "a Node.js network error",
        r"\b(?P<call>connect|bind|listen|spawn) (?P<errno>E[A-Z]{3,})(?:: [a-z ]+)? "
        r"(?P<path>[\w/.:\[-][^\s'\"]*)(?P<target>)",
        node_says,
    ),
    _shape(
        "node-dns",
        "a name that Node.js cannot look up",
        r"\bgetaddrinfo (?P<why>E[A-Z_]+) (?P<path>[\w.-]+)",
        fixed_says(Operation.RESOLVE, errno.ENOENT),
    ),
    _shape(
        "python",
        "a Python exception",
        r"\[Errno (?P<code>\d+)\] [^:]+: b?(?P<q>['\"])(?P<path>.*?)(?P=q)(?: -> (?P=q)(?P<peer>.*?)(?P=q))?",
        python_says,
    ),
    _shape(
        "python-module",
        "a Python module that is not found",
        r"^ModuleNotFoundError: No module named '(?P<path>[^']+)'",
        fixed_says(Operation.READ, errno.ENOENT),
        Certainty.POSSIBLE,
    ),
    _shape(
        "python-dns",
        "a name that Python cannot look up",
        r"\[Errno -[23]\] (?:Name or service not known|Temporary failure in name resolution)(?P<path>)",
        fixed_says(Operation.RESOLVE, errno.ENOENT),
        Certainty.LIKELY,
    ),
    _shape(
        "curl-dns",
        "a name that cannot be looked up",
        r"(?:Could not resolve host|[Cc]ould not resolve hostname|lookup): ?(?P<path>[\w.-]+)",
        fixed_says(Operation.RESOLVE, errno.ENOENT),
    ),
    _shape(
        "go-dns",
        "a name that Go cannot look up",
        r"dial tcp: lookup (?P<path>[\w.-]+)",
        fixed_says(Operation.RESOLVE, errno.ENOENT),
    ),
    _shape(
        "go-dial",
        "a connection that Go cannot make",
        r"dial (?:tcp|udp|unix) (?P<path>[^\s]+): connect: (?P<why>[a-z ]+)",
        fixed_says(Operation.CONNECT),
    ),
    _shape(
        "go",
        "a Go error",
        rf"(?:^|[: ])(?P<call>open|mkdir|unlink|rename|fork/exec|exec|scandir|chmod|symlink) (?P<path>/[^:]+): {_WHY}",
        go_says,
    ),
    _shape(
        "rust",
        "a Rust error",
        r"(?P<verb>[\w ]*?)[`'\"](?P<path>/[^`'\"]+)[`'\"].*?\b(?P<why>Permission denied|No such file or directory|"
        r"Read-only file system|Operation not permitted) \(os error \d+\)",
        worded_says,
    ),
    _shape(
        "rust-struct",
        "a Rust Os error",
        r"Os \{ code: (?P<code>\d+), kind: \w+, message: \"[^\"]*\" \}.*?(?P<path>/[^\s\"',}]*)",
        lambda m: (READS, m["path"], int(m["code"])),
        Certainty.LIKELY,
    ),
    _shape(
        "nono",
        "nono",
        # What may be used is listed too, and further to the right.
        r"^\[nono\] {3}(?P<path>/.+?) \((?P<access>read\+write|read|write)\)(?:  \[.*\])?$",
        nono_says,
    ),
    _shape(
        "nono-json",
        "nono's diagnostics (JSON)",
        r'"path": ?"(?P<path>/(?:[^"\\]|\\.)*)", *"access": ?"(?P<access>\w+)"',
        nono_json_says,
    ),
    _shape(
        "host-denied",
        "a filtering proxy: the host is denied",
        r"(?i)\bhost (?:is )?(?:denied|blocked|not allowed)(?: by [\w ]+)?: (?P<path>[\w.-]+(?::\d+)?)",
        fixed_says(Operation.CONNECT, errno.EACCES),
    ),
    _shape(
        "proxy",
        "a proxy that refuses to connect (srt, and others)",
        r"(?:CONNECT tunnel failed, response 403|HTTP code 403 from proxy after CONNECT|"
        r"blocked by network allowlist)(?P<path>)",
        fixed_says(Operation.CONNECT, errno.EACCES),
        Certainty.LIKELY,
    ),
    _shape(
        "firejail",
        "firejail",
        rf"^(?:Error|Warning)[: ].*?(?P<verb>)(?P<path>/\S+?)[:,]? (?:.*\b)?{_WHY}",
        worded_says,
        Certainty.LIKELY,
    ),
    _shape(
        "worded",
        "`PROGRAM: cannot DO PATH: REASON`",
        r"(?:(?P<verb>(?:[Cc]annot|[Cc]ould not|[Cc]an't|[Ff]ailed to|[Uu]nable to|error|warning)[\w ]*?):? )?"
        rf"{_QUOTED}: {_WHY}",
        worded_says,
        Certainty.LIKELY,
    ),
)
"""In the order in which they are tried."""


_TELLING = (
    *("= -1 E", "deny", "enied", "ermitted", "o such file", "ot found", "ead-only", "Errno", "bwrap", "No module"),
    *("resolv", "refused", "unreachable", "lookup", "shared lib", "blocked", "cross-device", "format error"),
    *("ot a directory", "os error", "EACCES", "EPERM", "ENOENT", "EROFS", "EXDEV", "ENOTDIR", "ENOTFOUND", "EAI_"),
    *("[nono]", '"access"', "allowlist", "response 403", "code 403", "not allowed"),
    *("ECONN", "ENETUN", "EHOSTUN", "EADDR", "EMFILE", "ENOSPC", "EEXIST", "code: "),
)
"""A line that is worth the trouble holds one of these; most lines of a log do not. Plain words are found quickest."""


def read(line: str) -> Message | None:
    """The first message in a plain line, None if there is none that we know."""
    return next(messages(line), None)


def messages(line: str) -> Iterator[Message]:
    """The messages in a plain line: those of the first shape that knows any."""
    if not any(word in line for word in _TELLING):
        return
    for shape in SHAPES:
        told = False
        for found in shape.pattern.finditer(line):
            said = shape.read(found)
            if said is not None:
                told = True
                yield Message(shape.name, said[0], said[1], said[2], shape.certainty)
        if told:
            return
