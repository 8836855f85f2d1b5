"""Which hosts and ports a policy lets a program reach, by name. Pure."""

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping

from learner.errors import InputFileError
from learner.gaps import Gap
from learner.jail import dns
from learner.jail.groups import GROUPS, PREFIX
from learner.names import to_text
from learner.policy import NetworkAction, NetworkGrant, Policy
from tracers.events import Transport

LOOPBACK = ("127.0.0.1", "::1")
MAX_NAME = 253
"""Characters of a host name without its final dot (RFC 1035, 3.1)."""

_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_MEND = "write a host name, *.NAME, group:NAME or an address"


def literal(host: str) -> str | None:
    """The canonical text of an IP address; None if ``host`` is none. IPv4 written as IPv6 is IPv4."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)


def host_name(text: str) -> str | None:
    """A host name in lower case without its final dot; None if ``text`` is none. Underscores pass (service names)."""
    if not text.isascii():
        try:
            text = text.encode("idna").decode()
        except UnicodeError:
            return None
    name = text.lower().removesuffix(".")
    if not name or len(name) > MAX_NAME or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        return None
    if name.rpartition(".")[2].isdigit():  # 127.1 and 2130706433 are addresses to the C library (inet_aton(3))
        return None
    return name


def is_name(host: str) -> bool:
    """Whether the host of a grant is meant by name: a name, a pattern or a group."""
    return literal(host) is None


def needs_names(policy: Policy) -> bool:
    """Whether a policy grants a host by name, which takes more than Landlock."""
    return any(n.action is NetworkAction.CONNECT and not n.abstract and is_name(n.host) for n in policy.network)


class Rules:
    """The TCP connections that are allowed. ``learning``: all of them."""

    def __init__(self, grants: Iterable[tuple[str, int]] = (), *, learning: bool = False) -> None:
        """``grants``: (host, port), the host as in a grant. Raises InputFileError for one that is no host."""
        self.learning = learning
        self._names: set[tuple[str, int]] = set()
        self._beneath: set[tuple[str, int]] = set()
        self._literals: set[tuple[str, int]] = set()
        for host, port in grants:
            for one in _members(host):
                self._add(one, port)
        self._known = {name for name, _ in self._names}
        self._parents = {name for name, _ in self._beneath}

    @classmethod
    def of(cls, policy: Policy, *, learning: bool = False) -> "Rules":
        """The rules of a policy. Raises InputFileError for a host that is none."""
        return cls(((n.host, n.port) for n in policy.network if _is_outgoing(n)), learning=learning)

    def _add(self, host: str, port: int) -> None:
        address = literal(host)
        if address is not None:
            self._literals.add((address, port))
        elif host == "localhost":
            self._literals.update((address, port) for address in LOOPBACK)
        elif host == "*":
            self._beneath.add(("", port))
        else:
            name = host_name(host.removeprefix("*."))
            if name is None:
                raise InputFileError(f"network grant: {to_text(host)} is no host", _MEND)
            (self._beneath if host.startswith("*.") else self._names).add((name, port))

    def allows_name(self, name: str) -> bool:
        """Whether any port of the host ``name`` (canonical) is allowed, so that asking for it is."""
        if self.learning or name in self._known:
            return True
        return not self._parents.isdisjoint(_above(name))

    def allows(self, host: str, port: int) -> bool:
        """Whether (host, port) may be dialled: ``host`` is a canonical name or address."""
        if self.learning or (host, port) in self._literals:
            return True
        if literal(host) is not None:
            return False
        return (host, port) in self._names or any((parent, port) in self._beneath for parent in _above(host))

    def loopback(self) -> tuple[tuple[str, int], ...]:
        """The host's own services that are granted: (127.0.0.1 or ::1 or alike, port), sorted."""
        return tuple(sorted((a, p) for a, p in self._literals if ipaddress.ip_address(a).is_loopback))

    def names(self) -> tuple[str, ...]:
        """Host names that are granted exactly, sorted."""
        return tuple(sorted(self._known))


def _above(name: str) -> Iterator[str]:
    """The domains that ``name`` lies in, and ``""`` for all."""
    while name:
        name = name.partition(".")[2]
        yield name


def _members(host: str) -> tuple[str, ...]:
    if not host.startswith(PREFIX):
        return (host,)
    group = host.removeprefix(PREFIX)
    if group not in GROUPS:
        raise InputFileError(
            f"network grant: there is no group {to_text(group)}", f"the groups are {', '.join(sorted(GROUPS))}"
        )
    return GROUPS[group]


def _is_outgoing(grant: NetworkGrant) -> bool:
    return grant.action is NetworkAction.CONNECT and grant.transport is Transport.TCP and not grant.abstract


def own_ports(policy: Policy) -> frozenset[int]:
    """Ports on which the program itself listens: what it connects to there is its own server, inside the jail."""
    return frozenset(n.port for n in policy.network if n.action is NetworkAction.BIND and not n.abstract)


def gaps(policy: Policy) -> tuple[Gap, ...]:
    """What a jail refuses although ``policy`` grants it, and what it cannot tell apart; sorted."""
    found = set()
    for grant in policy.network:
        if grant.abstract:
            found.add(Gap("abstract sockets", "granted, but a network namespace of its own has none but its own"))
        elif grant.action is NetworkAction.BIND:
            found.add(Gap("servers", "what listens in the jail is reached from inside it only, not from this machine"))
        elif grant.transport is not Transport.TCP and grant.port != dns.PORT:
            found.add(Gap("granted UDP", "the jail carries TCP and its own DNS: programs fall back from QUIC to TCP"))
    if needs_names(policy):
        found.add(Gap("shared servers", "a server behind a granted name may answer for other names, too (fronting)"))
    return tuple(sorted(found))


def reversed_hosts(text: str) -> Mapping[str, tuple[str, ...]]:
    """Address to names of a hosts(5) file: the C library uses it before DNS, so the filter sees the address alone."""
    found: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *names = line.partition("#")[0].split() or [""]
        known = literal(address)
        if known is not None:
            found[known] = found.get(known, ()) + tuple(n for name in names if (n := host_name(name)))
    return found
