"""Live verification: the command runs again, confined by the kernel, and what it was denied is repaired."""

import errno
import os
import socket
import sys
from pathlib import Path

import pytest
from capability import require
from children import NOBODY, area_of, in_child
from learning import Account, account

from learner.canaries import check
from learner.enforcers.bubblewrap import find_bwrap
from learner.enforcers.choice import EnforcerName, choose, namespace_obstacle
from learner.enforcers.landlock import LandlockEnforcer, abi
from learner.findings import Result, Verification, findings
from learner.policy import NetworkAction, Right, Scope
from learner.session import MAX_ROUNDS, Live
from learner.surface import surface
from tracers.events import Operation

pytestmark = pytest.mark.kernel


USED = 'cat /dev/null > used; mkdir -p "$1"; seq 1 >/dev/null; '
"""Programs that a script uses later on, so that what they need is known."""


@pytest.fixture
def ada(scratch: Path, monkeypatch: pytest.MonkeyPatch) -> Account:
    return account(str(scratch), monkeypatch.chdir)


def said(live: Live) -> tuple[str, ...]:
    """The findings of a live verification."""
    checked = Verification("live", None, live, (), ())
    return findings(Result("", live.trace, live.cover, checked, surface(live.cover.policy, live.trace.accesses), {}))


def grants(live: Live) -> dict[str, tuple[Scope, Right]]:
    return {g.path: (g.scope, g.rights) for g in live.cover.policy.grants}


def test_a_command_works_under_what_was_learned(ada: Account) -> None:
    ada.write(".toolrc", "setting\n")
    learned = ada.shell('cat "$1/.toolrc" > result')
    os.unlink("result")
    live = learned.live()
    assert (live.rounds, live.status, live.expected, live.repaired, live.denied) == (1, 0, 0, (), ())
    assert live.holds
    assert Path("result").read_text() == "setting\n"
    assert said(live) == ()
    through = [o for o in check(live.cover.policy, learned.places, LandlockEnforcer()) if o.verdict == "through"]
    assert all(outcome.known for outcome in through)


def test_python_works_under_what_was_learned(ada: Account) -> None:
    ada.write("data.json", '{"a": 1}')
    script = "import json, pathlib, sys; pathlib.Path('out').write_text(str(json.load(open(sys.argv[1]))))"
    learned = ada.learn(sys.executable, "-c", script, f"{ada.home}/data.json")
    os.unlink("out")
    live = learned.live()
    assert live.holds
    assert live.denied == ()
    assert Path("out").read_text() == "{'a': 1}"


def test_a_denial_is_repaired_with_the_smallest_grant(ada: Account) -> None:
    extra = ada.write("extra/one")
    ada.write("extra/two")
    learned = ada.shell(USED + '[ ! -e flag ] || cat "$1/extra/one" > result')
    Path("flag").touch()
    live = learned.live()
    [denial] = live.repaired
    assert (denial.access.operation, denial.access.object, denial.recorded) == (Operation.READ, extra, False)
    assert denial.access.outcome == errno.EACCES
    assert denial.program == "cat"
    assert grants(live)[extra] == (Scope.FILE, Right.READ)
    assert not any(path.endswith(("two", "extra")) for path in grants(live))
    assert (live.rounds, live.status, live.denied) == (2, 0, ())
    assert Path("result").read_text() == "content\n"
    assert live.holds


def test_a_directory_made_only_under_enforcement(ada: Account) -> None:
    learned = ada.shell(USED + '[ ! -e flag ] || { mkdir -p "$1/.newtool" && echo x > "$1/.newtool/state"; }')
    Path("flag").touch()
    live = learned.live()
    assert live.denied == ()
    assert live.status == 0
    assert live.rounds <= 3
    assert Path(ada.home, ".newtool/state").read_text() == "x\n"
    assert [g.path for g in live.cover.policy.grants if g.ensure] == [f"{ada.home}/.newtool"]


def test_what_only_the_sensitive_catalogue_forbids_stays_denied(ada: Account) -> None:
    key = ada.write(".ssh/id_ed25519", "key\n")
    learned = ada.shell('cat "$1/.ssh/id_ed25519" > copy; true')
    assert Path("copy").read_text() == "key\n"
    live = learned.live()
    assert Path("copy").read_text() == ""
    assert [(d.access.object, d.recorded) for d in live.denied] == [(key, True)]
    assert live.repaired == ()
    assert key not in grants(live)
    assert said(live) == (f"sensitive, so left out: {key} (SSH keys), used by cat",)


def test_what_the_user_allows_is_granted(ada: Account) -> None:
    key = ada.write(".ssh/id_ed25519", "key\n")
    learned = ada.shell('cat "$1/.ssh/id_ed25519" > copy', allowed=frozenset({key}))
    os.unlink("copy")
    live = learned.live(frozenset({key}))
    assert live.holds
    assert Path("copy").read_text() == "key\n"
    assert grants(live)[key] == (Scope.FILE, Right.READ)


def test_another_exit_status_is_told(ada: Account) -> None:
    ada.write(".netrc")
    live = ada.shell('cat "$1/.netrc" > /dev/null').live()
    assert (live.status, live.expected, live.holds) == (1, 0, False)
    assert said(live)[0] == "under enforcement the command ended with 1, not 0"


def test_a_status_that_changes_by_itself(ada: Account) -> None:
    live = ada.shell("[ -e ran ] && exit 7; touch ran; exit 3").live()
    assert (live.status, live.expected) == (7, 3)
    assert not live.holds
    assert live.denied == ()


def test_a_port_that_was_not_seen(ada: Account) -> None:
    require(abi() >= 4, "Landlock sees TCP from ABI 4 on")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        # Not create_connection(): it would load the idna codec, files that the first run has not read.
        script = f"import os, socket\nif os.path.exists('flag'): socket.socket().connect(('127.0.0.1', {port}))"
        learned = ada.learn(sys.executable, "-S", "-c", script)
        assert learned.cover.policy.network == ()
        Path("flag").touch()
        live = learned.live()
    assert [d.access.operation for d in live.repaired] == [Operation.CONNECT]
    assert [(n.action, n.port) for n in live.cover.policy.network] == [(NetworkAction.CONNECT, port)]
    assert live.holds


def test_it_comes_to_an_end(ada: Account) -> None:
    for number in range(MAX_ROUNDS + 2):
        ada.write(f"chain/{number}/x")  # each in a directory of its own, so that no repair covers the next
    learned = ada.shell(
        USED
        + f'[ ! -e flag ] || for i in $(seq 0 {MAX_ROUNDS + 1}); do cat "$1/chain/$i/x" >/dev/null 2>&1 || exit 9; done'
    )
    Path("flag").touch()
    live = learned.live()
    assert live.rounds == MAX_ROUNDS
    assert len(live.repaired) == MAX_ROUNDS - 1
    assert len(live.denied) == 1
    assert live.status == 9


def test_a_shared_directory_is_not_opened_to_repair(ada: Account) -> None:
    learned = ada.shell(USED + '[ ! -e flag ] || echo x > "$1/new.txt"; true')
    Path("flag").touch()
    live = learned.live()
    assert not Path(ada.home, "new.txt").exists()
    assert [d.access.operation for d in live.denied] == [Operation.CREATE]
    assert any(gap.item == f"create in {ada.home}" for gap in live.cover.gaps) or live.rounds == 1
    assert ada.home not in {path for path, (_, rights) in grants(live).items() if Right.CREATE in rights}


def test_plain_permissions_are_left_to_the_machine() -> None:
    require(os.getuid() == 0, "needs root, to make files that are not the user's")
    with area_of(NOBODY) as top:
        for name in ("known", "later"):
            Path(top, name).write_text("root's")
            Path(top, name).chmod(0o600)

        def work() -> list[object]:
            ada = account(top)
            learned = ada.shell('cat "$1/../known"; [ ! -e flag ] || cat "$1/../later"; true')
            Path("flag").touch()
            live = learned.live()
            named = [path for path in grants(live) if path.endswith(("known", "later"))]
            return [live.rounds, live.status, len(live.denied), len(live.repaired), named]

        assert in_child(work, NOBODY) == [1, 0, 0, 0, []]


def test_a_script_without_a_first_line(ada: Account) -> None:
    tool = ada.write("bin/tool", "echo ran > result\n")
    os.chmod(tool, 0o755)
    learned = ada.learn(tool)
    assert Path("result").read_text() == "ran\n"
    os.unlink("result")
    live = learned.live()
    assert live.holds
    assert Path("result").read_text() == "ran\n"


def test_names_of_every_kind(ada: Account) -> None:
    names = ["new\nline", "quo'te\"", "\udcff\udcfe", " ", "$HOME", "-x", "é" * 100]
    for name in names:
        ada.write(f"odd/{name}")
    learned = ada.shell('cat "$1"/odd/* > result')
    os.unlink("result")
    live = learned.live()
    assert live.holds
    assert live.denied == ()
    assert Path("result").read_text() == "content\n" * len(names)
    assert all(live.cover.policy.rights_on(f"{ada.home}/odd/{name}") & Right.READ for name in names)


_NEW_TERMINAL = """
import os, sys
outer, inner = os.openpty()
os.isatty(os.open(os.devnull, os.O_RDWR))
os.write(inner, b"x")
"""
_MAKE_SURE = """
import os, sys
try:
    os.mkdir(sys.argv[1])
except FileExistsError:
    pass
"""


@pytest.mark.parametrize("script", [_NEW_TERMINAL, _MAKE_SURE])
@pytest.mark.parametrize("name", [EnforcerName.LANDLOCK, EnforcerName.BUBBLEWRAP])
def test_what_no_open_shows_is_granted_all_the_same(ada: Account, name: EnforcerName, script: str) -> None:
    """The other end of a terminal is opened by an ioctl; a directory that is there is asked for by mkdir alone."""
    if name is EnforcerName.BUBBLEWRAP:
        require(find_bwrap(), "bubblewrap is not installed")
        require(not namespace_obstacle(), namespace_obstacle())
    os.makedirs(f"{ada.home}/.cache/tool")
    learned = ada.learn("/usr/bin/python3", "-Ic", script, f"{ada.home}/.cache/tool")
    live = learned.live(enforcer=choose(name).enforcer)
    assert (live.rounds, live.status, live.repaired, live.denied) == (1, 0, (), ())
