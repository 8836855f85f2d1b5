"""``sbx why`` against the kernel: what it says of a policy is what the enforcer does, or a gap tells the difference."""

import contextlib
import os
import random
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from capability import require

from learner.asking import ask
from learner.enforcers.bubblewrap import find_bwrap
from learner.enforcers.choice import EnforcerName, choose, layered_obstacle, namespace_obstacle
from learner.explain import OPERATIONS, explain_endpoint
from learner.policy import NO_RIGHT, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.proof import Claim, Verdict, of_endpoint, prove
from learner.resolver import Resolver
from tracers.events import Operation, Transport

pytestmark = pytest.mark.kernel

QUERIES = int(os.environ.get("SBX_TEST_WHY_QUERIES", "2000"))
"""For each enforcer."""
_A_WORLD = 100
_NAMES = ("a", "b", ".env", ".ssh", "id_ed25519", "x y", "new\nline", "\udcff", "-o", "*")
_SYSTEM = (
    "/",
    "/etc",
    "/etc/passwd",
    "/usr/bin/env",
    "/usr",
    "/dev/null",
    "/dev/tty",
    "/dev",
    "/proc/self/status",
    "/tmp",
)
_PORTS = tuple(range(21300, 21306))
_HOSTS = ("127.0.0.1", "::1", "10.9.8.7", "api.example.org")


class World:
    """A small random tree beneath ``top``: directories, files, scripts, links of all sorts, sockets, pipes."""

    def __init__(self, top: Path, chance: random.Random) -> None:
        self.top = str(top)
        self.chance = chance
        self.names: list[str] = [self.top]
        self.directories = [self.top]
        self._sockets: list[socket.socket] = []
        for _ in range(chance.randint(4, 25)):
            self._add(os.path.join(chance.choice(self.directories), chance.choice(_NAMES)))

    def _add(self, path: str) -> None:
        if os.path.lexists(path):
            return
        kind = self.chance.choice(
            ("directory", "directory", "file", "file", "script", "link", "link", "socket", "pipe")
        )
        if kind == "directory":
            os.mkdir(path)
            self.directories.append(path)
        elif kind == "link":
            others = [*self.names, self.top + "/gone", "..", os.path.basename(path)]
            target = self.chance.choice(others)
            os.symlink(os.path.relpath(target, os.path.dirname(path)) if self.chance.random() < 0.5 else target, path)
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            if len(os.fsencode(path)) >= 100:
                return
            made = socket.socket(socket.AF_UNIX)
            made.bind(path)
            made.listen()
            self._sockets.append(made)
        else:
            Path(path).write_text("#!/bin/sh\n" if kind == "script" else "x")
            os.chmod(path, self.chance.choice((0o644, 0o755, 0o755)))
        self.names.append(path)

    def close(self) -> None:
        for each in self._sockets:
            each.close()

    def somewhere(self) -> str:
        choice = self.chance.random()
        if choice < 0.12:
            return self.chance.choice(_SYSTEM)
        path = self.chance.choice(self.names)
        if choice < 0.25:
            path = os.path.join(path, self.chance.choice(("new", "..", "a", "../b", "")))
        return path

    def policy(self) -> Policy:
        rights = list(Right)
        grants = []
        for _ in range(self.chance.randint(0, 8)):
            path = os.path.realpath(self.somewhere())
            if path in ("/", "/dev", "/tmp") or path.startswith("/proc"):
                continue
            some = NO_RIGHT
            for right in self.chance.sample(rights, self.chance.choice((1, 1, 2, 4, len(rights)))):
                some |= right
            grants.append(Grant(path, self.chance.choice(tuple(Scope)), some, ()))
        links = [name for name in self.names if os.path.islink(name) and self.chance.random() < 0.5]
        network = [self.endpoint() for _ in range(self.chance.choice((0, 0, 1, 3)))]
        return Policy(tuple(grants), tuple(network), tuple(sorted(links)))

    def endpoint(self) -> NetworkGrant:
        action = self.chance.choice(tuple(NetworkAction))
        host = self.chance.choice(_HOSTS[:2] if action is NetworkAction.BIND else _HOSTS)
        transport = self.chance.choice((Transport.TCP, Transport.TCP, Transport.TCP, Transport.UDP))
        return NetworkGrant(action, host, self.chance.choice((*_PORTS, 0)), transport, ())

    def question(self, policy: Policy, resolver: Resolver) -> tuple[Claim, ...]:
        if self.chance.random() < 0.15:
            end = (
                self.chance.choice(policy.network) if policy.network and self.chance.random() < 0.3 else self.endpoint()
            )
            return (of_endpoint(explain_endpoint(policy, end.action, end.host, end.port, end.transport)),)
        operation = self.chance.choice((*OPERATIONS, Operation.READ, Operation.WRITE, Operation.EXEC, None))
        return ask(policy, self.somewhere(), operation, resolver).claims


@pytest.fixture(params=["landlock", "layered", "bubblewrap"])
def enforcer(request: pytest.FixtureRequest) -> Iterator[EnforcerName]:
    if request.param == "layered":
        require(not layered_obstacle(), layered_obstacle())
    if request.param == "bubblewrap":
        require(find_bwrap(), "bubblewrap is not installed")
        require(not namespace_obstacle(), namespace_obstacle())
    yield EnforcerName(request.param)


def test_it_never_disagrees_with_enforcement(enforcer: EnforcerName, scratch: Path) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    seen: Counter[Verdict] = Counter()
    asked = number = 0
    while asked < QUERIES:
        top = scratch / f"w{number}"
        number += 1
        top.mkdir()
        world = World(top, chance)
        with contextlib.closing(world):
            policy = world.policy()
            resolver = Resolver()
            claims = [claim for _ in range(_A_WORLD) for claim in world.question(policy, resolver)]
            before = listing(top)
            proofs = prove(claims, policy, choose(enforcer).enforcer)
            assert listing(top) == before
        asked += _A_WORLD
        disputed = [proof for proof in proofs if proof.verdict is Verdict.DISPUTED]
        assert not disputed, (seed, number, disputed[0], policy)
        seen.update(proof.verdict for proof in proofs)
    assert seen[Verdict.AGREED] > 0.4 * sum(seen.values()), seen


def listing(top: Path) -> list[tuple[str, int, int, bytes]]:
    """Everything beneath ``top`` with its mode, size and content: nothing of it may have been changed."""
    found = []
    for directory, names, files in os.walk(os.fsencode(top)):
        for name in sorted((*names, *files)):
            path = os.path.join(directory, name)
            state = os.lstat(path)
            content = b""
            if os.path.isfile(path) and not os.path.islink(path):
                with open(path, "rb") as file:
                    content = file.read()
            found.append((os.fsdecode(path), state.st_mode, state.st_size if content else 0, content))
    return sorted(found)
