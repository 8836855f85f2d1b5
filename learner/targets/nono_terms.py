"""What nono can say, in the terms that its profiles and its command line share (nono 0.74: its schema and flags).

nono adds each path with its links resolved, and (Seatbelt) the link itself. What does not exist at its start is
skipped. Reading is read, list and execute together, writing is every change (measured with nono-py 0.16, which is
nono's own core).
"""

import enum
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from learner.gaps import Gap
from learner.names import to_text
from learner.places import is_within
from learner.policy import ALWAYS, Policy, Scope
from learner.targets.coarse import Opening, Outgoing, left_out, openings, outgoing, resolve
from learner.targets.feature import Feature, missing
from learner.targets.target import Request, temporary_of, unsayable


class Key(enum.StrEnum):
    """Lists of ``filesystem`` in a profile; each is a flag, too (:data:`FLAGS`)."""

    ALLOW = "allow"
    READ = "read"
    WRITE = "write"
    ALLOW_FILE = "allow_file"
    READ_FILE = "read_file"
    WRITE_FILE = "write_file"
    UNIX_SOCKET = "unix_socket"
    UNIX_SOCKET_SUBTREE = "unix_socket_subtree"
    BYPASS = "bypass_protection"


FLAGS: Mapping[Key, str] = {
    **{key: "--" + key.replace("_", "-") for key in Key},
    Key.UNIX_SOCKET: "--allow-unix-socket",
    Key.UNIX_SOCKET_SUBTREE: "--allow-unix-socket-subtree",
}

OWN_GROUPS = (
    *("homebrew", "homebrew_linux", "homebrew_macos", "system_read_linux", "system_read_linux_core"),
    *("system_read_macos", "system_write_linux", "system_write_macos", "user_tools"),
)
"""Groups of nono's ``default`` profile that open something and may be excluded, of several versions: names that a
version does not know are passed over. The groups that deny stay."""

LACKS: Mapping[Feature, str] = {
    Feature.EXECUTE_APART: "reading is read, list and execute together",
    Feature.LIST_APART: "reading is read, list and execute together",
    Feature.CHANGES_APART: "writing is every change together",
    Feature.ATTRIBUTES: "modes, owners and times are not held: Landlock has no right for them",
    Feature.IOCTL: "comes with every grant on a device",
    Feature.UNIX_SOCKETS: "on Linux they are only held where linux.af_unix_mediation asks for it",
    Feature.ABSTRACT_SOCKETS: "all or none (security.ipc_mode): left out",
    Feature.HOSTS: "names go through nono's HTTP proxy, which programs must use; addresses by their port alone",
    Feature.PORTS: "a host that is granted by name is granted with every port",
    Feature.LISTEN: "held by port alone, and only where the network is limited",
    Feature.UDP: "Landlock filters TCP only: left out, and not held",
    Feature.ENSURE: "what does not exist when nono starts is skipped: make it first (mkdir -p -m 700)",
    Feature.DENIALS: "on Linux nothing can be refused beneath what is granted, and nono does not start if its own list "
    "of secrets lies there",
    Feature.HIDING: "names and metadata of everything can be seen: Landlock does not hold stat(2)",
}

_GLOB = re.compile(r"[*?\[\]{}]")
_OWN_PROCESS = re.compile(r"/proc/(?:self|thread-self)(?:/|\Z)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_SURROGATE = re.compile(r"[\ud800-\udfff]")


class Terms(NamedTuple):
    """``paths``: (key, absolute path), sorted; ``net``: what may be reached; ``gaps``: what is not said."""

    paths: tuple[tuple[Key, str], ...]
    net: Outgoing
    gaps: tuple[Gap, ...]


def terms(request: Request, sensitive: Iterable[str], *, lists: bool) -> Terms:
    """``request`` in nono's terms. ``sensitive``: granted objects that nono may refuse by a list of its own.

    ``lists``: for a profile, whose paths may hold no variables of its own, rather than for a terminal.
    """
    policy = request.profile.policy
    own = tuple(grant.path for grant in policy.grants if _OWN_PROCESS.match(grant.path))
    found, single = openings((*ALWAYS, *(grant for grant in policy.grants if grant.path not in own)))
    named = {path for one in found for path in (one.path, *_links_to(one, request.links))}
    bad = {path for path in named if unfit(path, lists=lists)}
    paths = {
        (key, path)
        for one in found
        for path in (one.path, *_links_to(one, request.links))
        if path not in bad
        for key in keys(one)
    }
    paths |= {(Key.BYPASS, path) for path in sensitive if path in named - bad}
    net = outgoing(policy.network)
    gaps = (
        *missing(policy, LACKS, request.denied),
        *left_out(single),
        *(_unreached(one) for one in found if _reads_along(one)),
        *(_holding_own(one) for one in found if _holds_own(one, request.variables.home)),
        *net.gaps,
        *(gap for path in bad for gap in unsayable([path], unfit(path, lists=lists))),
        *unsayable(own, "nono would grant those of its own process: grant /proc, if that is meant"),
        *_temporary(policy, request),
    )
    return Terms(tuple(sorted(paths)), net, tuple(dict.fromkeys(gaps)))


def keys(opening: Opening) -> tuple[Key, ...]:
    """The lists that ``opening`` stands in."""
    tree = opening.scope is Scope.TREE
    found: list[Key] = []
    if opening.read and opening.write:
        found.append(Key.ALLOW if tree else Key.ALLOW_FILE)
    elif opening.read:
        found.append(Key.READ if tree else Key.READ_FILE)
    elif opening.write:
        found.append(Key.WRITE if tree else Key.WRITE_FILE)
    if opening.connect and not _reads_along(opening):
        found.append(Key.UNIX_SOCKET_SUBTREE if tree else Key.UNIX_SOCKET)
    return tuple(found)


def _reads_along(opening: Opening) -> bool:
    """Whether a grant on sockets would let more be read: nono reads what it may connect to."""
    return opening.connect and opening.scope is Scope.TREE and not opening.read


def has_glob(path: str) -> bool:
    """Whether nono takes ``path`` for a pattern."""
    return bool(_GLOB.search(path))


def unfit(path: str, *, lists: bool) -> str:
    """Why ``path`` cannot be written, "" if it can. ``lists``: in a profile, where ``$`` begins variables."""
    if has_glob(path):
        return "nono would take it for a pattern, and cannot quote one"
    if lists and "$" in path:
        return "nono would take the $ for a variable, and cannot quote it"
    if lists and _SURROGATE.search(path):
        return "it is no UTF-8, which JSON must be"
    if not lists and _CONTROL.search(path):
        return "a terminal would act on its control characters"
    return ""


def _links_to(opening: Opening, links: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    """The symlinks that lead to just what is opened: nono grants the link and its target."""
    known = dict(links)
    return tuple(link for link, _ in links if resolve(link, known) == opening.path)


def _holds_own(opening: Opening, home: str) -> bool:
    return opening.scope is Scope.TREE and is_within(f"{home.rstrip('/')}/.nono", opening.path)


def _holding_own(opening: Opening) -> Gap:
    return Gap(f"all of {to_text(opening.path)}", "nono's own state (~/.nono) lies in it, so nono will not start")


def _unreached(opening: Opening) -> Gap:
    reason = "nono would let everything there be read, too: left out, and on Linux reached all the same"
    return Gap(f"unix sockets beneath {to_text(opening.path)}", reason)


def _temporary(policy: Policy, request: Request) -> tuple[Gap, ...]:
    return tuple(
        Gap("temporary files", f"TMPDIR is to be {to_text(place)}, made before nono starts (mkdir -m 700)")
        for place in temporary_of(request, (grant.path for grant in policy.grants))
    )
