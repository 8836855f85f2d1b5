"""Exports for nono, held by nono's own core."""

import json
import shlex
from pathlib import Path

import nono_run
import pytest
from capability import require
from exporting import SECRET, Yard, results

from learner.policy import Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.targets.nono import NONO
from learner.targets.nono_flags import NONO_FLAGS
from tracers.events import Transport

pytestmark = pytest.mark.kernel


@pytest.fixture(autouse=True)
def _core() -> None:
    require(nono_run.supported(), "nono-py is not installed, or this kernel has no Landlock")


def profile_line(yard: Yard, nono: Path, words: list[str]) -> list[str]:
    file = yard.project / "profile.json"
    file.write_bytes(NONO.export(yard.request()).data)
    return [str(nono), "run", "--profile", str(file), "--allow-cwd", "--", *words]


def flags_line(yard: Yard, nono: Path, words: list[str]) -> list[str]:
    """The line, as a shell runs it."""
    text = NONO_FLAGS.export(yard.request(*words)).data.decode()
    return ["sh", "-c", f"PATH={shlex.quote(str(nono.parent))}:$PATH\n{text}"]


@pytest.mark.parametrize("line", [profile_line, flags_line])
def test_what_is_granted_works_and_the_rest_is_refused(line: object, yard: Yard, scratch: Path) -> None:
    assert callable(line)
    probe = ["/usr/bin/python3", "-I", "probe.py"]
    control = yard.run(probe)
    assert set(results(control.stdout).values()) == {"done"}, control.stderr
    (yard.home / "made").unlink()
    (yard.home / "notes").write_text("n\n")
    (yard.home / "lib/deep/module").write_text("m\n")

    held = yard.run(line(yard, nono_run.install(scratch / "bin"), probe))
    found = results(held.stdout)
    assert {name for name, result in found.items() if result == "done"} == {"notes", "lib", "link", "make"}, held.stderr
    assert {result for result in found.values() if result != "done"} == {"EACCES"}
    assert yard.canary.read_text() == SECRET
    assert (yard.home / "notes").read_text() == "n\n"
    assert not (yard.home / "made").exists()
    assert (yard.project / "made").read_text() == "xx"


def test_the_link_is_granted_and_its_target(yard: Yard) -> None:
    document = json.loads(NONO.export(yard.request()).data)
    assert document["filesystem"]["read_file"][:3] == [
        "$HOME/.tool/config",
        "$HOME/dotfiles/config",
        "$HOME/notes",
    ]
    assert document["workdir"] == {"access": "readwrite"}
    assert document["network"] == {"block": True}


def test_ports_are_held_by_nono(yard: Yard, scratch: Path) -> None:
    import nono_py

    require(nono_py.detect_abi().has_network, "Landlock holds no TCP before Linux 6.7")
    connect = "import socket\nfor p in (18881, 18882):\n s = socket.socket()\n print(s.connect_ex(('127.0.0.1', p)))\n"
    network = (NetworkGrant(NetworkAction.CONNECT, "127.0.0.1", 18881, Transport.TCP, ()),)
    file = yard.project / "profile.json"
    file.write_bytes(NONO.export(yard.request(policy=Policy(yard.policy.grants, network))).data)
    nono = nono_run.install(scratch / "bin")
    python = ["/usr/bin/python3", "-I", "-c", connect]
    assert yard.run(python).stdout == "111\n111\n"  # ECONNREFUSED
    held = yard.run([nono, "run", "--profile", file, "--allow-cwd", "--", *python])
    assert held.stdout == "111\n13\n", held.stderr  # EACCES


def test_what_nono_protects_by_itself_is_opened_where_it_is_granted(yard: Yard, scratch: Path) -> None:
    secret = yard.home / ".netrc"
    secret.write_text("machine x\n")
    grant = Grant(str(secret), Scope.FILE, Right.READ, ())
    file = yard.project / "profile.json"
    file.write_bytes(NONO.export(yard.request(policy=Policy((*yard.policy.grants, grant)))).data)
    assert json.loads(file.read_bytes())["filesystem"]["bypass_protection"] == ["$HOME/.netrc"]
    nono = nono_run.install(scratch / "bin")
    held = yard.run([nono, "run", "--profile", file, "--allow-cwd", "--", "/usr/bin/cat", secret])
    assert held.stdout == "machine x\n", held.stderr


def test_what_it_cannot_say_is_told(yard: Yard) -> None:
    grants = (
        Grant("/srv/list", Scope.FILE, Right.LIST, ()),
        Grant("/proc/self/oom_score_adj", Scope.FILE, Right.WRITE, ()),
    )
    network = (
        NetworkGrant(NetworkAction.CONNECT, "api.example.org", 443, Transport.TCP, ()),
        NetworkGrant(NetworkAction.CONNECT, "127.0.0.53", 53, Transport.UDP, ()),
    )
    for target in (NONO, NONO_FLAGS):
        found = target.export(yard.request(policy=Policy((*yard.policy.grants, *grants), network)))
        items = [gap.item for gap in found.gaps]
        for start in (
            "single directory /srv/list",
            "left out: /proc/self/oom",
            "hosts (",
            "UDP (",
            "what is not granted",
        ):
            assert any(item.startswith(start) for item in items), (start, items)
        assert b"/srv/list" in found.data  # in the remarks
        assert b'"/srv/list"' not in found.data
        assert b" /srv/list " not in found.data.splitlines()[-1]
