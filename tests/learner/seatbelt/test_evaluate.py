import pytest

from learner.access import Kind
from learner.seatbelt.evaluate import Judge, Request, Unsupported
from tracers.events import Endpoint, Family, Transport

READ = "file-read-data"


def end(address: str, port: int, transport: Transport = Transport.TCP) -> Endpoint:
    return Endpoint(Family.INET, address, port, transport)


@pytest.mark.parametrize(
    ("rules", "request_", "admitted"),
    [
        ("", Request(READ, "/x"), False),
        ("(allow default)", Request(READ, "/x"), True),
        ('(allow file-read* (subpath "/a"))', Request(READ, "/a/b/c"), True),
        ('(allow file-read* (subpath "/a"))', Request(READ, "/a"), True),
        ('(allow file-read* (subpath "/a"))', Request(READ, "/ab"), False),
        ('(allow file-read* (subpath "/"))', Request(READ, "/ab"), True),
        ('(allow file-read* (literal "/a"))', Request(READ, "/a/b"), False),
        ('(allow file-read-metadata (literal "/a"))', Request(READ, "/a"), False),
        ('(allow file-read* (literal "/a"))', Request("file-write-data", "/a"), False),
        (
            '(allow file* (subpath "/a")) (deny file-write* (subpath "/a/b"))',
            Request("file-write-data", "/a/b/c"),
            False,
        ),
        (
            '(deny file-write* (subpath "/a/b")) (allow file* (subpath "/a"))',
            Request("file-write-data", "/a/b/c"),
            True,
        ),
        ('(allow file* (subpath "/a")) (deny file* (literal "/a/b"))', Request(READ, "/a/b/c"), True),
        ('(allow process-exec (literal "/a"))', Request("process-exec*", "/a"), True),
        ('(allow process-exec* (literal "/a"))', Request("process-exec-interpreter", "/a"), True),
        ('(allow file-read* (regex #"^/dev/ttys[0-9]+$"))', Request(READ, "/dev/ttys012"), True),
        ('(allow file-read* (regex #"^/dev/ttys[0-9]+$"))', Request(READ, "/dev/ttysx"), False),
        (
            '(allow file-read* (require-all (subpath "/a") (require-not (literal "/a/b"))))',
            Request(READ, "/a/b"),
            False,
        ),
        ('(allow file-read* (require-all (subpath "/a") (vnode-type DIRECTORY)))', Request(READ, "/a/d"), False),
        (
            '(allow file-read* (require-all (subpath "/a") (require-any (vnode-type DIRECTORY) (vnode-type SYMLINK))))',
            Request(READ, "/a/d", Kind.SYMLINK),
            True,
        ),
        ('(allow file-read* (subpath (string-append (param "HOME") "/x")))', Request(READ, "/Users/me/x/y"), True),
        (
            '(allow network-outbound (remote ip "*:443"))',
            Request("network-outbound", endpoint=end("1.2.3.4", 443)),
            True,
        ),
        (
            '(allow network-outbound (remote ip "*:443"))',
            Request("network-outbound", endpoint=end("1.2.3.4", 80)),
            False,
        ),
        ('(allow network* (remote udp "*:*"))', Request("network-outbound", endpoint=end("1.2.3.4", 80)), False),
        ('(allow network* (remote ip "localhost:*"))', Request("network-outbound", endpoint=end("127.0.0.1", 8)), True),
        ('(allow network* (remote ip "localhost:*"))', Request("network-outbound", endpoint=end("*", 8)), False),
        ('(allow network-outbound (remote ip "*:443"))', Request("network-outbound", "/var/run/x"), False),
        ('(allow mach-lookup (global-name "a"))', Request("mach-lookup", name="a"), True),
        ('(allow mach-lookup (global-name "a"))', Request("mach-lookup", name="ab"), False),
        ("(allow mach-lookup)", Request("mach-lookup", name="ab"), True),
        ('(allow system-fsctl (fsctl-command (_IO "h" 47)))', Request("system-fsctl", name='(_IO "h" 47)'), True),
        ("(allow signal (target same-sandbox))", Request("signal", name="others"), False),
    ],
)
def test_decisions(rules: str, request_: Request, admitted: bool) -> None:
    judge = Judge(f"(version 1)\n(deny default)\n{rules}", {"HOME": "/Users/me"})
    assert judge.admits(request_) is admitted


def test_a_volume_that_folds_case() -> None:
    rules = '(version 1)(deny default)(allow file-read* (subpath "/Users/Me"))'
    assert not Judge(rules).admits(Request(READ, "/users/me/x"))
    assert Judge(rules, fold=True).admits(Request(READ, "/users/me/x"))


@pytest.mark.parametrize(
    "rules",
    [
        '(import "system.sb")',
        '(allow file-read* (xattr "x"))',
        '(allow file-read* (literal (param "NOBODY")))',
        "(allow)",
        '(allow default (literal "/x"))',
        "(define x 1)",
    ],
)
def test_what_is_not_understood_is_refused(rules: str) -> None:
    with pytest.raises(Unsupported):
        Judge(rules)
