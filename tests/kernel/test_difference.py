"""What `sbx diff` says is what the kernel says: over a small real tree, all that it calls new is refused under the old
policy and admitted under the new one, and nothing else is.

Each answer is that of a child confined by Landlock (:mod:`learner.probe`). Where they differ, the confinement must have
said so: a rule on a single directory holds for all beneath it.
"""

import functools
import operator
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import pytest
from accesses import HOME
from hypothesis import example, given, settings
from hypothesis import strategies as st

from learner.change import Side
from learner.difference import compare, reaches
from learner.enforcers.landlock import LandlockEnforcer, abi, policy_gaps
from learner.policy import (
    ANYWHERE,
    DIRECTORY_RIGHTS,
    NO_RIGHT,
    Grant,
    NetworkAction,
    NetworkGrant,
    Policy,
    Right,
    Scope,
)
from learner.probe import REFUSALS, Act, Probe, run
from learner.variables import Variables
from tracers.events import Transport

pytestmark = pytest.mark.kernel

DIRECTORIES = ("", "a", "a/b", "a/b/c", "d")
FILES = tuple(f"{directory}/f".lstrip("/") for directory in DIRECTORIES)
PORTS = (28801, 28802, 28803)
ON_FILES = {Right.READ: Act.READ, Right.WRITE: Act.WRITE, Right.EXEC: Act.EXEC}
ON_DIRECTORIES = {
    Right.LIST: Act.LIST,
    Right.CREATE: Act.CREATE,
    Right.MKDIR: Act.MKDIR,
    Right.SYMLINK: Act.SYMLINK,
    Right.SOCKET: Act.SOCKET,
    Right.FIFO: Act.FIFO,
    Right.REMOVE: Act.REMOVE,
    Right.RMDIR: Act.RMDIR,
}


def _joined(some: Iterable[Right]) -> Right:
    rights = functools.reduce(operator.or_, some, NO_RIGHT)
    # The kernel opens what it executes for reading, so that EXEC means both (learner.enforcers.landlock.FS_RIGHTS).
    return rights | Right.READ if Right.EXEC in rights else rights


_rights = st.sets(st.sampled_from([*ON_FILES, *ON_DIRECTORIES]), max_size=4).map(_joined)
_grants = st.builds(Grant, st.sampled_from([*DIRECTORIES, *FILES]), st.sampled_from(Scope), _rights, st.just(()))
_network = st.builds(
    lambda action, end: NetworkGrant(action, *end, Transport.TCP, ()),
    st.sampled_from(NetworkAction),
    st.sampled_from([*(("127.0.0.1", port) for port in PORTS), (ANYWHERE, 0)]),
)
_policies = st.builds(
    lambda grants, network: Policy(tuple(grants), tuple(network)),
    st.lists(_grants, max_size=5),
    st.lists(_network, max_size=2),
)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> str:
    top = Path(os.path.realpath(tmp_path_factory.mktemp("tree")))
    for name in DIRECTORIES:
        (top / name).mkdir(exist_ok=True)
    for name in FILES:
        shutil.copy("/bin/true", top / name)
    return str(top)


def at(tree: str, policy: Policy) -> Policy:
    grants = [Grant(os.path.join(tree, g.path).rstrip("/"), g.scope, g.rights, ()) for g in policy.grants]
    return Policy(tuple(grants), policy.network)


def probes(tree: str) -> list[tuple[Probe, Right]]:
    found = [(Probe(act, f"{tree}/{name}"), right) for name in FILES for right, act in ON_FILES.items()]
    for name in DIRECTORIES:
        found += [(Probe(act, f"{tree}/{name}".rstrip("/")), right) for right, act in ON_DIRECTORIES.items()]
    return found


def admitted(policy: Policy, asked: list[Probe]) -> list[bool]:
    confinement = LandlockEnforcer().prepare(policy)
    try:
        answers = run(asked, confinement)
    finally:
        confinement.close()
    assert -1 not in answers
    return [code not in REFUSALS for code in answers]


def opened_beneath(policy: Policy, path: str) -> bool:
    """Whether ``path`` lies beneath a directory that is granted alone, which Landlock says it cannot hold to that."""
    beneath = any(
        path.startswith(g.path + "/") for g in policy.grants if g.scope is Scope.FILE and g.rights & DIRECTORY_RIGHTS
    )
    return beneath and any(gap.item == "single directories" for gap in policy_gaps(policy))


@given(_policies, _policies)
@example(Policy((Grant("a", Scope.FILE, Right.READ, ()),)), Policy((Grant("", Scope.TREE, Right.READ, ()),)))
@example(Policy(), Policy((Grant("a", Scope.TREE, Right.WRITE, ()),)))
@settings(max_examples=60, deadline=None)
def test_new_is_what_the_kernel_refused_before_and_admits_now(tree: str, one: Policy, other: Policy) -> None:
    old, new = at(tree, one), at(tree, other)
    here = Variables(tree, HOME)
    found = compare(Side(old, here), Side(new, here), exact=True)
    asked = probes(tree)
    before, after = (admitted(policy, [probe for probe, _ in asked]) for policy in (old, new))
    for (probe, right), was, is_ in zip(asked, before, after, strict=True):
        for changes, less, more in ((found.added, was, is_), (found.removed, is_, was)):
            said = any(right & change.gives(probe.path) for change in changes)
            if said != (more and not less):
                beneath = any(opened_beneath(policy, probe.path) for policy in (old, new))
                assert right & DIRECTORY_RIGHTS and beneath, (probe, said, was, is_)
    if abi() >= 4:
        reachable(old, new)


def reachable(old: Policy, new: Policy) -> None:
    here = Variables(HOME, HOME)
    ends = [(action, port) for action in NetworkAction for port in PORTS]
    acts = {NetworkAction.CONNECT: Act.CONNECT_TCP, NetworkAction.BIND: Act.BIND_TCP}
    asked = [Probe(acts[action], "127.0.0.1", port) for action, port in ends]
    before, after = admitted(old, asked), admitted(new, asked)
    said = [change.endpoint for change in compare(Side(old, here), Side(new, here)).added if change.endpoint]
    for (action, port), was, is_ in zip(ends, before, after, strict=True):
        end = NetworkGrant(action, "127.0.0.1", port, Transport.TCP, ())
        told = any(reaches(grant, end) for grant in said)
        # "Every host" is one change, what was reachable before among them.
        assert told == (is_ and not was) or (told and was and any(grant.anywhere for grant in said)), (end, was, is_)
