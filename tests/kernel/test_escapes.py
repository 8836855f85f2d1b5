"""Escapes under the real enforcer, and under one that holds nothing."""

import ctypes
import glob
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from capability import require
from children import area_of, in_child
from escaping import EVERYTHING, OURS, SYSTEM, Nothing, leftovers, let_loose, objects, sleepers

from learner.enforcers.landlock import LandlockEnforcer, abi
from learner.errors import MachineError
from learner.escapes.escape import Family, Who
from learner.escapes.outcome import Verdict
from learner.escapes.release import release
from learner.escapes.table import TABLE
from learner.places import Map
from learner.policy import NetworkAction, NetworkGrant, Policy
from tracers.events import Transport

pytestmark = pytest.mark.kernel


@pytest.fixture
def places(user: int) -> Iterator[Map]:
    with area_of(user) as top:

        def fill() -> None:
            os.makedirs(f"{top}/home/work/engine")
            Path(top, "home/.bashrc").write_text("# mine\n")

        in_child(fill, user)
        yield Map(f"{top}/home/work/engine", f"{top}/home")


@pytest.fixture
def mine() -> Iterator[Map]:
    with area_of(os.getuid()) as top:
        os.makedirs(f"{top}/home/work")
        yield Map(f"{top}/home/work", f"{top}/home")


@pytest.fixture(autouse=True)
def _marked_names(monkeypatch: pytest.MonkeyPatch) -> None:
    real = secrets.token_hex
    monkeypatch.setattr(secrets, "token_hex", lambda size: OURS + real(size) if size == 6 else real(size))


ALWAYS_REFUSED = {
    "read a file",
    "empty a file by opening it (O_TRUNC)",
    "a symlink out of a granted directory",
    ".. out of a granted directory",
    "a hard link into a granted directory",
    "rename out of a granted directory",
    "/proc/self/root",
    "/proc/PID/root of a process outside",
    "/proc/PID/environ of a process outside",
    "/proc/PID/environ of the process that started it",
    "ptrace a process outside",
    "execute a program that is not granted",
    "bind what is not granted on what is",
    "write where only reading is granted, after a remount",
    "POSIX shared memory (/dev/shm)",
}


def test_landlock_holds_or_says_so(places: Map, user: int) -> None:
    before, processes = objects(), sleepers()
    started = time.monotonic()
    found, changed = let_loose(places, user)
    assert time.monotonic() - started < 5
    failed = {name: detail for name, (verdict, detail) in found.items() if verdict == "FAILED"}
    assert failed == {}
    assert changed == []
    assert {found[name][0] for name in ALWAYS_REFUSED} == {"REFUSED"}
    assert sum(verdict != "VOID" for verdict, _ in found.values()) >= 45
    assert all(detail for _, detail in found.values())
    if abi() >= 4:
        assert found["TCP to a port that is not granted"] == ("REFUSED", "EACCES")
    if abi() >= 6:
        assert found["signal a process outside"] == ("REFUSED", "EPERM")
    assert leftovers(places) == []
    assert objects() == before
    assert sleepers() <= processes
    assert Path(places.home, ".bashrc").read_text() == "# mine\n"


def test_an_empty_policy_is_held_too(places: Map, user: int) -> None:
    found, changed = let_loose(places, user, Policy())
    assert {name: detail for name, (verdict, detail) in found.items() if verdict == "FAILED"} == {}
    assert changed == []


def test_nothing_is_refused_by_an_enforcer_of_nothing(places: Map, user: int) -> None:
    before = objects()
    found, _ = let_loose(places, user, enforcer=Nothing())
    assert {name for name, (verdict, _) in found.items() if verdict in ("REFUSED", "GAP")} == set()
    through = [name for name, (verdict, detail) in found.items() if verdict == "FAILED" and "got through" in detail]
    assert len(through) >= 45
    assert leftovers(places) == []
    assert objects() == before


def test_what_an_enforcer_says_is_a_stated_gap(places: Map, user: int) -> None:
    found, _ = let_loose(places, user, enforcer=Nothing("metadata", "UDP"))
    stated = {name: detail for name, (verdict, detail) in found.items() if verdict == "GAP"}
    assert stated["stat a file"] == "metadata"
    assert stated["UDP to a port that is not granted"] == "UDP"
    assert set(stated.values()) == {"metadata", "UDP"}
    assert found["read a file"][0] == "FAILED"


def test_where_everything_is_granted_there_is_nothing_to_try(places: Map, user: int) -> None:
    def work() -> object:
        with pytest.raises(MachineError, match="everything that you may write is granted"):
            release(EVERYTHING, places, LandlockEnforcer())
        return "raised"

    assert in_child(work, user) == "raised"


def test_what_is_granted_is_void(places: Map, user: int) -> None:
    anywhere = NetworkGrant(NetworkAction.CONNECT, "*", 0, Transport.TCP, ())
    found, _ = let_loose(places, user, Policy(SYSTEM.grants, (anywhere,)))
    for name in ("TCP to a port that is not granted", "TCP over IPv6", "TCP by Fast Open"):
        assert found[name] == ("VOID", "the policy grants it")


def test_a_granted_port_on_another_host_is_a_stated_gap(places: Map, user: int) -> None:
    require(abi() >= 4, "Landlock sees TCP from ABI 4 on")
    here = NetworkGrant(NetworkAction.CONNECT, "198.51.100.1", 443, Transport.TCP, ())
    found, _ = let_loose(places, user, Policy(SYSTEM.grants, (here,)))
    assert found["TCP to a host that is not granted, by its address"] == ("GAP", "hosts")
    assert found["the clouds' metadata service (169.254.169.254)"] == ("REFUSED", "EACCES")


def test_who_tries_what(places: Map, user: int) -> None:
    found, _ = let_loose(places, user, enforcer=Nothing())
    other = Who.USER if user == 0 else Who.ROOT
    assert not [e.name for e in TABLE if e.who is other and e.name in found]
    assert len(found) == sum(e.who is not other for e in TABLE)


def test_no_packet_leaves_the_machine() -> None:
    """Tried in a network whose default route leads to an interface that counts what is sent."""
    require(os.getuid() == 0 and shutil.which("ip"), "needs root and ip(8), for an interface of its own")

    def sent() -> int:
        lines = [line.split(":") for line in Path("/proc/net/dev").read_text().splitlines()[2:]]
        return sum(int(counts.split()[9]) for name, counts in lines if name.strip() == "way-out")

    def work() -> object:
        ctypes.CDLL(None).unshare(0x40000000)  # CLONE_NEWNET
        for words in (
            "link set lo up",
            "link add way-out type veth peer name far",
            "link set way-out arp off",
            "link set way-out up",
            "link set far up",
            "address add 10.9.9.1/24 dev way-out",
            "neighbour add 10.9.9.2 lladdr 02:00:00:00:00:01 dev way-out",
            "route add default via 10.9.9.2",
        ):
            subprocess.run(["ip", *words.split()], check=True)
            for setting in glob.glob("/proc/sys/net/ipv6/conf/*/disable_ipv6"):  # the kernel's own words, on each
                if not setting.endswith(("/lo/disable_ipv6", "/all/disable_ipv6", "/default/disable_ipv6")):
                    Path(setting).write_text("1")
        with area_of(os.getuid()) as top:
            os.makedirs(f"{top}/home/work")
            before = sent()
            found = release(SYSTEM, Map(f"{top}/home/work", f"{top}/home"), Nothing())
            network = [t for t in found.tried if t.escape.family is Family.NETWORK]
            by_suite = sent() - before
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.sendto(b"x", ("169.254.169.254", 80))
        return [by_suite, sent() - before - by_suite, [t.escape.name for t in network if t.verdict is Verdict.VOID]]

    by_suite, control, void = in_child(work)
    assert control == 1
    assert by_suite == 0
    assert void == []


# --- sbx verify --all


def test_from_the_command_line(mine: Map) -> None:
    places = mine
    environment = {
        **os.environ,
        "HOME": places.home,
        "XDG_CONFIG_HOME": f"{places.home}/c",
        "XDG_STATE_HOME": f"{places.home}/s",
    }

    def sbx(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "learner", *words],
            cwd=places.project,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    learned = sbx("learn", "-n", "t", "--", "/bin/sh", "-c", "echo a > note; cat note")
    assert learned.returncode == 0, learned.stderr
    assert "escapes" not in learned.stderr
    done = sbx("verify", "--all", "--json", "-", "t")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["verify"]["escapes"]
    assert found["verdicts"]["failed"] == 0
    assert sum(found["verdicts"].values()) == len(found["tried"]) >= 45
    assert found["changed"] == []
    assert {"escape", "family", "verdict", "detail"} == set(found["tried"][0])
    assert "together" in done.stderr
    for family in Family:
        assert family in done.stderr
    assert json.loads(sbx("verify", "--json", "-", "t").stdout)["verify"]["escapes"] is None
