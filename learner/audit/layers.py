"""The two layers together: what the kernel policy holds of an open configuration, and the other way round. Pure.

The configuration asks a person and knows what a tool is for; the policy asks nobody and cannot be talked round. Each
covers some of the other's gaps, and this says which.
"""

import enum
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from learner.audit.commands import gives_shell
from learner.audit.denylist import CHANGING, READING, examples, matches
from learner.audit.finding import Finding, Topic
from learner.audit.servers import is_loopback
from learner.names import to_text
from learner.places import Map, Place
from learner.policy import CHANGES, NetworkAction, Policy, Right
from learner.words import endpoint

_SOME = 3


class Held(enum.StrEnum):
    """Which layer holds."""

    KERNEL = "kernel"
    """The configuration lets it through, the policy does not."""
    PARTLY = "partly"
    CONFIGURATION = "configuration"
    """The policy lets it through, the configuration asks or refuses. Only the agent's own tools obey it."""
    NEITHER = "neither"


class Together(NamedTuple):
    """``about``: a finding's rule, or a gap of the policy. ``why``: one sentence."""

    about: str
    held: Held
    why: str


def by_policy(findings: Iterable[Finding], policy: Policy, places: Map) -> tuple[Together, ...]:
    """What the policy makes of each rule that the configuration breaks, in the order of ``findings``."""
    found: dict[str, Together] = {}
    for finding in findings:
        if finding.rule.startswith("project-") or finding.rule in found:
            continue
        answer = _answer(finding.topic, policy, places)
        if answer is not None:
            found[finding.rule] = Together(finding.rule, *answer)
    return tuple(found.values())


def by_configuration(policy: Policy, places: Map, vibe: Mapping[str, object]) -> tuple[Together, ...]:
    """What the policy opens, and whether Vibe's configuration (its tables) asks there; sorted.

    A configuration holds no more than the agent's own tools: what the agent's shell runs reads no denylist.
    """
    tools = vibe.get("tools")
    table: Mapping[str, object] = tools if isinstance(tools, dict) else {}
    found = []
    opened = _open(policy, places, READING, Right.READ)
    if opened:
        reads = _holds(table, ("read_file", "grep"), opened, default_asks=False)
        found.append(_both("secrets that may be read", opened, reads and _asks_shell(table)))
    changed = _open(policy, places, CHANGING[len(READING) :], CHANGES)
    if changed:
        writes = _holds(table, ("write_file", "edit"), changed, default_asks=True)
        found.append(_both("files that may be changed and run later", changed, writes and _asks_shell(table)))
    hosts = _hosts(policy)
    if any(n.anywhere for n in policy.network):
        asks = _permission(table, "web_fetch", asks=True) and _asks_shell(table)
        found.append(_both("every host may be reached", ("the network",), asks))
    elif hosts:
        found.append(
            Together(
                "hosts", Held.PARTLY, f"the policy opens {', '.join(hosts)}; whether to send is the agent's to say"
            )
        )
    return tuple(sorted(found))


def _answer(topic: Topic, policy: Policy, places: Map) -> tuple[Held, str] | None:
    match topic:
        case Topic.READ:
            return _files(policy, places, READING, Right.READ, "read")
        case Topic.WRITE:
            return _files(policy, places, CHANGING, CHANGES, "change")
        case Topic.SHELL:
            held, why = _files(policy, places, CHANGING, Right.READ | CHANGES, "read or change")
            return Held.PARTLY if held is Held.KERNEL else held, f"a shell is held by the same policy: {why}"
        case Topic.NETWORK:
            hosts = _hosts(policy)
            if any(n.anywhere for n in policy.network):
                return Held.NEITHER, "the policy opens every host"
            if hosts:
                return Held.PARTLY, f"only {', '.join(hosts)} may be reached"
            return Held.KERNEL, "the policy opens no host beyond this machine"
        case Topic.UPDATE:
            return _update(policy, places)
    return None


def _files(policy: Policy, places: Map, wanted: tuple[str, ...], rights: Right, verb: str) -> tuple[Held, str]:
    opened = _open(policy, places, wanted, rights)
    if not opened:
        return Held.KERNEL, f"the policy lets it {verb} none of the sensitive places"
    some = ", ".join(to_text(path) for path in opened[:_SOME])
    more = f" and {len(opened) - _SOME} more" if len(opened) > _SOME else ""
    held = Held.NEITHER if len(opened) == len(_all(places, wanted)) else Held.PARTLY
    return held, f"the policy lets it {verb} {some}{more}"


def _update(policy: Policy, places: Map) -> tuple[Held, str]:
    installed = (Place.PREFIX, Place.RUNTIME, Place.SYSTEM)
    open_ = [g.path for g in policy.grants if g.rights & CHANGES and places.locate(g.path)[0] in installed]
    open_ += [path for path in (places.prefix, "/usr") if path and policy.rights_on(path) & CHANGES]
    if open_:
        return Held.NEITHER, f"the policy lets it change {to_text(open_[0])}, where programs are installed"
    return Held.KERNEL, "the policy lets it change no installed program, so that an update fails"


def _all(places: Map, wanted: tuple[str, ...]) -> tuple[str, ...]:
    paths = {path for pattern in wanted for path in examples(pattern, places.home)}
    inside = {path.replace("/srv/project", places.project) for path in paths} if places.has_project else set()
    return tuple(sorted(path for path in paths | inside if not path.startswith("/srv/project/")))


def _open(policy: Policy, places: Map, wanted: tuple[str, ...], rights: Right) -> tuple[str, ...]:
    """Paths of sensitive places on which the policy gives any of ``rights``, whether or not they exist yet."""
    return tuple(path for path in _all(places, wanted) if policy.rights_on(path) & rights)


def _holds(tools: Mapping[str, object], names: tuple[str, ...], paths: tuple[str, ...], *, default_asks: bool) -> bool:
    """Whether each of an agent's tools asks for every one of ``paths``, or refuses it."""
    for name in names:
        if _permission(tools, name, asks=default_asks):
            continue
        table = tools.get(name)
        denied = table.get("denylist") if isinstance(table, dict) else None
        patterns = [each for each in denied if isinstance(each, str)] if isinstance(denied, list) else []
        if name == "grep" or not all(matches(path, patterns) for path in paths):
            return False
    return True


def _permission(tools: Mapping[str, object], name: str, *, asks: bool) -> bool:
    """Whether a tool asks, or is never run. ``asks``: its default."""
    table = tools.get(name)
    said = table.get("permission") if isinstance(table, dict) else None
    return said.lower() != "always" if isinstance(said, str) else asks


def _asks_shell(tools: Mapping[str, object]) -> bool:
    table = tools.get("bash")
    allowed = table.get("allowlist") if isinstance(table, dict) else None
    entries = [each for each in allowed if isinstance(each, str)] if isinstance(allowed, list) else []
    return _permission(tools, "bash", asks=True) and not any(gives_shell(entry) for entry in entries)


def _both(about: str, opened: tuple[str, ...], asks: bool) -> Together:
    some = ", ".join(to_text(path) for path in opened[:_SOME])
    more = f" and {len(opened) - _SOME} more" if len(opened) > _SOME else ""
    if asks:
        return Together(
            about, Held.CONFIGURATION, f"{some}{more}: the agent's own tools ask first, what they start does not"
        )
    return Together(about, Held.NEITHER, f"{some}{more}: the policy opens it, and the configuration asks nobody")


def _hosts(policy: Policy) -> list[str]:
    network = [n for n in policy.network if n.action is NetworkAction.CONNECT and not n.abstract]
    return sorted({endpoint(n) for n in network if not is_loopback(n.host)})
