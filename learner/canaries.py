"""Canaries: accesses that the policy does not grant, and that must therefore be refused.

Each has an unconfined control. One whose control fails proves nothing and is *void*; one that succeeds under
confinement is *through*: a gap if the enforcer says that it cannot hold it, a failure otherwise.
"""

import contextlib
import enum
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from learner import probe
from learner.enforcers.enforcer import Enforcer
from learner.names import to_text
from learner.places import Map, ancestors
from learner.policy import DIRECTORY_RIGHTS, NO_RIGHT, NetworkAction, Policy, Right, Scope
from learner.probe import Act, Probe
from learner.sensitive import CATALOGUE
from tracers.events import Transport


class Verdict(enum.StrEnum):
    """What came of a canary."""

    REFUSED = "refused"
    THROUGH = "through"
    VOID = "void"


class Canary(NamedTuple):
    """Something that must be refused. ``right`` is what it would take, NO_RIGHT if no grant could give it."""

    name: str
    probe: Probe
    right: Right
    gap: str = ""
    """The gap (:class:`learner.gaps.Gap` item) under which the enforcer may let it through."""


class Outcome(NamedTuple):
    """``known`` tells whether a canary that got through is one that the enforcer says it cannot hold."""

    canary: Canary
    verdict: Verdict
    known: bool

    def __str__(self) -> str:
        return f"{self.canary.name} ({self.canary.probe.act} {to_text(self.canary.probe.path)})"


def check(policy: Policy, places: Map, enforcer: Enforcer) -> tuple[Outcome, ...]:
    """Release every canary under ``enforcer``. Raises :class:`learner.probe.NoAnswer`, MachineError."""
    with _cage(places) as found:
        canaries = [_below_a_single_directory(c, policy) for c in found if not _granted(c, policy)]
        probes = [c.probe for c in canaries]
        controls = probe.run(probes, None)
        confinement = enforcer.prepare(policy)
        gaps = {gap.item for gap in confinement.gaps}
        try:
            confined = probe.run(probes, confinement)
        finally:
            confinement.close()
    outcomes = []
    for canary, control, code in zip(canaries, controls, confined, strict=True):
        if control != 0:
            verdict = Verdict.VOID
        elif code == 0:
            verdict = Verdict.THROUGH
        else:
            verdict = Verdict.REFUSED
        outcomes.append(Outcome(canary, verdict, canary.gap in gaps))
    return tuple(outcomes)


def _granted(canary: Canary, policy: Policy) -> bool:
    if canary.right:
        return bool(policy.rights_on(canary.probe.path) & canary.right)
    if canary.probe.act is Act.CONNECT_TCP:
        return any(
            n.action is NetworkAction.CONNECT and n.transport is Transport.TCP and n.port in (canary.probe.number, 0)
            for n in policy.network
            if not n.abstract
        )
    return canary.probe.act is Act.CONNECT_ABSTRACT and any(n.abstract for n in policy.network)


def _below_a_single_directory(canary: Canary, policy: Policy) -> Canary:
    """Name the gap for what lies beneath a directory whose own right is granted: some enforcers reach further down."""
    if canary.gap or not canary.right & DIRECTORY_RIGHTS:
        return canary
    alone = {g.path for g in policy.grants if g.scope is Scope.FILE and g.rights & canary.right}
    return canary if alone.isdisjoint(ancestors(canary.probe.path)) else canary._replace(gap="single directories")


@contextmanager
def _cage(places: Map) -> Iterator[list[Canary]]:
    """The canaries of this machine, with the files and listeners that they need; all removed afterwards."""
    with contextlib.ExitStack() as stack:
        canaries = [*_secrets(places.home), *_outside(places)]
        for directory, name in (
            (places.home, "a file in the home directory"),
            (os.path.dirname(places.project), "another project"),
        ):
            planted = stack.enter_context(_planted(directory))
            if planted:
                canaries.append(Canary(f"read {name}", Probe(Act.READ, f"{planted}/secret"), Right.READ))
                canaries.append(Canary(f"list {name}", Probe(Act.LIST, planted), Right.LIST))
                canaries.append(Canary(f"overwrite {name}", Probe(Act.WRITE, f"{planted}/secret"), Right.WRITE))
                canaries.append(Canary(f"stat {name}", Probe(Act.STAT, f"{planted}/secret"), NO_RIGHT, gap="metadata"))
        canaries += stack.enter_context(_listeners())
        canaries.append(
            Canary(
                "signal a process outside",
                Probe(Act.SIGNAL, "", os.getpid()),
                NO_RIGHT,
                "abstract unix sockets and signals",
            )
        )
        yield canaries


def _secrets(home: str) -> list[Canary]:
    """The sensitive places that exist here, taken from the catalogue where a pattern names one place."""
    found = []
    for entry in CATALOGUE:
        pattern = entry.pattern.removesuffix("/**")
        if "*" in pattern or not pattern.startswith(("~/", "/etc/")):
            continue
        path = os.path.realpath(pattern.replace("~", home, 1) if pattern.startswith("~/") else pattern)
        if os.path.isdir(path):
            found.append(Canary(entry.reason, Probe(Act.LIST, path), Right.LIST))
        elif os.path.isfile(path):
            found.append(Canary(entry.reason, Probe(Act.READ, path), Right.READ))
    return found


def _outside(places: Map) -> list[Canary]:
    """Making something in directories that are not the program's."""
    directories = [places.home, "/etc", "/tmp", "/usr/bin", os.path.dirname(places.project)]  # noqa: S108
    return [
        Canary(f"make a file in {to_text(d)}", Probe(Act.CREATE, d), Right.CREATE)
        for d in dict.fromkeys(directories)
        if os.path.isdir(d)
    ]


@contextmanager
def _planted(directory: str) -> Iterator[str | None]:
    """A directory of our own beside other people's, holding one file; None where we may not make it."""
    place = f"{directory}/{probe.NAME}canary-{secrets.token_hex(6)}"
    try:
        try:
            os.mkdir(place, 0o700)
            with open(f"{place}/secret", "w") as file:
                file.write("not for the program\n")
            made = True
        except OSError:
            made = False
        yield place if made else None
    finally:
        with contextlib.suppress(OSError):
            os.unlink(f"{place}/secret")
        with contextlib.suppress(OSError):
            os.rmdir(place)


@contextmanager
def _listeners() -> Iterator[list[Canary]]:
    """Services of our own on loopback, to be reached by what is not granted."""
    name = f"sbx-canary-{secrets.token_hex(6)}"
    with (
        socket.socket(socket.AF_INET) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
        socket.socket(socket.AF_UNIX) as abstract,
        socket.socket(socket.AF_UNIX) as by_path,
    ):
        found = []
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        port = tcp.getsockname()[1]
        found.append(
            Canary(
                "TCP to a port that is not granted",
                Probe(Act.CONNECT_TCP, "127.0.0.1", port),
                NO_RIGHT,
                "TCP",
            )
        )
        udp.bind(("127.0.0.1", 0))
        found.append(
            Canary(
                "UDP to a port that is not granted",
                Probe(Act.SEND_UDP, "127.0.0.1", udp.getsockname()[1]),
                NO_RIGHT,
                "UDP",
            )
        )
        if sys.platform == "linux":
            abstract.bind("\0" + name)
            abstract.listen()
            found.append(
                Canary(
                    "an abstract unix socket outside",
                    Probe(Act.CONNECT_ABSTRACT, name),
                    NO_RIGHT,
                    "abstract unix sockets and signals",
                )
            )
        place = f"/tmp/{probe.NAME}{secrets.token_hex(6)}.sock"  # noqa: S108 - a random name
        if _listen_at(by_path, place):
            found.append(
                Canary(
                    "a unix socket outside",
                    Probe(Act.CONNECT_UNIX, place),
                    Right.CONNECT,
                    gap="unix sockets by path",
                )
            )
        try:
            yield found
        finally:
            with contextlib.suppress(OSError):
                os.unlink(place)


def _listen_at(listener: socket.socket, place: str) -> bool:
    """Listen on a path, for this user only; False where no socket may be made."""
    before = os.umask(0o177)
    try:
        listener.bind(place)
        listener.listen()
    except OSError:
        return False
    finally:
        os.umask(before)
    return True
