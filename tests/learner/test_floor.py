"""What a floor masks: found where the patterns say and nowhere else; and what a trace made under one means."""

import errno
import os
import socket
from pathlib import Path

import msgspec
import pytest
from accesses import HEADER, HOME, PLACES, PROGRAMS, access

from learner.derivation import Derived, derive
from learner.floor import Floor, Mask, find_floor
from learner.needs import attempted
from learner.policy import Right, Scope
from learner.rebase import rebase
from learner.trace import Trace, encode_trace, merge, read_trace
from learner.variables import Variables
from tracers.events import Operation

MASKED = {f"{HOME}/.ssh": "SSH keys", "/run/agent": "SSH agent"}


class Machine:
    """A root directory with accounts ada and bob; ada's project is ``work/engine``."""

    def __init__(self, top: Path) -> None:
        self.top = top
        self.home = top / "home" / "ada"
        self.variables = Variables(str(self.home / "work/engine"), str(self.home))
        (self.home / "work/engine").mkdir(parents=True)

    def write(self, *names: str) -> None:
        """Files, by names below the root; ``~`` is ada's home."""
        for name in names:
            path = self.path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("x")

    def path(self, name: str) -> Path:
        return self.home / name[2:] if name.startswith("~/") else self.top / name

    def floor(self, allowed: tuple[str, ...] = (), most: int = 1000, **environment: str) -> Floor:
        return find_floor(
            self.variables, [str(self.path(a)) for a in allowed], (), environment, str(self.top), most=most
        )

    def masks(self, *allowed: str, **environment: str) -> set[str]:
        """The masks, with ``~`` for ada's home and the rest relative to the root."""
        found = [mask.path for mask in self.floor(allowed, **environment).masks]
        home, top = f"{self.home}/", f"{self.top}/"
        return {
            "~/" + path[len(home) :] if path.startswith(home) else path[len(top) :]
            for path in found
            if path.startswith(top)
        }


@pytest.fixture
def machine(scratch: Path) -> Machine:
    return Machine(scratch)


def test_an_empty_machine_has_nothing_to_mask(machine: Machine) -> None:
    assert machine.masks() == set()
    assert machine.floor().unmet == ()


def test_named_places_of_every_account(machine: Machine) -> None:
    machine.write("~/.ssh/id_rsa", "~/.netrc", "~/.config/gh/hosts.yml", "home/bob/.aws/credentials", "etc/shadow-")
    machine.write("run/user/1000/bus", "run/user/1000/keyring/control", "~/.bash_history", "etc/passwd", "~/notes")
    assert machine.masks() == {
        *("~/.ssh", "~/.netrc", "~/.config/gh", "~/.bash_history", "home/bob/.aws", "etc/shadow-"),
        *("run/user/1000/bus", "run/user/1000/keyring"),
    }
    [mask] = [mask for mask in machine.floor().masks if mask.path.endswith(".netrc")]
    assert mask == Mask(f"{machine.home}/.netrc", "passwords")


def test_what_is_only_dangerous_to_change_stays_readable(machine: Machine) -> None:
    machine.write("~/.gitconfig", "~/.local/bin/tool", "~/work/engine/.git/hooks/pre-commit", "etc/crontab")
    assert machine.masks() == set()


def test_stray_names_are_searched_in_the_project_and_directly_in_homes(machine: Machine) -> None:
    machine.write("~/work/engine/.env", "~/work/engine/a/b/.env.local", "~/work/engine/a/.env.example")
    machine.write("~/.git-credentials", "home/bob/id_ed25519", "~/work/other/.env", "srv/.env")
    (machine.home / "work/engine/sub/.env").mkdir(parents=True)  # a virtual environment
    assert machine.masks() == {
        *("~/work/engine/.env", "~/work/engine/a/b/.env.local", "~/.git-credentials", "home/bob/id_ed25519"),
    }
    [gap] = [gap for gap in machine.floor().gaps if gap.item == "stray secrets"]
    assert str(machine.home / "work/engine") in gap.reason


def test_a_home_directory_is_no_project(machine: Machine) -> None:
    machine.write("~/deep/.env", "~/.env")
    machine.variables = Variables(str(machine.home), str(machine.home))
    assert machine.masks() == {"~/.env"}


def test_a_project_too_large_to_search_is_said(machine: Machine) -> None:
    machine.write(*(f"~/work/engine/d{n}/file" for n in range(30)), "~/work/engine/.env", "~/work/engine/d9/x/.env")
    floor = machine.floor(most=20)
    assert [gap.item for gap in floor.unmet] == ["secrets in the project"]
    assert f"{machine.home}/work/engine/.env" in {mask.path for mask in floor.masks}
    assert machine.floor(most=1000).unmet == ()


def test_a_directory_that_cannot_be_listed_is_said(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.write("run/user/1000/bus")
    closed = str(machine.top / "run/user")
    listdir = os.listdir

    def refuse(path: str) -> list[str]:
        if path == closed:
            raise PermissionError(errno.EACCES, "no")
        return listdir(path)

    monkeypatch.setattr(os, "listdir", refuse)
    assert [gap.item for gap in machine.floor().unmet] == [f"secrets in {closed}"]


def test_links_lead_to_what_is_masked(machine: Machine) -> None:
    machine.write("~/dotfiles/ssh/config", "~/dotfiles/credentials", "~/.aws/config", "~/dotfiles/readme", "usr/skel")
    os.symlink("dotfiles/ssh", machine.home / ".ssh")
    os.symlink("../dotfiles/credentials", machine.home / ".aws/credentials")
    os.symlink(os.devnull, machine.home / ".bash_history")
    os.symlink("/usr/bin/env", machine.home / ".profile")
    os.symlink("/nonesuch", machine.home / ".netrc")
    os.symlink("loop", machine.home / "loop")
    os.symlink("loop", machine.home / ".npmrc")
    assert machine.masks() == {"~/dotfiles/ssh", "~/.aws", "~/dotfiles/credentials"}
    assert not {os.devnull, "/usr/bin/env"} & {mask.path for mask in machine.floor().masks}


def test_sockets_of_the_environment(machine: Machine) -> None:
    machine.write("keep/agent.1")
    with socket.socket(socket.AF_UNIX) as bus:
        os.chdir(machine.top)
        bus.bind("bus")
        address = f"unix:path={machine.top}/bus,guid=0123"
        found = machine.masks(SSH_AUTH_SOCK=f"{machine.top}/keep/agent.1", DBUS_SESSION_BUS_ADDRESS=address)
    assert found == {"keep/agent.1", "bus"}
    assert machine.masks(SSH_AUTH_SOCK="relative", DBUS_SESSION_BUS_ADDRESS="unix:abstract=/x") == set()


def test_what_is_allowed_stays_open(machine: Machine) -> None:
    machine.write("~/.ssh/id_rsa", "~/.ssh/known_hosts", "~/.ssh/keys/one", "~/.ssh/keys/two", "~/.netrc")
    assert machine.masks("~/.ssh") == {"~/.netrc"}
    assert machine.masks("~/.netrc") == {"~/.ssh"}
    assert machine.masks("~/.ssh/known_hosts", "~/.ssh/keys/two") == {"~/.ssh/id_rsa", "~/.ssh/keys/one", "~/.netrc"}
    assert machine.floor(("~/.ssh/known_hosts",)).unmet == ()


def test_a_project_in_a_sensitive_place_stays_open_and_that_is_said(machine: Machine) -> None:
    machine.write("~/Private/engine/main.py", "~/Private/diary", "~/.docker/config.json")
    machine.variables = Variables(str(machine.home / "Private/engine"), str(machine.home))
    assert machine.masks() == {"~/Private/diary", "~/.docker"}
    assert [gap.item for gap in machine.floor().unmet] == [str(machine.home / "Private/engine")]
    machine.variables = Variables(str(machine.home / ".docker"), str(machine.home))
    assert machine.masks() == {"~/Private"}


def test_the_kernels_own_directories_are_not_masked() -> None:
    found = find_floor(Variables("/nonesuch/project", "/nonesuch"), environment={})
    assert not [mask for mask in found.masks if mask.path.startswith(("/proc", "/sys"))]
    assert {mask.path for mask in found.masks} == {os.path.realpath(mask.path) for mask in found.masks}
    assert list(found.masks) == sorted(found.masks)


def refused(*accesses_: object, masked: dict[str, str] = MASKED, allowed: frozenset[str] = frozenset()) -> Derived:
    return derive(PLACES, PROGRAMS, accesses_, {}, allowed, masked=masked)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EPERM])
def test_a_refused_access_is_told_with_its_program(code: int) -> None:
    found = refused(
        access(Operation.READ, f"{HOME}/.ssh/id_rsa", outcome=code),
        access(Operation.CONNECT, "/run/agent", outcome=code, program=2),
        access(Operation.READ, f"{HOME}/.netrc", outcome=code),  # made since, or closed by its own mode
        access(Operation.READ, "/etc/hosts", outcome=code),
    )
    told = {use.path: (use.reason, use.rights, use.programs, use.granted, use.refused) for use in found.sensitive}
    assert told == {
        f"{HOME}/.ssh/id_rsa": ("SSH keys", Right.READ, ("vibe",), False, True),
        "/run/agent": ("SSH agent", Right.CONNECT, ("git",), False, True),
        f"{HOME}/.netrc": ("passwords", Right.READ, ("vibe",), False, True),
    }
    assert found.policy.grants == ()


def test_without_a_floor_a_refusal_is_the_machines_own() -> None:
    assert refused(access(Operation.READ, f"{HOME}/.ssh/id_rsa", outcome=errno.EACCES), masked={}).sensitive == ()


def test_a_probe_is_told_of_nothing() -> None:
    assert refused(access(Operation.READ, f"{HOME}/.ssh/id_rsa", outcome=errno.ENOENT)).sensitive == ()
    assert attempted(access(Operation.READ, "/x", outcome=errno.ENOENT)) == ()
    assert attempted(access(Operation.READ, "/x")) == ()


def test_what_was_used_in_another_run_was_not_only_tried() -> None:
    key = f"{HOME}/.ssh/id_rsa"
    found = refused(access(Operation.READ, key, outcome=errno.EACCES), access(Operation.READ, key, program=2))
    [use] = found.sensitive
    assert (use.programs, use.refused) == (("git", "vibe"), False)


def test_a_refused_object_is_granted_if_the_user_says_so() -> None:
    key = f"{HOME}/.ssh/id_rsa"
    found = refused(access(Operation.READ, key, outcome=errno.EACCES), allowed=frozenset({key}))
    assert [(g.path, g.scope, g.rights) for g in found.policy.grants] == [(key, Scope.FILE, Right.READ)]
    assert [use.granted for use in found.sensitive] == [True]


def test_a_trace_keeps_what_was_masked(scratch: Path) -> None:
    masked = ((f"{HOME}/.ssh\udcff", "SSH keys"), ("/etc/shadow", "password hashes"))
    header = msgspec.structs.replace(HEADER, masked=masked)
    trace = Trace(header, PROGRAMS, (), {}, {}, None)
    file = scratch / "t.jsonl"
    file.write_bytes(encode_trace(trace))
    assert read_trace(file).header.masked == masked
    other = msgspec.structs.replace(trace, header=msgspec.structs.replace(HEADER, started=9.0))
    assert merge([other, trace]).header.masked == tuple(sorted(masked))
    moved = rebase(trace, Variables("/home/bob/x", "/home/bob"))
    assert dict(moved.header.masked) == {"/home/bob/.ssh\udcff": "SSH keys", "/etc/shadow": "password hashes"}
