"""A policy as a profile of the macOS sandbox: deny by default, one rule for each kind of right, denials last.

The sandbox decides on the resolved path and refuses even to look at what is not granted, where Linux says that nothing
is there; so what leads to a granted path may be looked at: the directories above it, and the symlinks that were walked.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from learner.gaps import Gap
from learner.names import to_text
from learner.places import ancestors
from learner.policy import ALWAYS, CHANGES, Grant, NetworkAction, NetworkGrant, Policy, Right, Scope
from learner.seatbelt.sbpl import Expression, Regex, Symbol, exactly, in_any_case, is_sayable, render
from learner.seatbelt.services import ACTS, SAME, UNGRANTABLE, filter_of
from learner.words import service
from tracers.events import Transport
from tracers.seatbelt_calls import canonical

_LOADER = (
    "/System/Cryptexes",
    "/System/Library",
    "/System/Volumes/Preboot/Cryptexes",
    "/private/var/db/dyld",
    "/usr/lib",
)
"""What dyld maps into every process, the system's libraries and their cache, on a volume that is sealed and public."""
SEEN = ("file-read-metadata", "file-test-existence")
READ = ("file-map-executable", "file-read*", "file-test-existence")
_ATTRIBUTES = (
    "file-write-acl",
    "file-write-flags",
    "file-write-mode",
    "file-write-owner",
    "file-write-times",
    "file-write-xattr",
)
_MADE = {
    Right.CREATE: ("DIRECTORY", "REGULAR-FILE"),
    Right.MKDIR: ("DIRECTORY", "REGULAR-FILE"),
    Right.SYMLINK: ("SYMLINK",),
    Right.SOCKET: ("SOCKET",),
    Right.FIFO: ("FIFO",),
    Right.DEVICE: ("BLOCK-DEVICE", "CHARACTER-DEVICE"),
}
"""What may be made. The log does not tell files from directories, so neither does a grant of one of them."""
_EVERYTHING = ("file*", "network-outbound", "process-exec*")
"""What is denied of a secret place. Whoever may look at a name, by SEEN after it, learns no more."""
_MOVED = ("file-write-unlink",)
"""Moving something away is asked about like its removal, and not about what is in it."""
_LOOPBACK = ("localhost", "127.", "::1")


class Rule(NamedTuple):
    """``(allow OPERATIONS FILTERS)``: any of the filters suffices; without one, always."""

    operations: tuple[str, ...]
    filters: tuple[Expression, ...]
    allows: bool = True

    def __str__(self) -> str:
        return self.written()

    def written(self, modifiers: tuple[Expression, ...] = ()) -> str:
        """The text of the rule; ``modifiers``: what the log is to say of it."""
        head = f"({'allow' if self.allows else 'deny'} {' '.join(map(Symbol, self.operations))}"
        rest = (*self.filters, *modifiers)
        between = " " if len(self.filters) < 2 else "\n  "
        return head + "".join(f"{between}{render(one)}" for one in rest) + ")"


class Emitted(NamedTuple):
    """The rules, and what they do not say."""

    rules: tuple[Rule, ...]
    gaps: tuple[Gap, ...]


def emit(policy: Policy, denied: Iterable[str] = (), targets: Mapping[str, str] | None = None) -> Emitted:
    """``policy`` in rules. ``denied``: paths to be refused although a grant covers them. ``targets``: where the
    symlinks of the policy lead, as far as that is known.
    """
    draft = _Draft()
    for grant in policy.grants:
        draft.grant(grant)
    for end in policy.network:
        draft.endpoint(end)
    for asked in policy.services:
        words = filter_of(asked.operation, asked.name)
        if words is None:
            reason = UNGRANTABLE.get(asked.operation, "it cannot be written as a rule")
            draft.gaps.add(Gap(f"left out: {service(asked)}", reason))
        else:
            draft.allow((asked.operation,), words)
    for path in (*policy.links, *(targets or {}).values()):
        draft.see(path)
    for path in policy.probes:
        draft.look(path)
    return draft.finish(denied)


def text(emitted: Emitted, remarks: Iterable[str] = (), tag: str = "", *, report: bool = False) -> str:
    """The profile. ``remarks``: printable lines to begin it with. ``tag``: what the log is to say of each denial.

    ``report``: have it say the same of what is admitted, but for what every profile admits.
    """
    tagged: tuple[Expression, ...] = ((Symbol("with"), Symbol("message"), tag),) if tag else ()
    told: tuple[Expression, ...] = ((Symbol("with"), Symbol("report")), *tagged) if report else ()
    usual = set(emit(Policy()).rules) if report else set()
    lines = [f"; {remark}" for remark in remarks]
    lines += ["(version 1)", render((Symbol("deny"), Symbol("default"), *tagged))]
    for rule in emitted.rules:
        lines.append(rule.written(tagged if not rule.allows else () if rule in usual else told))
    return "\n".join(lines) + "\n"


def watching(tag: str) -> str:
    """A profile that allows everything, and reports all but what every profile of :func:`emit` admits: what is not
    said cannot flood the log, which drops messages then.
    """
    reported: Expression = (Symbol("with"), Symbol("report"))
    tagged: Expression = (Symbol("with"), Symbol("message"), tag)
    lines = ["(version 1)", render((Symbol("allow"), Symbol("default"), reported, tagged))]
    return "\n".join([*lines, *map(str, emit(Policy()).rules)]) + "\n"


def masking(
    paths: Iterable[str], services: Iterable[str], tag: str, *, there: Iterable[str] = (), report: bool = False
) -> str:
    """A profile that allows everything but ``paths``, with what is beneath them, and the Mach ``services``; and what
    else acts outside of the sandbox. That a path is there may still be seen. ``report``: as of :func:`watching`.

    ``there``: those of ``paths`` that exist, and are denied in whatever case their names are written; to do so for all
    would take hundreds of patterns. Raises ValueError for a path that cannot be written.
    """
    tagged: tuple[Expression, ...] = ((Symbol("with"), Symbol("message"), tag),)
    told = ((Symbol("with"), Symbol("report")), *tagged) if report else ()
    lines = [watching(tag) if report else "(version 1)\n(allow default)\n"]
    masked = sorted({canonical(path) for path in paths})
    if masked:
        cased = [path for path in sorted({canonical(path) for path in there}) if '"' not in path]
        within: tuple[Expression, ...] = tuple((Symbol("subpath"), path) for path in masked)
        within += tuple((Symbol("regex"), Regex(f"^{in_any_case(path)}(/|$)")) for path in cased)
        above = sorted({one for path in masked for one in ancestors(path)} - {"/"})
        moved: tuple[Expression, ...] = tuple((Symbol("literal"), path) for path in above)
        over = sorted({one for path in cased for one in ancestors(path)} - {"/"})
        moved += tuple((Symbol("regex"), Regex(f"^{in_any_case(path)}$")) for path in over)
        lines += [
            Rule(_EVERYTHING, within, False).written(tagged) + "\n",
            Rule(SEEN, within).written(told) + "\n",
            Rule(_MOVED, moved, False).written(tagged) + "\n",
        ]
    lines.append(Rule((*sorted(ACTS),), (), False).written(tagged) + "\n")
    names = tuple((Symbol("global-name"), name) for name in sorted(services))
    if names:
        lines.append(Rule(("mach-lookup",), names, False).written(tagged) + "\n")
    return "".join(lines)


class _Draft:
    def __init__(self) -> None:
        self.gaps: set[Gap] = set()
        self._filters: dict[tuple[str, ...], set[Expression]] = defaultdict(set)
        self._whole: set[tuple[str, ...]] = set()
        self._seen: set[str] = set()

    def allow(self, operations: tuple[str, ...], filters: Iterable[Expression]) -> None:
        filters = tuple(filters)
        if filters:
            self._filters[operations].update(filters)
        else:
            self._whole.add(operations)

    def see(self, path: str) -> None:
        """``path`` and what is above it may be looked at."""
        path = canonical(path)
        if self._is_sayable(path):
            self._seen.update((path, *ancestors(path)))

    def look(self, path: str) -> None:
        """The same, and the attributes that are kept with ``path`` itself."""
        self.see(path)
        path = canonical(path)
        if is_sayable(path):
            self.allow(("file-read-xattr",), ((Symbol("literal"), path),))

    def grant(self, grant: Grant) -> None:
        path = canonical(grant.path)
        if not self._is_sayable(path):
            return
        self.see(path)
        rights = grant.rights
        tree = grant.scope is Scope.TREE
        here: Expression = (Symbol("subpath" if tree else "literal"), path)
        if Right.READ in rights:
            self.allow(READ, (here,))
        elif Right.LIST in rights:
            directories = (Symbol("require-all"), here, (Symbol("vnode-type"), Symbol("DIRECTORY")))
            self.allow(("file-read*",), (directories if tree else here,))
        if Right.EXEC in rights:
            self.allow(("process-exec*",), (here,))
        if rights & (Right.WRITE | Right.TRUNCATE):
            self.allow(("file-write-data",), (here,))
        if Right.ATTRIBUTES in rights:
            self.allow(_ATTRIBUTES, (here,))
        if Right.IOCTL in rights:
            self.allow(("file-ioctl",), (here,))
        if Right.CONNECT in rights:
            self.allow(("network-outbound",), (here,))
        self._children(path, tree, rights)

    def _children(self, path: str, tree: bool, rights: Right) -> None:
        within: Expression = (Symbol("subpath"), path)
        if not tree:
            if '"' in path:
                if rights & (CHANGES & ~(Right.WRITE | Right.TRUNCATE | Right.ATTRIBUTES)):
                    self.gaps.add(Gap(f"left out: {to_text(path)}", "a pattern cannot hold its quotation mark"))
                return
            within = (Symbol("regex"), Regex(f"^{exactly(path.rstrip('/'))}/[^/]+$"))
        kinds = sorted({kind for right, kinds in _MADE.items() if right in rights for kind in kinds})
        if kinds:
            self.allow(("file-link", "file-write-create"), (_of_type(within, kinds),))
        if Right.SOCKET in rights:
            self.allow(("network-bind",), (within,))
        if rights & (Right.REMOVE | Right.RMDIR):
            self.allow(("file-write-unlink",), (within,))

    def endpoint(self, end: NetworkGrant) -> None:
        if end.abstract:
            self.gaps.add(Gap(f"left out: @{to_text(end.host)}", "macOS has no abstract sockets"))
            return
        transport = {Transport.TCP: "tcp", Transport.UDP: "udp"}.get(end.transport, "ip")
        here = "localhost" if end.host.startswith(_LOOPBACK) else "*"
        port = str(end.port) if end.port else "*"
        where = f"{here}:{port}"
        if end.action is NetworkAction.CONNECT:
            self.allow(("network-outbound",), ((Symbol("remote"), Symbol(transport), where),))
        else:
            self.allow(("network-bind", "network-inbound"), ((Symbol("local"), Symbol(transport), where),))

    def finish(self, denied: Iterable[str]) -> Emitted:
        rules = [
            Rule(READ, ((Symbol("literal"), "/"), *((Symbol("subpath"), path) for path in _LOADER))),
            Rule(("file-read*", "file-write-data"), tuple((Symbol("literal"), device.path) for device in ALWAYS)),
            Rule(("process-info*", "signal"), ((Symbol("target"), Symbol(SAME)),)),
        ]
        if self._seen:
            rules.append(Rule(SEEN, tuple((Symbol("literal"), path) for path in sorted(self._seen))))
        rules += [Rule(operations, ()) for operations in sorted(self._whole)]
        rules += [
            Rule(operations, tuple(sorted(filters, key=render)))
            for operations, filters in sorted(self._filters.items())
            if operations not in self._whole
        ]
        return Emitted((*rules, *self._denials(denied)), tuple(sorted(self.gaps)))

    def _denials(self, denied: Iterable[str]) -> list[Rule]:
        """In whatever case their names are written: most volumes of a Mac do not tell it.

        A directory above them cannot be moved away: by another name nothing would be denied in it.
        """
        found = []
        above: set[str] = set()
        for path in sorted({canonical(path) for path in denied}):
            if '"' in path or not is_sayable(path):
                self.gaps.add(Gap(f"not denied: {to_text(path)}", "its name cannot be written in a pattern"))
                continue
            pattern = Regex(f"^{in_any_case(path)}(/|$)")
            found.append(Rule(_EVERYTHING, ((Symbol("regex"), pattern),), False))
            above.update(one for one in ancestors(path) if one != "/")
        if above:
            patterns = tuple((Symbol("regex"), Regex(f"^{in_any_case(one)}$")) for one in sorted(above))
            found.append(Rule(_MOVED, patterns, False))
        return found

    def _is_sayable(self, path: str) -> bool:
        if is_sayable(path):
            return True
        self.gaps.add(Gap(f"left out: {to_text(path)}", "a name with control characters or bytes that are no UTF-8"))
        return False


def _of_type(within: Expression, kinds: list[str]) -> Expression:
    types: tuple[Expression, ...] = tuple((Symbol("vnode-type"), Symbol(kind)) for kind in kinds)
    one = types[0] if len(types) == 1 else (Symbol("require-any"), *types)
    return (Symbol("require-all"), within, one)
