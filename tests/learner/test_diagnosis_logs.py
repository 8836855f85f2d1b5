"""What a log says: sixty lines of our own, after the shapes of many tools, and what is none of them."""

import io
import os
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.cli.main import main
from learner.diagnosis.logs.lines import LONGEST, lines, plain
from learner.diagnosis.logs.reader import KEPT, grant, read_log
from learner.diagnosis.logs.table import SHAPES, read
from learner.policy import Grant, NetworkGrant, Right, Scope
from tracers.events import Operation

Op = Operation

SAID: tuple[tuple[str, Operation, str], ...] = (
    ('openat(AT_FDCWD, "/etc/gitconfig", O_RDONLY) = -1 EACCES (Permission denied)', Op.READ, "/etc/gitconfig"),
    (
        '[pid  43] openat(AT_FDCWD</w>, "o/x", O_WRONLY|O_CREAT, 0644) = -1 EROFS (Read-only file system)',
        Op.CREATE,
        "/w/o/x",
    ),
    ('43 12:00:01.123456 openat(3</w>, "d", O_RDONLY|O_DIRECTORY) = -1 EACCES (Permission denied)', Op.LIST, "/w/d"),
    ('execve("/opt/py", ["py"], 0x7f /* 9 vars */) = -1 EACCES (Permission denied)', Op.EXEC, "/opt/py"),
    ('mkdir("/home/me/.vibe", 0777) = -1 EPERM (Operation not permitted)', Op.MKDIR, "/home/me/.vibe"),
    ('rename("/w/a.tmp", "/w/a") = -1 EXDEV (Invalid cross-device link)', Op.RENAME_FROM, "/w/a.tmp"),
    ('unlink("/w/a \\"b\\"") = -1 EACCES (Permission denied)', Op.REMOVE, '/w/a "b"'),
    (
        'connect(5, {sa_family=AF_INET, sin_port=htons(443), sin_addr=inet_addr("10.0.0.1")}, 16) = -1 EACCES (P)',
        Op.CONNECT,
        "10.0.0.1:443",
    ),
    (
        'connect(5, {sa_family=AF_UNIX, sun_path="/run/d.sock"}, 110) = -1 EACCES (Permission denied)',
        Op.CONNECT,
        "/run/d.sock",
    ),
    ("bwrap: execvp /home/me/.local/bin/vibe: No such file or directory", Op.EXEC, "/home/me/.local/bin/vibe"),
    ("bwrap: Can't find source path /home/me/a b: No such file or directory", Op.READ, "/home/me/a b"),
    ("bwrap: Can't create file at /etc/x: Read-only file system", Op.CREATE, "/etc/x"),
    ("bwrap: Can't mkdir parents for /srv/x: Permission denied", Op.CREATE, "/srv/x"),
    ("bwrap: setting up uid map: Permission denied", Op.NAMESPACE, "setting up uid map"),
    ("bwrap: Creating new namespace failed: No space left on device", Op.NAMESPACE, "Creating new namespace failed"),
    (
        "t: error while loading shared libraries: libm.so.6: cannot open shared object file: No such file or directory",
        Op.READ,
        "libm.so.6",
    ),
    ("bash: ./tool: /opt/uv/python: bad interpreter: No such file or directory", Op.EXEC, "/opt/uv/python"),
    ("-bash: /home/me/tool: /opt/uv/python: bad interpreter: Permission denied", Op.EXEC, "/opt/uv/python"),
    ("zsh: ./tool: bad interpreter: /opt/uv/python: no such file or directory", Op.EXEC, "/opt/uv/python"),
    ("bash: line 1: vibe: command not found", Op.EXEC, "vibe"),
    ("sh: 1: vibe: not found", Op.EXEC, "vibe"),
    ("zsh: command not found: vibe", Op.EXEC, "vibe"),
    (
        "PermissionError: [Errno 13] Permission denied: '/home/me/.vibe/config.toml'",
        Op.READ,
        "/home/me/.vibe/config.toml",
    ),
    ("FileNotFoundError: [Errno 2] No such file or directory: b'/x/y'", Op.READ, "/x/y"),
    ("OSError: [Errno 18] Invalid cross-device link: '/w/a' -> '/w/b'", Op.RENAME_FROM, "/w/a"),
    ("OSError: [Errno 30] Read-only file system: '/w/.hello.txt.hqw9dsit.tmp'", Op.READ, "/w/.hello.txt.hqw9dsit.tmp"),
    ("ModuleNotFoundError: No module named 'encodings'", Op.READ, "encodings"),
    ("socket.gaierror: [Errno -2] Name or service not known", Op.RESOLVE, ""),
    ("Error: EACCES: permission denied, open '/home/me/.npmrc'", Op.READ, "/home/me/.npmrc"),
    ("Error: EROFS: read-only file system, mkdir '/usr/lib/x'", Op.MKDIR, "/usr/lib/x"),
    ("Error: ENOENT: no such file or directory, scandir '/home/me/p'", Op.LIST, "/home/me/p"),
    ("Error: EPERM: operation not permitted, unlink '/home/me/l'", Op.REMOVE, "/home/me/l"),
    ("Error: connect ECONNREFUSED 127.0.0.1:8080", Op.CONNECT, "127.0.0.1:8080"),
    ("Error: connect EACCES 10.1.2.3:443", Op.CONNECT, "10.1.2.3:443"),
    ("Error: listen EACCES: permission denied 0.0.0.0:80", Op.BIND, "0.0.0.0:80"),
    ("Error: spawn ENOENT /usr/bin/gopls", Op.EXEC, "/usr/bin/gopls"),
    ("Error: getaddrinfo ENOTFOUND api.example.org", Op.RESOLVE, "api.example.org"),
    ("getaddrinfo EAI_AGAIN registry.example.org", Op.RESOLVE, "registry.example.org"),
    ("curl: (6) Could not resolve host: api.example.org", Op.RESOLVE, "api.example.org"),
    ("open /etc/hosts: permission denied", Op.READ, "/etc/hosts"),
    ("panic: mkdir /var/x: read-only file system", Op.MKDIR, "/var/x"),
    ("fork/exec /usr/bin/git: permission denied", Op.EXEC, "/usr/bin/git"),
    ('Get "https://x": dial tcp 10.0.0.1:443: connect: network is unreachable', Op.CONNECT, "10.0.0.1:443"),
    ("Get https://x: dial tcp: lookup api.example.org on 127.0.0.53:53: no such host", Op.RESOLVE, "api.example.org"),
    (
        "Error: failed to read config `/home/me/.c/x.toml`: Permission denied (os error 13)",
        Op.READ,
        "/home/me/.c/x.toml",
    ),
    (
        'error: could not create directory "/home/me/.cargo": Read-only file system (os error 30)',
        Op.MKDIR,
        "/home/me/.cargo",
    ),
    ("cannot read config file at /home/me/.vibe/config.toml: Permission denied", Op.READ, "/home/me/.vibe/config.toml"),
    ("cat: /etc/ssl/x.pem: Permission denied", Op.READ, "/etc/ssl/x.pem"),
    ("touch: cannot touch '/usr/x': Read-only file system", Op.CREATE, "/usr/x"),
    ("mkdir: cannot create directory ‘/srv/a’: Permission denied", Op.MKDIR, "/srv/a"),
    ("rm: cannot remove '/srv/a': Operation not permitted", Op.REMOVE, "/srv/a"),
    ("ls: cannot open directory '/srv': Permission denied", Op.LIST, "/srv"),
    ("fatal: unable to access '/etc/gitconfig': Permission denied", Op.READ, "/etc/gitconfig"),
    ("sh: 3: cannot create /w/out: Read-only file system", Op.CREATE, "/w/out"),
    ("Sandbox: node(4312) deny(1) file-read-data /Users/me/.npmrc", Op.READ, "/Users/me/.npmrc"),
    ("Sandbox: python3.12(4313) deny(1) file-read-metadata /Users/me/d/c.toml", Op.STAT, "/Users/me/d/c.toml"),
    (
        "Sandbox: Code Helper (Plugin)(901) deny(1) file-write-create /private/tmp/a b.txt",
        Op.CREATE,
        "/private/tmp/a b.txt",
    ),
    ("Sandbox: git(77) deny(1) process-exec* /usr/bin/xcrun", Op.EXEC, "/usr/bin/xcrun"),
    ("Sandbox: curl(80) deny(1) network-outbound remote:*:443", Op.CONNECT, "remote:*:443"),
    (
        '{"processID":0,"eventMessage":"Sandbox: node(9) deny(1) file-read-data \\/Users\\/me\\/x"}',
        Op.READ,
        "/Users/me/x",
    ),
    ("[nono]   /home/me/.vibe/a b.toml (read)", Op.READ, "/home/me/.vibe/a b.toml"),
    ("[nono]   /home/me/.vibe (read+write)  [permanently restricted]", Op.WRITE, "/home/me/.vibe"),
    (
        '{"code":"sandbox_denied_path","path":"/home/me/\\"x","access":"Write","detail":{"kind":"k"}}',
        Op.WRITE,
        '/home/me/"x',
    ),
    ("tls_intercept: upstream host denied by filter: api.example.org", Op.CONNECT, "api.example.org"),
    ("curl: (56) CONNECT tunnel failed, response 403", Op.CONNECT, ""),
    ("Error: cannot mkdir /run/user/1000/x: Permission denied", Op.MKDIR, "/run/user/1000/x"),
    ('called `Result::unwrap()`: Os { code: 13, kind: PermissionDenied, message: "no" } at /w/x', Op.READ, "/w/x"),
)
DRESSES = (
    "{}",
    "\x1b[31m{}\x1b[0m",
    "2026-05-26T13:42:44.1361234Z {}",
    "[13:42:44] ERROR: {}",
    "##[error]{}",
    "app-1  | {}",
)


@pytest.mark.parametrize(("line", "operation", "path"), SAID, ids=range(len(SAID)))
def test_operation_and_path_whatever_the_dress(line: str, operation: Operation, path: str) -> None:
    for dress in DRESSES:
        found = read(plain(dress.format(line)))
        assert found is not None, dress
        assert (found.operation, found.path) == (operation, path), dress


@pytest.mark.parametrize(
    "line",
    [
        "",
        "all is well",
        "System Policy: tool(5) deny(1) file-read-data /x",
        "Sandbox: foo(9) deny(2) process-fork",
        "3 passed, 1 failed",
        'openat(AT_FDCWD, "/etc/passwd", O_RDONLY) = 3',
        "the file /etc/passwd was read",
        '{"count":32,"finished":1}',
    ],
)
def test_what_says_nothing(line: str) -> None:
    assert read(plain(line)) is None


def test_every_shape_is_tried_here() -> None:
    seen = {found.shape for line, _, _ in SAID if (found := read(plain(line)))}
    untried = {shape.name for shape in SHAPES} - seen
    assert untried <= {"firejail"}, untried  # its lines are of the form of `PROGRAM: cannot DO PATH: REASON`, too


def test_refusals_come_before_probes() -> None:
    text = (
        'openat(AT_FDCWD, "/usr/lib/locale/x", O_RDONLY) = -1 ENOENT (No such file or directory)\n'
        'openat(AT_FDCWD, "/home/me/c", O_RDONLY) = -1 EACCES (Permission denied)\n'
    )
    log = read_log(io.BytesIO(text.encode() * 3))
    assert [(e.message.path, e.line, e.times) for e in log.entries] == [
        ("/home/me/c", 2, 3),
        ("/usr/lib/locale/x", 1, 3),
    ]
    assert log.read == 6


def test_the_call_of_a_python_exception() -> None:
    text = (
        b"  File \"x.py\", line 3, in f\n    os.mkdir(path)\nPermissionError: [Errno 13] Permission denied: '/srv/x'\n"
    )
    [entry] = read_log(io.BytesIO(text)).entries
    assert entry.message.operation is Operation.MKDIR


def test_a_call_that_strace_tells_in_two_parts() -> None:
    text = (
        b'[pid 7] openat(AT_FDCWD, "/home/me/c", O_RDONLY|O_CLOEXEC <unfinished ...>\n'
        b'[pid 8] openat(AT_FDCWD, "/home/me/d", O_WRONLY <unfinished ...>\n'
        b"[pid 7] <... openat resumed>) = -1 EACCES (Permission denied)\n"
        b"[pid 8] <... openat resumed>) = 3\n"
    )
    [entry] = read_log(io.BytesIO(text)).entries
    assert (entry.message.path, entry.message.operation, entry.line) == ("/home/me/c", Operation.READ, 3)


def test_what_is_wrapped_or_stands_on_lines_of_its_own() -> None:
    text = (
        b"PermissionError: [Errno 13] Permission denied: '/home/me/.vi\nbe/config.toml'\nall is well\n"
        b'  "path": "/home/me/x",\n  "access": "Read",\n  "detail": {\n'
    )
    wrapped, *_ = read_log(io.BytesIO(text)).entries
    assert wrapped.message.path == "/home/me/.vibe/config.toml"


def test_what_nono_allows_is_no_denial() -> None:
    text = b"[nono] Sandbox policy:\n[nono]   Allowed paths:\n[nono]     /home/me/project (read+write)\n"
    assert read_log(io.BytesIO(text)).entries == ()


def test_grants_of_messages() -> None:
    def made(line: str) -> Grant | NetworkGrant | None:
        found = read(line)
        assert found is not None
        return grant(found, "/home/me")

    assert made("cat: /a/../b: Permission denied") == Grant("/b", Scope.FILE, Right.READ, ())
    assert made("cat: ~/b: Permission denied") == Grant("/home/me/b", Scope.FILE, Right.READ, ())
    assert made("touch: cannot touch '/a/b': Permission denied") == Grant("/a", Scope.FILE, Right.CREATE, ())
    port = made("Error: connect EACCES [::1]:443")
    assert isinstance(port, NetworkGrant)
    assert (port.host, port.port) == ("::1", 443)
    assert made("bash: vibe: command not found") is None


def test_memory_stays_constant() -> None:
    class Endless(io.RawIOBase):
        left = 40 << 20

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: bytearray) -> int:  # type: ignore[override]
            size = min(len(buffer), self.left)
            self.left -= size
            buffer[:size] = (b"cat: /x/%d: Permission denied " % self.left * (size // 20 + 1))[:size]
            return size

    stream = io.BufferedReader(Endless())
    tracemalloc.start()
    log = read_log(stream)  # type: ignore[arg-type]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 << 20
    assert log.read == 1


def test_messages_beyond_those_kept_are_counted() -> None:
    text = "".join(f"cat: /x/{n}: Permission denied\n" for n in range(KEPT + 7))
    log = read_log(io.BytesIO(text.encode()))
    assert (len(log.entries), log.more) == (KEPT, 7)
    absent = "".join(f"cat: /y/{n}: No such file or directory\n" for n in range(2 * KEPT))
    log = read_log(io.BytesIO(absent.encode() + b"cat: /x: Permission denied\n"))
    assert (log.entries[0].message.path, len(log.entries), log.more) == ("/x", KEPT + 1, KEPT)


@given(st.binary(max_size=2 * LONGEST))
def test_any_bytes_are_read(data: bytes) -> None:
    assert read_log(io.BytesIO(data)).read == len(list(lines(io.BytesIO(data))))


def test_the_command(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    file = f"{tmp_path}/log"
    with open(file, "w") as log:
        log.write("x\ncat: /etc/ssl/x.pem: Permission denied\n")
    assert main(["diagnose", "--log", file]) == 0
    err = capsys.readouterr().err
    assert err.startswith("cause: read /etc/ssl/x.pem: Permission denied (line 2; worded; likely)\n")
    assert 'path = "/etc/ssl/x.pem"' in err
    with open(file, "wb") as log:
        log.write(os.urandom(1 << 16))
    assert main(["diagnose", "--log", file]) == 1
    assert "no cause found: none of" in capsys.readouterr().err
    assert main(["diagnose", "--log", f"{tmp_path}/none"]) == 4
    assert main(["diagnose", "--log", str(tmp_path)]) == 4
    assert main(["diagnose", "--log", file, "--", "true"]) == 2
    assert main(["diagnose"]) == 2


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diagnose", "--list"]) == 0
    out = capsys.readouterr().out
    assert "shebang-hidden" in out
    assert "no grant can help" in out
