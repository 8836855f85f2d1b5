import re
import time

import pytest
from accesses import HOME, PROJECT
from hypothesis import example as also
from hypothesis import given, settings
from hypothesis import strategies as st
from peers import DENIED, PROTECTED
from well_known import CHANGED, FREE, HARMLESS, LINUX, MACOS

from learner.policy import CHANGES, Right
from learner.sensitive import CATALOGUE, Catalogue, Concern, Entry, _ranked
from learner.sensitive_entries import HOMES

FOUND = Catalogue(HOME)
ANYTHING = ~Right(0)
READING = Right.READ | Right.LIST | Right.EXEC


def example(entry: Entry) -> str:
    """A path that fits the pattern."""
    path = entry.pattern.replace("**/", "/srv/app/", 1) if entry.pattern.startswith("**/") else entry.pattern
    path = path.replace("~", HOME, 1) if path.startswith("~/") else path
    return re.sub(r"\*", "1", re.sub(r"/\*\*$", "/one/two", path))


def place(path: str) -> str:
    return path.replace("~", HOME, 1) if path.startswith("~/") else path


# --- every entry


@pytest.mark.parametrize("entry", CATALOGUE, ids=lambda e: e.pattern)
def test_each_entry_matches_its_own_and_not_its_neighbour(entry: Entry) -> None:
    path = example(entry)
    assert FOUND.match(path, ANYTHING) is entry
    assert FOUND.match(path + "\n", Right.READ) is None or entry.pattern.endswith("*")
    neighbour = re.sub(r"(?<=/)([^/]+)(?=(/one/two)?$)", r"x\1x", path)
    assert neighbour != path
    assert FOUND.match(neighbour, ANYTHING) is not entry or "/*" in entry.pattern.removesuffix("/**").removeprefix("**")
    if entry.pattern.startswith("~/"):
        assert FOUND.match(path.replace(HOME, HOME + "/x"), ANYTHING) is not entry
        assert FOUND.match("/srv" + path, ANYTHING) is not entry
    if entry.pattern.endswith("/**"):
        assert FOUND.match(path.removesuffix("/one/two"), ANYTHING) is entry


@pytest.mark.parametrize("entry", [e for e in CATALOGUE if e.concern is Concern.CHANGE], ids=lambda e: e.pattern)
def test_reading_what_only_must_not_change(entry: Entry) -> None:
    assert FOUND.match(example(entry), READING) is None
    for right in (Right.WRITE, Right.TRUNCATE, Right.CREATE, Right.REMOVE, Right.ATTRIBUTES, Right.MOVE):
        assert FOUND.match(example(entry), right | Right.READ) is entry


@pytest.mark.parametrize("entry", [e for e in CATALOGUE if e.but], ids=lambda e: e.pattern)
def test_what_an_entry_does_not_mean(entry: Entry) -> None:
    plain = re.compile(regex(entry.pattern, HOME), re.DOTALL)
    end = example(entry).removesuffix("/one/two").rpartition("/")[2]
    for but in entry.but:
        path = example(Entry(but, ""))
        if but.startswith("/"):
            path = entry.pattern.replace("*", but.split("/")[2], 1).replace("*", "1")
        elif not plain.fullmatch(path):
            path = path.removesuffix("two") + end
        assert plain.fullmatch(path), path
        assert FOUND.match(path, ANYTHING) is not entry, path


def test_the_table_is_sound() -> None:
    assert len({entry.pattern for entry in CATALOGUE}) == len(CATALOGUE)
    for entry in CATALOGUE:
        assert entry.reason
        for pattern in (entry.pattern, *entry.but):
            assert pattern.startswith(("~/", "/", "**/"))
            names = pattern.removeprefix("**/").removesuffix("/**").removeprefix("/").split("/")
            assert all(name and name.count("*") <= 1 for name in names)
            assert not pattern.startswith("**/*") or not names[0].endswith("*")
    assert len(HOMES) == 4


# --- lists of places


def paths(text: str) -> list[str]:
    """``\\ `` is a space in a name."""
    return [place(word.replace("\\ ", " ")) for word in re.split(r"(?<!\\)\s+", text.strip())]


@pytest.mark.parametrize("path", [*paths(LINUX), *paths(MACOS)])
def test_well_known_secrets(path: str) -> None:
    for right in (Right.READ, Right.LIST, Right.WRITE, Right.CONNECT):
        match = FOUND.match(path, right)
        assert match is not None
        assert match.concern is Concern.ANY


@pytest.mark.parametrize("path", paths(CHANGED))
def test_well_known_places_that_run_code_later(path: str) -> None:
    match = FOUND.match(path, Right.WRITE)
    assert match is not None
    assert match.concern is Concern.CHANGE
    assert FOUND.match(path, READING) is None


@pytest.mark.parametrize("path", paths(HARMLESS))
def test_harmless_to_read(path: str) -> None:
    assert FOUND.match(path.replace("~", HOME) if path == "~" else path, READING) is None


@pytest.mark.parametrize(
    "path",
    paths(FREE),
)
def test_harmless_to_change(path: str) -> None:
    assert FOUND.match(path.replace("~", HOME) if path == "~" else path, ANYTHING) is None


def test_the_lists_are_long() -> None:
    assert len(paths(LINUX)) >= 60
    assert len(paths(MACOS)) >= 60
    assert len(paths(HARMLESS)) >= 40


# --- peers


def within(path: str) -> list[str]:
    """The path; of a directory (``/`` at its end) what lies beneath as well."""
    path = place(path)
    return [path.rstrip("/"), path + "one", path + "one/two"] if path.endswith("/") else [path]


@pytest.mark.parametrize(("peer", "path"), [(peer, path) for peer, found in DENIED.items() for path in found])
def test_what_peers_deny(peer: str, path: str) -> None:
    for one in within(path):
        for right in (Right.READ, Right.LIST, Right.WRITE):
            match = FOUND.match(one, right)
            assert match is not None, peer
            assert match.concern is Concern.ANY


@pytest.mark.parametrize(("peer", "path"), [(peer, path) for peer, found in PROTECTED.items() for path in found])
def test_what_peers_protect_from_changes(peer: str, path: str) -> None:
    for one in within(path):
        for right in (Right.WRITE, Right.CREATE, Right.REMOVE):
            assert FOUND.match(one, right) is not None, peer


# --- single rules


@pytest.mark.parametrize("word", ["example", "sample", "template", "dist", "default", "defaults"])
def test_examples_of_environment_files_hold_no_secret(word: str) -> None:
    assert FOUND.match(f"{PROJECT}/.env.{word}", ANYTHING) is None
    assert FOUND.match(f"{PROJECT}/.env.{word}\n", ANYTHING) is not None
    assert FOUND.match(f"{HOME}/.ssh/.env.{word}", ANYTHING) is not None


@pytest.mark.parametrize("name", [".env", ".env.local", ".env.production", ".env.example.local"])
def test_environment_files(name: str) -> None:
    assert FOUND.match(f"{PROJECT}/deep/{name}", Right.READ) is not None
    assert FOUND.match(f"/{name}", Right.READ) is not None


def test_whatever_is_a_concern_when_read_comes_first() -> None:
    inside = f"{HOME}/.config/systemd/user/.env"  # `runs at login` only concerns changes
    for rights in (Right.READ, Right.WRITE):
        match = FOUND.match(inside, rights)
        assert match is not None
        assert match.pattern == "**/.env"
    backup = FOUND.match("/var/backups/.bashrc", Right.READ)  # whatever the order of the table
    assert backup is not None
    assert backup.pattern == "/var/backups/**"


@pytest.mark.parametrize(
    "home", ["/", "/srv/people/ada", "/home/SHOP/ada", "/etc", "/Users/ada", "/root", "/home/ada/"]
)
def test_homes_anywhere(home: str) -> None:
    catalogue = Catalogue(home)
    inside = home.rstrip("/")
    for name in (".netrc", ".ssh/id", ".config/gh/hosts.yml", ".bash_history"):
        assert catalogue.match(f"{inside}/{name}", Right.READ) is not None
        assert catalogue.match(f"/home/other/{name}", Right.READ) is not None
        assert catalogue.match(f"/data{inside}/x/{name}", Right.READ) is None
    assert catalogue.match(f"{inside}/work/a.py", ANYTHING) is None
    assert catalogue.match("/etc/shadow", Right.READ) is not None


def test_homes_with_patterns_in_their_names() -> None:
    odd = Catalogue("/data/a.b+(c)*")
    assert odd.match("/data/a.b+(c)*/.netrc", Right.READ) is not None
    assert odd.match("/data/aXb+(c)*/.netrc", Right.READ) is None
    assert odd.match("/data/a.b+(c)x/.netrc", Right.READ) is None


# --- hostile names, and every path there is


def regex(pattern: str, home: str) -> str:
    """What a pattern means, said another way."""
    start, _, rest = pattern.partition("/")
    homes = "|".join([re.escape(home.rstrip("/")), "/home/[^/]*", "/root", "/Users/[^/]*", "/var/root"])
    before = {"": "/", "~": f"(?:{homes})/", "**": "/(?:.*/)?"}[start]
    tail = "(?:/.*)?" if rest.endswith("/**") else ""
    return before + "[^/]*".join(re.escape(part) for part in rest.removesuffix("/**").split("*")) + tail


WANTED = [
    (
        entry,
        re.compile(regex(entry.pattern, HOME), re.DOTALL),
        [re.compile(regex(b, HOME), re.DOTALL) for b in entry.but],
    )
    for entry in sorted(CATALOGUE, key=lambda e: e.concern is Concern.CHANGE)
]


def wanted(path: str, rights: Right) -> Entry | None:
    for entry, pattern, but in WANTED:
        applies = entry.concern is Concern.ANY or bool(rights & CHANGES)
        if applies and pattern.fullmatch(path) and not any(b.fullmatch(path) for b in but):
            return entry
    return None


_parts = sorted(
    {name for e in CATALOGUE for p in (e.pattern, *e.but) for name in p.split("/") if "*" not in name and name}
)
_names = st.one_of(
    st.sampled_from(_parts),
    st.sampled_from(
        ["a\nb", "\n", "\udcff\udc80", ".env.\udcff", "(x)[y]{z}|^$.*?+\\", "é", "..x", "a b", ".env\n", "1"]
    ),
    st.sampled_from(
        [".bash_history", "_history", ".x_history", ".env.a", ".env.", "x.kdbx", ".kdbx", "node_modules", "self"]
    ),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1, max_size=8),
)
_starts = st.sampled_from(
    ["", HOME, PROJECT, "/home/bob", "/root", "/etc", "/run/user/1", "/proc", "/dev", "/srv", "/var/root"]
)
_paths = st.builds(lambda start, names: "/".join([start, *names]) or "/", _starts, st.lists(_names, max_size=5))
_shaped = st.builds(
    lambda e, more: example(e) + more, st.sampled_from(CATALOGUE), st.sampled_from(["", "/x", "\n", "x", "/x/.env"])
)


@given(st.one_of(_paths, _shaped), st.sampled_from([Right.READ, Right.WRITE, READING, ANYTHING]))
@also(HOME, ANYTHING)
@also("/", ANYTHING)
@settings(max_examples=400, deadline=None)
def test_a_path_matches_what_its_pattern_says(path: str, rights: Right) -> None:
    # Second names of directories are tested by themselves.
    if not re.match(r"/(private|var/run|var/home|System/Volumes)(/|\Z)", path):
        assert FOUND.match(path, rights) == wanted(path, rights)


@given(
    _paths,
    st.sampled_from([("/private", ""), ("/System/Volumes/Data", ""), ("/var/run", "/run"), ("/var/home", "/home")]),
)
@settings(max_examples=100, deadline=None)
def test_second_names_of_directories(path: str, names: tuple[str, str]) -> None:
    second, first = names
    for name in (path, "/bob/.ssh/id", "/docker.sock", "/etc/shadow"):
        inner = first + name
        if FOUND.match(inner, ANYTHING) is not None:
            assert FOUND.match(second + name, ANYTHING) is not None


@pytest.mark.parametrize("path", ["", "a", "relative/name", "127.0.0.1:80"])
def test_what_is_no_path(path: str) -> None:
    assert FOUND.match(path, ANYTHING) is None


# --- speed


def test_most_paths_cost_next_to_nothing() -> None:
    """Measured: 2 million a second for packages, on a noisy machine; the bound is ten times that."""
    many = [f"/usr/lib/python3.11/site-packages/pkg/module_{n}.py" for n in range(2000)]

    def once() -> float:
        begun = time.perf_counter()
        for path in many:
            FOUND.match(path, Right.READ)
        return time.perf_counter() - begun

    assert min(once() for _ in range(5)) / len(many) < 5e-6


def test_it_is_ready_soon() -> None:
    """Measured: 1 to 2 ms; ten times that is the bound."""

    def once() -> float:
        _ranked.cache_clear()
        begun = time.perf_counter()
        Catalogue(HOME)
        return time.perf_counter() - begun

    assert min(once() for _ in range(5)) < 20e-3
