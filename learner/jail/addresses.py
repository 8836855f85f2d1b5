"""The made-up addresses by which a jailed program reaches names, and who its name servers are."""

import ipaddress

from learner.jail.dns import Code, Question, Type, encode_name, failure, found
from learner.jail.rules import Rules, literal

NETWORK = ipaddress.IPv4Network("198.18.0.0/15")
"""Set apart for benchmarks (RFC 2544, RFC 6890): never on the Internet, and seldom in anybody's own network."""

OWN = NETWORK[1]
"""The jail's own address, from which its connections come."""


class Names:
    """Gives each name an address, the same one each time."""

    def __init__(self, capacity: int = NETWORK.num_addresses - 3) -> None:
        self._capacity = capacity
        self._addresses: dict[str, str] = {}
        self._names: dict[str, str] = {}

    def address(self, name: str) -> str | None:
        """The address of ``name``; None when there are no more."""
        known = self._addresses.get(name)
        if known is None and len(self._addresses) < self._capacity:
            known = str(NETWORK[len(self._addresses) + 2])
            self._addresses[name] = known
            self._names[known] = name
        return known

    def name(self, address: str) -> str | None:
        """The name that ``address`` was given to."""
        return self._names.get(address)

    def all(self) -> dict[str, str]:
        """Address to name, in the order of asking."""
        return dict(self._names)


def service_host(name: str) -> str:
    """The host that ``_service._proto.HOST`` (RFC 2782) asks about."""
    while name.startswith("_") and "." in name:
        name = name.partition(".")[2]
    return name


def answer(question: Question, rules: Rules, names: Names) -> tuple[bytes, bool]:
    """The answer to a question, and whether it was allowed. Nothing is forwarded: records other than A are empty."""
    if question.type == Type.PTR:
        known = names.name(_reverse(question.name))
        if known:
            return found(question, encode_name(known)), True
        return failure(question, Code.NO_NAME), rules.learning
    if not rules.allows_name(service_host(question.name)):
        return failure(question, Code.NO_NAME), False
    if question.type != Type.A:
        return failure(question, Code.OK), True
    address = names.address(question.name)
    if address is None:
        return failure(question, Code.SERVER), True
    return found(question, ipaddress.IPv4Address(address).packed), True


def _reverse(name: str) -> str:
    """The IPv4 address that a PTR question is about, or ``""``."""
    if not name.endswith(".in-addr.arpa"):
        return ""
    return literal(".".join(reversed(name.removesuffix(".in-addr.arpa").split(".")))) or ""


class ResolvConf:
    """What of resolv.conf(5) matters: ``servers`` (canonical addresses) and ``search`` domains."""

    def __init__(self, text: str) -> None:
        servers, search = [], []
        for line in text.splitlines():
            words = line.partition("#")[0].partition(";")[0].split()
            if len(words) > 1 and words[0] == "nameserver":
                address = literal(words[1].partition("%")[0])
                servers += [address] if address else []
            elif len(words) > 1 and words[0] in ("search", "domain"):
                search = [domain.lower().strip(".") for domain in words[1:]]
        self.servers = tuple(dict.fromkeys(servers))[:3] or ("127.0.0.1",)  # MAXNS is 3
        self.search = tuple(search)

    @classmethod
    def here(cls) -> "ResolvConf":
        """This machine's; without a file the C library asks 127.0.0.1."""
        try:
            with open("/etc/resolv.conf", errors="replace") as file:
                return cls(file.read())
        except OSError:
            return cls("")
