"""Profiles that cannot be used: each is refused with the place, what was found, what was expected, and a remedy."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import VARIABLES

from learner.errors import InputFileError
from learner.forms import convert
from learner.profile import load, loads
from learner.profile_form import ProfileForm

HEAD = 'version = 1\nname = "a"\ncommand = "a"\n'
GRANT = '[[grant]]\npath = "/a"\nscope = "file"\nrights = ["read"]\n'
NETWORK = '[[network]]\naction = "connect"\nhost = "h"\nport = 1\ntransport = "tcp"\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = \n", "p:1: not TOML: Invalid value"),
        (HEAD + "[grant", "p:4: not TOML: Expected ']' at the end of a table declaration"),
        (HEAD + 'x = "\x1b"', "p:4: not TOML: Illegal character '\\\\x1b'"),
        ("a = " + "[" * 5000, "p: not TOML that can be read"),
        ("a = " + "9" * 5000, "p: not TOML that can be read"),
        ("", 'p: the key "version" is missing'),
        ("version = 2\nfuture = true", "p: version 2 is newer than this sbx reads (1)"),
        ("version = 0" + HEAD[11:], "p: version: expected a whole number, 1, found the number 0"),
        ('version = "1"' + HEAD[11:], 'p: version: expected a whole number, 1, found "1"'),
        ("version = true" + HEAD[11:], "p: version: expected a whole number, 1, found true"),
        ("version = 1", 'p: the key "name" is missing'),
        (HEAD + "grants = []", 'p: unknown key "grants", expected one of version, name, command, platform'),
        (HEAD + '"a - at `$.grant[9]" = 1', 'p: unknown key "a - at `$.grant[9]"'),
        (HEAD + "name.x = 1", "p:4: not TOML: "),
        (HEAD + "partial = 1", "p: partial: expected true or false, found the number 1"),
        (HEAD + "platform = ''", 'p: platform: expected text that is not empty, found ""'),
        (HEAD + "platform = 1979-05-27", "p: platform: expected text that is not empty, found a date or time"),
        (HEAD + "grant = 5", "p: grant: expected a list, found the number 5"),
        (HEAD + "grant = {}", "p: grant: expected a list, found a table"),
        (HEAD + "grant = [5]", "p: grant[0]: expected a table, found the number 5"),
        (HEAD + GRANT + GRANT + "x = 1", 'p: grant[1]: unknown key "x", expected one of path, scope, rights'),
        (HEAD + "[[grant]]", 'p: grant[0]: the key "path" is missing'),
        (HEAD + GRANT.replace('"/a"', "[]"), "p: grant[0].path: expected text that is not empty, found a list"),
        (HEAD + GRANT.replace("/a", "a/b"), "p: grant[0].path: 'a/b' is a relative path"),
        (HEAD + GRANT.replace("/a", "$XDG/a"), "p: grant[0].path: unknown variable $XDG in '$XDG/a'"),
        (HEAD + GRANT.replace("/a", "/a/../b"), "p: grant[0].path: '/a/../b' holds '..'"),
        (HEAD + GRANT.replace("file", "dir"), 'p: grant[0].scope: expected one of "file", "tree", found "dir"'),
        (HEAD + GRANT.replace("read", "raed"), 'p: grant[0].rights[0]: expected one of "read", "list", "exec"'),
        (HEAD + GRANT.replace('["read"]', '["read", "READ"]'), "p: grant[0].rights[1]: expected one of "),
        (HEAD + GRANT.replace('["read"]', '["l\u0131st"]'), "p: grant[0].rights[0]: expected one of "),
        (HEAD + GRANT.replace('["read"]', '["read", 7]'), "p: grant[0].rights[1]: expected text, found the number 7"),
        (HEAD + GRANT.replace('["read"]', '"read"'), 'p: grant[0].rights: expected a list, found "read"'),
        (
            HEAD + GRANT + 'needed_by = [{program = "a", operations = ["fly"], example = "/a"}]',
            'p: grant[0].needed_by[0].operations[0]: expected one of "stat"',
        ),
        (
            HEAD + GRANT + 'needed_by = [{program = "a", operations = [], example = "/a", objects = 0}]',
            "p: grant[0].needed_by[0].objects: expected a whole number from 1 up, found the number 0",
        ),
        (
            HEAD + GRANT + 'needed_by = [{program = "a", operations = [], example = "$X/a"}]',
            "p: grant[0].needed_by[0].example: unknown variable $X",
        ),
        (
            HEAD + GRANT + "needed_by = [{program = '\\q', operations = [], example = '/a'}]",
            "p: grant[0].needed_by[0].program: stray backslash",
        ),
        (
            HEAD + NETWORK.replace("port = 1", "port = 65536"),
            "p: network[0].port: expected a whole number from 0 to 65535, found the number 65536",
        ),
        (
            HEAD + NETWORK.replace("port = 1", "port = 0x" + "f" * 5000),
            "p: network[0].port: expected a whole number from 0 to 65535, found a number that is too large",
        ),
        (
            HEAD + NETWORK.replace("tcp", "sctp"),
            'p: network[0].transport: expected one of "tcp", "udp", "other", "unknown", found "sctp"',
        ),
    ],
)
def test_the_place_and_what_was_expected(text: str, message: str) -> None:
    with pytest.raises(InputFileError) as caught:
        loads(text, "p", VARIABLES)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert caught.value.remedy


_KEYS = [
    "path",
    "scope",
    "rights",
    "needed_by",
    "program",
    "operations",
    "objects",
    "host",
    "port",
    "x",
    " - at `$.grant[9]",
]
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=9), st.dates()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4)),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(["grant", "network", "partial", "name", *_KEYS]), _values, min_size=1))
def test_any_document_is_a_profile_or_refused_in_one_line(document: dict[str, object]) -> None:
    try:
        convert({"version": 1, "name": "a", "command": "a"} | document, ProfileForm, "p", "mend it")
    except InputFileError as error:
        assert str(error).startswith("p: ")
        assert len(str(error).splitlines()) == 1


@given(st.text())
def test_any_text_is_a_profile_or_refused(text: str) -> None:
    with pytest.raises(InputFileError):
        loads(HEAD.replace("1", "1\n'x' = 1", 1) + text, "p", VARIABLES)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (HEAD.encode() + b"# caf\xe9\n", ":4: not UTF-8 (byte 0xe9)"),
        (b"\x7fELF\x02\x01", ":1: not TOML"),
        (b" " * (1 << 24) + b"x", "larger than any profile"),
    ],
)
def test_files_that_hold_something_else(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "p.toml"
    path.write_bytes(content)
    with pytest.raises(InputFileError) as caught:
        load(str(path), VARIABLES)
    assert str(path) in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("/nonexistent/p\n.toml", "/nonexistent/p\\x0a.toml: there is no such profile"),
        ("/", "/ is a directory"),
        ("/dev/null", "/dev/null is not a file"),
        ("/etc/passwd/p", "/etc/passwd/p cannot be read: Not a directory"),
    ],
)
def test_paths_where_there_is_no_file(path: str, says: str) -> None:
    with pytest.raises(InputFileError) as caught:
        load(path, VARIABLES)
    assert str(caught.value) == says
    assert caught.value.remedy


@pytest.mark.skipif(os.getuid() == 0, reason="root may read everything")
def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "p.toml"
    path.touch(0)
    with pytest.raises(InputFileError, match="cannot be read: Permission denied"):
        load(str(path), VARIABLES)
