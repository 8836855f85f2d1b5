"""AppArmor profiles (apparmor.d(5), parser 3.0, ABI 3.0).

Every byte of a name can be written: what means something in a pattern gets a backslash; a backslash itself (as the last
character it would hide the quote), a quote, and what is no printable ASCII stand as three octal digits, as
tests/targets/test_hostile_names.py finds out from the parser's own automaton.
"""

import os
import re
import string
from collections.abc import Iterable, Mapping

from learner.errors import UsageError
from learner.gaps import Gap
from learner.names import to_text
from learner.policy import ALWAYS, CHANGES, DIRECTORY_RIGHTS, Grant, NetworkAction, NetworkGrant, Right, Scope
from learner.targets.feature import Feature, missing
from learner.targets.strings import comments
from learner.targets.target import Export, Request, remarks
from tracers.events import Transport

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*\Z")
_PROCESS = re.compile(r"/proc/(self|thread-self)(?=/|\Z)")
_PATTERN = frozenset(b"*?[]{}^@")
_PLAIN = frozenset((string.ascii_letters + string.digits + " !#$%&'()+,-./:;<=>_`|~").encode())
_FILES = Right.CREATE | Right.SYMLINK | Right.SOCKET | Right.FIFO | Right.DEVICE | Right.REMOVE
_DIRECTORIES = Right.MKDIR | Right.RMDIR
_ANY_PORT = "a rule names a family and a kind of socket: every host and port of it"
_LACKS: Mapping[Feature, str] = {
    Feature.EXECUTE_APART: "what may be read may be mapped to be executed (libraries), what may be executed be read",
    Feature.CHANGES_APART: "`w` is to create, write, truncate and remove",
    Feature.ATTRIBUTES: "`w` is to change attributes too",
    Feature.IOCTL: "requests to an open device are not mediated",
    Feature.UNIX_SOCKETS: "`rw` on a socket is to connect, and to replace it",
    Feature.HOSTS: _ANY_PORT,
    Feature.PORTS: _ANY_PORT,
    Feature.LISTEN: _ANY_PORT,
    Feature.ENSURE: "a profile makes nothing: make it before",
    Feature.HIDING: "what is not granted is refused, not hidden",
}
_GAPS = (
    Gap("locks", "sbx does not learn them: what may be read or written may be locked"),
    Gap("descriptors", "what was open before the profile took hold is checked again only where AppArmor does"),
)


class AppArmorTarget:
    """A profile that is entered by name: ``aa-exec -p sbx-NAME -- COMMAND``."""

    name = "apparmor"
    suffix = ".apparmor"
    executable = False
    lacks = _LACKS

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`. Raises UsageError for a name that is no profile's."""
        policy = request.profile.policy
        if not _NAME.match(request.profile.name):
            shown = to_text(request.profile.name)
            raise UsageError(f"no AppArmor profile can be called {shown!r}", "give the profile another name")
        name = f"sbx-{request.profile.name}"
        gaps = {*missing(policy, self.lacks), *_GAPS}
        if any(_PROCESS.match(grant.path) for grant in policy.grants):
            gaps.add(Gap("process files", "/proc/self stands for itself: what is granted there is so of every process"))
        found = tuple(sorted(gaps))
        rules = dict.fromkeys(rule for grant in (*ALWAYS, *policy.grants) for rule in _rules(grant))
        rules |= dict.fromkeys(f'deny "{escape(path)}{{,/**}}" mrwklx,' for path in request.denied)
        body = [*rules, "", *_own(name), *_network(policy.network)]
        text = comments([*remarks(request, found), f"Load it: apparmor_parser -r FILE; use it: aa-exec -p {name} -- …"])
        text += f"abi <abi/3.0>,\n\nprofile {name} flags=(attach_disconnected) {{\n"
        text += "".join(f"  {line}\n" if line else "\n" for line in body) + "}\n"
        return Export(text.encode(), found)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`: rules."""
        return tuple(dict.fromkeys([*(rule for grant in grants for rule in _rules(grant)), *_network(network)]))


def escape(path: str) -> str:
    """``path`` as it stands between quotes in a rule, matching nothing but itself. ASCII."""
    return "".join(map(_escaped, os.fsencode(path)))


def _escaped(byte: int) -> str:
    if byte in _PATTERN:
        return f"\\{chr(byte)}"
    return chr(byte) if byte in _PLAIN else f"\\{byte:03o}"


def _pattern(path: str) -> str:
    """``path`` as AppArmor sees it: ``/proc/self`` is a link to a directory with a number."""
    match = _PROCESS.match(path)
    if match is None:
        return escape(path.rstrip("/"))
    threads = "/task/[0-9]*" if match[1] == "thread-self" else ""
    return f"/proc/[0-9]*{threads}{escape(path[match.end(1) :])}"


def _rules(grant: Grant) -> Iterable[str]:
    base = _pattern(grant.path)
    rights = grant.rights
    single = grant.scope is Scope.FILE
    if single and not rights & DIRECTORY_RIGHTS:
        yield from _rule(base, _mode(rights, rights & CHANGES))
        return
    below = "*" if single else "**"
    if rights & Right.LIST:
        yield from _rule(f"{base}/" if single else f"{base}/{{,**/}}", "r")
    if rights & (_DIRECTORIES | Right.MOVE):
        yield from _rule(f"{base}/{below}/", "w")
    # In a single directory names may be made and removed; what they stand for is not granted.
    inside = Right.MOVE & rights if single else rights & ~DIRECTORY_RIGHTS | Right.MOVE & rights
    changed = rights & (_FILES | Right.MOVE) if single else rights & CHANGES & ~_DIRECTORIES
    yield from _rule(f"{base}/{below}[^/]", _mode(inside, changed))
    if rights & Right.ATTRIBUTES:
        yield from _rule(f"{base}/", "w")


def _rule(pattern: str, mode: str) -> Iterable[str]:
    if mode:
        yield f'"{pattern}" {mode},'


def _mode(rights: Right, changed: Right) -> str:
    read = rights & (Right.READ | Right.EXEC)
    mode = "mr" if read else "r" if rights & Right.CONNECT else ""
    mode += "w" if changed or rights & Right.CONNECT else ""
    mode += "k" if mode else ""
    mode += "l" if rights & Right.MOVE else ""
    return mode + ("ix" if rights & Right.EXEC else "")


def _own(name: str) -> list[str]:
    """What processes of one profile may do to each other."""
    return [
        "unix (create, bind, listen, getattr, setattr, getopt, setopt, shutdown),",
        f"unix (accept, connect, send, receive) peer=(label={name}),",
        f"signal peer={name},",
        "signal (receive) peer=unconfined,",
        f"ptrace peer={name},",
    ]


def _network(network: Iterable[NetworkGrant]) -> list[str]:
    found = []
    for grant in network:
        if grant.abstract:
            access = "bind, listen" if grant.action is NetworkAction.BIND else "connect, send, receive"
            where = "" if grant.action is NetworkAction.BIND else f' peer=(addr="@{escape(grant.host)}")'
            found.append(f"unix ({access}){where},")
            continue
        kind = "dgram" if grant.transport is Transport.UDP else "stream"
        found += [f"network {family} {kind}," for family in ("inet", "inet6")]
    if found:
        found.append("network netlink raw,")  # getaddrinfo(3) asks for the machine's addresses
    return sorted(set(found))


TARGET = AppArmorTarget()
