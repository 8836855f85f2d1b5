"""A policy as sandboxes see it that only tell reading from writing, and whole directories from single files. Pure."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from learner.gaps import Gap
from learner.jail.groups import GROUPS, PREFIX
from learner.jail.rules import LOOPBACK, host_name, literal
from learner.links import walk
from learner.names import to_text
from learner.policy import CHANGES, DIRECTORY_RIGHTS, NO_RIGHT, Grant, NetworkAction, NetworkGrant, Right, Scope
from learner.words import endpoint, place
from tracers.events import Transport

LOOK = Right.READ | Right.LIST | Right.EXEC
"""What reading is to such a sandbox: on a tree all of it, on a file all that a file has."""


class Opening(NamedTuple):
    """What is opened: an absolute path, and how. ``connect``: unix sockets there may be reached."""

    path: str
    scope: Scope
    read: bool
    write: bool
    connect: bool = False


def openings(grants: Iterable[Grant]) -> tuple[tuple[Opening, ...], tuple[Opening, ...]]:
    """(what ``grants`` open, sorted; the single directories among it, which no such sandbox knows apart from trees)."""
    together: dict[tuple[str, Scope], Right] = {}
    for grant in grants:
        key = (grant.path, grant.scope)
        together[key] = together.get(key, NO_RIGHT) | grant.rights
    found, single = [], []
    for (path, scope), rights in sorted(together.items()):
        changes = rights & CHANGES & ~Right.ATTRIBUTES
        opening = Opening(path, scope, bool(rights & LOOK), bool(changes), Right.CONNECT in rights)
        if scope is Scope.FILE and rights & DIRECTORY_RIGHTS:
            single.append(opening)
        elif any(opening[2:]):
            found.append(opening)
    return tuple(found), tuple(single)


def left_out(single: Iterable[Opening]) -> tuple[Gap, ...]:
    """The gaps for single directories."""
    reason = "a grant on a directory opens all beneath it: left out (grant its tree, if that is meant)"
    return tuple(Gap(f"single directory {to_text(one.path)}", reason) for one in single)


def given(grants: Iterable[Grant]) -> Mapping[tuple[str, Scope], Right]:
    """The rights that a coarse sandbox gives where ``grants`` are written for it: all that reading or writing is."""
    found: dict[tuple[str, Scope], Right] = {}
    for one in openings(grants)[0]:
        whole = rights(one.scope, read=one.read, write=one.write)
        found[one.path, one.scope] = whole | (Right.CONNECT if one.connect else NO_RIGHT)
    return found


def rights(scope: Scope, *, read: bool, write: bool) -> Right:
    """All that reading and writing are on a file or a tree."""
    whole = (LOOK if read else NO_RIGHT) | (CHANGES if write else NO_RIGHT)
    return whole if scope is Scope.TREE else whole & ~DIRECTORY_RIGHTS


def resolve(path: str, links: Mapping[str, str]) -> str:
    """``path`` with the symlinks among ``links`` (link: text) followed; "" for a loop."""
    found = walk(path, links.get)
    return "" if found.loops else found.end


class Outgoing(NamedTuple):
    """TCP that may be reached or served. Sorted.

    ``names``: (host name or ``*.NAME``, port); ``addresses``: (canonical address, port); ``anywhere``: ports that may
    be reached on every host; ``listen``: ports, 0 for one of the ephemeral range. ``everything``: no limit at all.
    """

    names: tuple[tuple[str, int], ...] = ()
    addresses: tuple[tuple[str, int], ...] = ()
    anywhere: tuple[int, ...] = ()
    listen: tuple[int, ...] = ()
    everything: bool = False
    gaps: tuple[Gap, ...] = ()


def outgoing(network: Iterable[NetworkGrant]) -> Outgoing:
    """What ``network`` grants of TCP; hosts that are none are left out, with a gap for each."""
    names: set[tuple[str, int]] = set()
    addresses: set[tuple[str, int]] = set()
    anywhere: set[int] = set()
    listen: set[int] = set()
    everything = False
    gaps: set[Gap] = set()
    for grant in network:
        if grant.abstract or grant.transport is not Transport.TCP:
            continue
        if grant.action is NetworkAction.BIND:
            listen.add(grant.port)
        elif grant.anywhere:
            everything = True
        elif grant.host == "*":
            anywhere.add(grant.port)
        else:
            for host in (
                GROUPS.get(grant.host.removeprefix(PREFIX), ()) if grant.host.startswith(PREFIX) else (grant.host,)
            ):
                _sort(host, grant, names, addresses, gaps)
    return Outgoing(
        tuple(sorted(names)),
        tuple(sorted(addresses)),
        tuple(sorted(anywhere)),
        tuple(sorted(listen)),
        everything,
        tuple(sorted(gaps)),
    )


def _sort(
    host: str, grant: NetworkGrant, names: set[tuple[str, int]], addresses: set[tuple[str, int]], gaps: set[Gap]
) -> None:
    address, name = literal(host), host_name(host.removeprefix("*."))
    if address is not None:
        addresses.add((address, grant.port))
    elif host == "localhost":
        addresses.update((each, grant.port) for each in LOOPBACK)
    elif name is not None:
        names.add(("*." + name if host.startswith("*.") else name, grant.port))
    else:
        gaps.add(Gap(f"left out: {endpoint(grant)}", "it is neither an address nor the name of a host"))


def smallest(grants: Iterable[Grant]) -> tuple[tuple[Opening, ...], tuple[str, ...]]:
    """(the smallest openings that admit ``grants``, a sentence for each that opens more than was asked).

    For a fix: there what was asked for is worth nothing unless it works.
    """
    found, single = openings(grants)
    trees = tuple(one._replace(scope=Scope.TREE) for one in single if any(one[2:]))
    by_path = {grant.path: grant for grant in grants}
    words = [
        f"this opens everything beneath {to_text(one.path)}, since no smaller grant can say {place(by_path[one.path])}"
        for one in trees
    ]
    return tuple(sorted({*found, *trees})), tuple(words)
