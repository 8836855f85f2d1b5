"""What `sbx why` says: the policy's answer first, then the grants and who needed them, then the enforcer's."""

import errno
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from learner import words
from learner.access import Kind
from learner.asking import Asked, Part
from learner.diagnosis.case import Role
from learner.errors import InputFileError
from learner.explain import EndpointExplanation
from learner.names import to_text
from learner.policy import Grant, Scope, right_names
from learner.profile import Profile, grant_toml, network_toml
from learner.proof import Proof, Verdict
from learner.sensitive import Catalogue
from learner.store import name_for, trace_path
from learner.variables import Variables

_SHOWN_USES = 8
Proofs = tuple[Proof, ...]


def path_lines(
    asked: Asked, proofs: Proofs, problem: str, targets: Mapping[str, str], known: Profile, variables: Variables
) -> Iterator[str]:
    """The answer for a path. ``targets``: what the links on the way hold; ``problem``: why there is no proof."""
    for link, text in targets.items():
        yield f"link: {variables.contract(link)} -> {to_text(text)}"
    found = asked.found
    if found.kind is Kind.OPAQUE:
        yield f"admitted: {to_text(asked.name)} is {to_text(found.path)}, no file: it takes no grant"
        return
    if found.kind is Kind.ABSENT:
        yield f"nothing is there now: {variables.contract(found.path)}"
    for part in asked.parts:
        yield from _part_lines(asked, part, known, variables)
    yield from _proof_lines(proofs, problem, variables)
    missing = [part.explanation.missing for part in asked.parts if part.explanation.missing]
    missing += [_link_grant(proof) for proof in proofs if _hides_link(proof)]
    yield from _proposal([grant_toml(grant, variables) for grant in missing])
    for grant in missing:
        entry = Catalogue(variables.home).match(grant.path, grant.rights)
        if entry:
            yield f"Think twice: it is sensitive ({entry.reason})."


def endpoint_lines(
    found: EndpointExplanation, proofs: Proofs, problem: str, known: Profile, variables: Variables
) -> Iterator[str]:
    """The answer for an endpoint."""
    about = words.endpoint(found.wanted)
    yield f"{'not ' if found.missing else ''}admitted: {found.wanted.action} {about}"
    for grant in found.admitting:
        yield f"  by {words.granted(grant)}"
        yield from _reasons(words.reasons(grant.witnesses, variables, words.endpoint(grant)))
    yield from _evidence(known, ("endpoint", about), variables)
    yield from _proof_lines(proofs, problem, variables)
    yield from _proposal([network_toml(found.missing, variables)] if found.missing else [])


def _part_lines(asked: Asked, part: Part, known: Profile, variables: Variables) -> Iterator[str]:
    answer, found = part.explanation, asked.found
    itself = part.role is Role.ITSELF
    about = found.path if itself else answer.path
    what = f"{words.verb(asked.operation)} {variables.contract(about)}"
    if not itself:
        what += f", its {part.role}"
    if answer.missing is None:
        yield f"admitted: {what}"
        for grant in answer.admitting:
            yield f"  by {words.reach(grant, variables)}  {words.rights_phrase(grant.rights)}"
            yield from _reasons(words.reasons(grant.witnesses, variables, grant.path))
        yield from _evidence(known, ("path", about), variables)
        return
    yield f"not admitted: {what}"
    yield from _evidence(known, ("path", about), variables)
    needed = " ".join(right_names(answer.needed))
    for grant in answer.nearby:
        yield f"  {words.reach(grant, variables)} gives {words.rights_phrase(grant.rights)}, but not {needed}"


def _proposal(blocks: list[str]) -> Iterator[str]:
    if blocks:
        yield f"{'This grant' if len(blocks) == 1 else 'These grants'} would admit it:"
        for block in blocks:
            yield ""
            yield from block.rstrip("\n").split("\n")


def _proof_lines(proofs: Proofs, problem: str, variables: Variables) -> Iterator[str]:
    if problem:
        yield f"not proved: {problem}"
    for proof in proofs:
        yield f"{_HEADINGS[proof.verdict]}: {_said(proof, variables)}"


_HEADINGS = {
    Verdict.AGREED: "proved",
    Verdict.EXPLAINED: "but",
    Verdict.DISPUTED: "BUG",
    Verdict.UNTRIED: "not proved",
}


def _said(proof: Proof, variables: Variables) -> str:
    claim = proof.claim
    what = words.endpoint(claim.endpoint) if claim.endpoint else variables.contract(claim.named or claim.path)
    if proof.verdict is Verdict.UNTRIED:
        return f"{what}: {proof.reason}"
    did = "admits" if proof.enforced else "refuses"
    code = f" ({errno.errorcode.get(proof.errno, proof.errno)})" if proof.errno else ""
    text = f"the enforcer {did} {what}{code}"
    if proof.verdict is Verdict.EXPLAINED:
        return f"{text}: {proof.reason}"
    if proof.verdict is Verdict.DISPUTED:
        return f"{text}, and the policy says otherwise: please report this"
    return text


def _hides_link(proof: Proof) -> bool:
    return bool(proof.hidden)


def _link_grant(proof: Proof) -> Grant:
    """What shows the first link that is hidden: as much on the link as is granted on what it leads to."""
    return Grant(proof.hidden, Scope.FILE, proof.claim.right, ())


def _evidence(known: Profile, about: tuple[str, str], variables: Variables) -> Iterator[str]:
    """What the trace that the profile was learned from, where it is kept, tells of this very object."""
    kept = Path(trace_path(name_for(known.name)))
    if not kept.exists():
        return
    # Imported here: the graph library takes longer to load than all else that `why` does.
    from learner import graph
    from learner.evidence import pointing_at, uses
    from learner.trace import read_trace

    try:
        evidence = graph.build(read_trace(kept))
    except InputFileError as problem:
        yield f"  (what was seen cannot be told: {problem})"
        return
    node = (graph.NodeKind(about[0]), about[1])
    for name in pointing_at(evidence, node):
        stands = "is a link to it" if name.startswith("/") else "was asked for by that name"
        yield f"  seen: {variables.contract(name)} {stands}"
    found = uses(evidence, node)
    for use in found[:_SHOWN_USES]:
        result = os.strerror(use.outcome) if use.outcome else "done"
        why = f" to run {use.running}" if use.running else ""
        yield f"  seen: {' → '.join(map(to_text, use.chain))}: {use.operation}{why}: {result}"
    if len(found) > _SHOWN_USES:
        yield f"  seen: and {len(found) - _SHOWN_USES} uses more"


def _reasons(reasons: list[str]) -> Iterator[str]:
    for reason in reasons or [words.BY_HAND]:
        yield f"     {reason}"


# --- the same as a document


def path_document(
    asked: Asked, proofs: Proofs, problem: str, targets: Mapping[str, str], variables: Variables
) -> dict[str, Any]:
    """The answer for a path with stable keys."""
    missing = [part.explanation.missing for part in asked.parts if part.explanation.missing]
    missing += [_link_grant(proof) for proof in proofs if _hides_link(proof)]
    return {
        "name": to_text(asked.name),
        "operation": asked.operation.value,
        "kind": asked.found.kind.value,
        "links": [{"path": to_text(link), "target": to_text(text)} for link, text in targets.items()],
        "admitted": asked.admitted,
        "parts": [
            {
                "role": part.role.value,
                "path": to_text(part.explanation.path),
                "right": " ".join(right_names(part.explanation.needed)),
                "admitted": part.explanation.missing is None,
                "by": [_grant(grant, variables) for grant in part.explanation.admitting],
                "nearby": [_grant(grant, variables) for grant in part.explanation.nearby],
            }
            for part in asked.parts
        ],
        "missing": [grant_toml(grant, variables) for grant in missing],
        **_proof_document(proofs, problem),
    }


def endpoint_document(found: EndpointExplanation, proofs: Proofs, problem: str, variables: Variables) -> dict[str, Any]:
    """The answer for an endpoint with stable keys."""
    return {
        "endpoint": words.endpoint(found.wanted),
        "operation": found.wanted.action.value,
        "admitted": found.missing is None,
        "by": [words.granted(grant) for grant in found.admitting],
        "missing": [network_toml(found.missing, variables)] if found.missing else [],
        **_proof_document(proofs, problem),
    }


def _grant(grant: Grant, variables: Variables) -> dict[str, Any]:
    return {
        "path": variables.contract(grant.path),
        "scope": grant.scope.value,
        "rights": list(right_names(grant.rights)),
    }


def _proof_document(proofs: Proofs, problem: str) -> dict[str, Any]:
    return {
        "unproved": problem,
        "proofs": [
            {
                "object": words.endpoint(p.claim.endpoint)
                if p.claim.endpoint
                else to_text(p.claim.named or p.claim.path),
                "claimed": p.claim.admitted,
                "enforced": p.enforced,
                "verdict": p.verdict.value,
                "errno": errno.errorcode.get(p.errno, "") if p.errno else "",
                "reason": p.reason,
            }
            for p in proofs
        ],
    }
