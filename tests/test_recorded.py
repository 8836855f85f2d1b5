"""The benchmark of least privilege in small: real traces, made by sbx, of agents that did one thing and later another.

``fixtures/traces/AGENT-learned.jsonl.gz`` was recorded in a home full of decoy secrets, ``AGENT-later.jsonl.gz`` is a
long session in another project and with a home that knew nothing (benchmarks/least_privilege.py, 2026-11-22).
"""

import gzip
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from learner.derivation import Derived, Scale
from learner.enforcers.landlock import LandlockEnforcer
from learner.gaps import Gap
from learner.needs import needs
from learner.policy import CHANGES, Policy, Scope
from learner.sensitive import Catalogue, Concern
from learner.session import derive
from learner.trace import Trace, read_trace
from tracers.events import Operation

sys.path.append(str(Path(__file__).resolve().parent.parent / "benchmarks"))

from baselines import BASELINES
from confined import Confined, confine
from measure import Candidate, profile_text, refusals

TRACES = Path(__file__).parent.parent / "fixtures/traces"
AGENTS = ("mini", "pi", "vibe2", "vibe3")


class Recorded(NamedTuple):
    """One agent: what was learned from, what follows, and what it did another day."""

    learned: Trace
    derived: Derived
    later: Trace


@pytest.fixture(scope="module", params=AGENTS)
def recorded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    found = []
    for what in ("learned", "later"):
        file = tmp_path_factory.mktemp("trace") / "trace.jsonl"
        file.write_bytes(gzip.decompress((TRACES / f"{request.param}-{what}.jsonl.gz").read_bytes()))
        found.append(read_trace(file))
    learned, later = found
    return Recorded(learned, derive(learned, frozenset()), later)


def _excess(policy: Policy, trace: Trace) -> int:
    """Objects that lie beside what was needed, as far as they were counted when the run ended."""
    trees = Policy(tuple(g for g in policy.grants if g.scope is Scope.TREE))
    return sum(seen.objects for path, seen in trace.beside.items() if trees.rights_on(path))


def test_there_are_few_grants_and_none_is_wide(recorded: Recorded) -> None:
    policy, places = recorded.derived.policy, recorded.learned.header.variables.places
    assert 10 < len(policy.grants) <= 40
    for grant in policy.grants:
        if grant.scope is Scope.TREE:
            assert not places.is_shared(grant.path) or grant.path == "/proc"
            assert grant.path != "/proc" or not grant.rights & CHANGES


def test_nothing_sensitive_is_granted(recorded: Recorded) -> None:
    home = recorded.learned.header.home
    catalogue = Catalogue(home)
    for grant in recorded.derived.policy.grants:
        entry = catalogue.match(grant.path, grant.rights)
        assert entry is None or entry.concern is Concern.CHANGE
    assert not any(use.granted for use in recorded.derived.sensitive)
    assert all(seen.sensitive for path, seen in recorded.learned.beside.items() if path == f"{home}/.ssh")


def test_another_day_in_another_project_nothing_is_refused_that_is_needed(recorded: Recorded) -> None:
    header = recorded.learned.header
    ours = Candidate("sbx", Confined(recorded.derived.policy))
    missed = refusals(ours, header, recorded.later, LandlockEnforcer())
    above = Path(recorded.later.header.project).parents
    # A shell looks for its own directory so, and does without.
    assert [m for m in missed if not (m.operation is Operation.LIST and Path(m.object) in above)] == []
    for baseline in BASELINES:
        theirs = Candidate(baseline.name, confine(baseline, recorded.learned), baseline)
        assert refusals(theirs, header, recorded.later, LandlockEnforcer()), f"{baseline.name} misses nothing"


def test_what_was_learned_is_admitted(recorded: Recorded) -> None:
    catalogue = Catalogue(recorded.learned.header.home)
    gaps = " ".join(f"{gap.item} {gap.reason}" for gap in recorded.derived.gaps)
    ensured = {grant.path for grant in recorded.derived.policy.grants if grant.ensure}
    above = Path(recorded.learned.header.project).parents
    for access in recorded.learned.accesses:
        for need in needs(access):
            lacking = need.right & ~recorded.derived.policy.rights_on(need.path)
            told = access.object in gaps or (access.operation is Operation.LIST and Path(access.object) in above)
            made = access.operation is Operation.MKDIR and access.object in ensured
            assert not lacking or told or made or catalogue.match(access.object, need.right), need


def test_the_price_of_a_grant_trades_grants_for_excess(recorded: Recorded) -> None:
    sizes, excess = [], []
    for price in (0.01, 1, 20):
        policy = derive(recorded.learned, frozenset(), Scale(price)).policy
        sizes.append(len(policy.grants))
        excess.append(_excess(policy, recorded.learned))
    assert sizes == sorted(sizes, reverse=True)
    assert excess == sorted(excess)
    assert sizes[0] > 2 * sizes[1]
    assert 2 * excess[0] < excess[1]


def test_a_number_of_grants_is_kept_to(recorded: Recorded) -> None:
    most = len(recorded.derived.policy.grants) - 3
    fewer = derive(recorded.learned, frozenset(), Scale(1, most))
    assert len(fewer.policy.grants) <= most
    assert not [gap for gap in fewer.gaps if isinstance(gap, Gap) and gap.item.startswith("at most")]


def test_the_profile_has_variables_in_place_of_this_machines_directories(recorded: Recorded) -> None:
    header = recorded.learned.header
    text = profile_text("agent", recorded.derived.policy, header)
    assert header.project not in text.replace(f'prefix = "{header.prefix}"', "")
    assert header.home not in text
