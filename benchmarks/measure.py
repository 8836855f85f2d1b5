"""How good a policy is: what it opens, which secrets among that, and what a later run would miss."""

import hashlib
import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import baselines
import confined
import firejail
import greywall
import msgspec
import sandlock
from agents import Subject
from baselines import BASELINES
from confined import Baseline, Confined, confine
from scripts import DECOYS

from learner.access import Access
from learner.denials import missing
from learner.enforcers.enforcer import Enforcer
from learner.needs import needs
from learner.places import is_within
from learner.policy import CHANGES, Policy, Right, right_names
from learner.profile import Profile, dumps, loads
from learner.sensitive import Catalogue
from learner.trace import Header, Trace
from tracers.events import Operation

MACHINE_SECRETS = ("/etc/shadow", "/etc/gshadow", "/etc/sudoers")
"""Counted with the decoys where they exist."""

_PACKAGES = re.compile(
    r"/(?:usr|lib|lib32|lib64|bin|sbin|opt|nix/store|snap)(?:/|$)"
    r"|.*/(?:site-packages|dist-packages|node_modules|lib/python\d+\.\d+|\.pyenv/versions/[^/]+)(?:/|$)",
    re.DOTALL,
)
"""What is installed, and the same for everybody who installs it. Not learner.places: that is what is being judged."""
_RULES = (baselines, confined, greywall, sandlock, firejail)
_CHANGING_PARENT = Right.REMOVE | Right.CREATE | Right.MOVE


class Candidate(NamedTuple):
    """A policy learned from one run by somebody's rules. ``baseline`` is None for sbx itself."""

    name: str
    confined: Confined
    baseline: Baseline | None = None


def candidates(learned: Trace, own: Policy, peers: bool) -> Iterator[Candidate]:
    """sbx's policy for a trace, then what each peer would have learned from it."""
    yield Candidate("sbx", Confined(own))
    for baseline in BASELINES if peers else ():
        yield Candidate(baseline.name, confine(baseline, learned), baseline)


class Opened(msgspec.Struct, frozen=True):
    """Numbers of existing objects. ``private``: those of ``excess`` that are not of installed packages.

    ``writable`` and ``writable_at``: what may be changed outside of the project, and where it is granted.
    """

    grants: int
    granted: int
    needed: int
    excess: int
    private: int
    readable_secrets: tuple[str, ...]
    writable_secrets: tuple[str, ...]
    writable: int
    writable_at: tuple[str, ...]

    @property
    def exposed(self) -> int:
        """Secrets that may be read or changed."""
        return len({*self.readable_secrets, *self.writable_secrets})


class Refused(msgspec.Struct, frozen=True, order=True):
    """Something that a later run does and the policy does not admit. ``lacks``: the rights that are missing."""

    object: str
    operation: Operation
    program: str
    lacks: tuple[str, ...] = ()


def profile_text(name: str, policy: Policy, header: Header) -> str:
    """The profile that `sbx learn` would write."""
    return dumps(Profile(name=name, command=header.command, policy=policy, prefix=header.prefix), header.variables)


def moved(policy: Policy, learned: Header, later: Header) -> Policy:
    """``policy`` as another run reads it from its profile: $PROJECT and $HOME are that run's."""
    there = later.variables
    if not there.xdg:  # recorded before traces told them; nothing here sets them, so they lie in the home directory
        xdg = ((name, directory.replace(learned.home, later.home, 1)) for name, directory in learned.xdg)
        there = there._replace(xdg=tuple(xdg))
    return loads(profile_text("learned", policy, learned), "learned", there).policy


# --- what it opens


def opened(candidate: Candidate, trace: Trace, who: Subject) -> Opened:
    """Count what a policy opens on this machine now (it reads directories)."""
    header = trace.header
    policy = candidate.confined.policy
    needed = {need.path for access in trace.accesses for need in needs(access)}
    granted = used = private = writable = 0
    for path in candidate.confined.opened():
        granted += 1
        if path in needed:
            used += 1
        elif not _PACKAGES.match(path):
            private += 1
        if candidate.confined.rights(path) & CHANGES and not is_within(path, header.project):
            writable += 1
    at = {g.path for g in policy.grants if g.rights & CHANGES and not is_within(g.path, header.project)}
    where = tuple(header.variables.contract(path) for path in sorted(at))
    readable, changeable = _secrets(candidate, who)
    return Opened(len(policy.grants), granted, used, granted - used, private, readable, changeable, writable, where)


def opened_before(candidate: Candidate, trace: Trace, who: Subject) -> Opened:
    """As :func:`opened`, but counted once for one policy, code and recording: a peer may open half the machine."""
    rules = [
        *(Path(each.__file__).read_text() for each in _RULES),
        *(inspect.getsource(each) for each in (opened, _secrets)),
    ]
    asked = repr((trace.header, candidate.confined.policy, rules))
    digest = hashlib.sha256(asked.encode(errors="surrogateescape")).hexdigest()[:16]
    file = who.directory / "opened" / f"{candidate.name.split()[0]}-{digest}.json"
    if file.exists():
        return msgspec.json.decode(file.read_bytes(), type=Opened)
    found = opened(candidate, trace, who)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(msgspec.json.encode(found))
    return found


def secrets(who: Subject) -> tuple[str, ...]:
    """The decoys of the learned run's home, and the machine's own secrets."""
    home = who.world / "home"
    decoys = (os.path.normpath(home / name) for name in DECOYS)
    return (*decoys, *(path for path in MACHINE_SECRETS if os.path.exists(path)))


def _secrets(candidate: Candidate, who: Subject) -> tuple[tuple[str, ...], tuple[str, ...]]:
    readable, changeable = [], []
    for path in secrets(who):
        own, above = candidate.confined.rights(path), candidate.confined.rights(os.path.dirname(path))
        if own & Right.READ:
            readable.append(path)
        # Whoever may write in the directory may replace the file, unless a rule denies the file itself.
        confined = candidate.confined
        replace = above & _CHANGING_PARENT and not confined.denied(path) and not confined.private(path)
        if own & (Right.WRITE | Right.TRUNCATE) or replace:
            changeable.append(path)
    return tuple(readable), tuple(changeable)


# --- what it misses


def refusals(candidate: Candidate, learned: Header, trace: Trace, enforcer: Enforcer) -> tuple[Refused, ...]:
    """What ``trace``, an unconfined later run, did and ``candidate`` does not admit; sorted, each thing once.

    Left out is what the catalogue calls sensitive: to refuse that is the purpose. Endpoints count for sbx's own
    policy only, since the others' rules that are compared here are about files. The others' policies, too, are read
    with the later run's $PROJECT and $HOME, although not all of them have such variables; and what lies in the real
    home directory (the agent's installation, its Python) is not held against them, because it is this benchmark that
    makes another directory the home, which is where they look.
    """
    real, ours = str(Path.home()), str(Path(learned.project).parents[2])
    there = _elsewhere(candidate, learned, trace)
    catalogue = Catalogue(trace.header.home)
    found = set()
    for need in there.refused(trace):
        access = need.access
        if catalogue.match(access.object, need.right) or access.endpoint or _made_by_launch(there.policy, access):
            continue
        if candidate.baseline and is_within(need.path, real) and not is_within(need.path, ours):
            continue
        lacks = need.right & ~there.unchecked & ~there.rights(need.path)
        label = trace.programs[access.program].label
        found.add(Refused(access.object, access.operation, label, right_names(lacks)))
    for access in trace.accesses if candidate.baseline is None else ():
        if access.endpoint is not None and missing(access, there.policy, enforcer) is not None:
            found.add(Refused(access.object, access.operation, trace.programs[access.program].label))
    return tuple(sorted(found))


def _elsewhere(candidate: Candidate, learned: Header, trace: Trace) -> Confined:
    policy = moved(candidate.confined.policy, learned, trace.header)
    baseline = candidate.baseline
    if baseline is None:
        return Confined(policy)
    return Confined(policy, baseline.denied(trace), baseline.private(trace), baseline.unchecked)


def _made_by_launch(policy: Policy, access: Access) -> bool:
    return access.operation is Operation.MKDIR and any(
        grant.ensure and is_within(grant.path, access.object) for grant in policy.grants
    )
