"""The JSON form of a result. Its keys are stable: they may be added to, never renamed."""

from typing import Any

from learner.canaries import Outcome, Verdict
from learner.escapes.outcome import Released
from learner.findings import Result, findings
from learner.minimal import Minimal
from learner.names import to_text
from learner.policy import Witness, right_names
from learner.words import granted
from reports.audit import broker_record


def summary(result: Result) -> dict[str, Any]:
    """Plain values for a JSON encoder; paths as :func:`learner.names.to_text` gives them."""
    trace, cover, checked = result.trace, result.cover, result.verification
    end = trace.end
    canaries = checked.canaries
    return {
        "profile": to_text(result.profile),
        "command": to_text(trace.header.command),
        "command_status": end.status if end else None,
        "accesses": len(trace.accesses),
        "calls": end.calls if end else None,
        "processes": len(trace.programs) - 1,
        "grants": [
            {
                "path": to_text(g.path),
                "scope": g.scope.value,
                "rights": list(right_names(g.rights)),
                "ensure": g.ensure,
                "witnesses": [_witness(w) for w in g.witnesses],
            }
            for g in cover.policy.grants
        ],
        "network": [
            {
                "action": n.action.value,
                "host": to_text(n.host),
                "port": n.port,
                "transport": n.transport.value,
                "witnesses": [_witness(w) for w in n.witnesses],
            }
            for n in cover.policy.network
        ],
        "services": [
            {
                "operation": to_text(s.operation),
                "name": to_text(s.name),
                "witnesses": [_witness(w) for w in s.witnesses],
            }
            for s in cover.policy.services
        ],
        "probes": [to_text(path) for path in cover.policy.probes],
        "new": None if result.news is None else [n._asdict() for n in result.news],
        "sensitive": [
            {
                "path": to_text(s.path),
                "reason": s.reason,
                "rights": list(right_names(s.rights)),
                "programs": [to_text(p) for p in s.programs],
                "granted": s.granted,
                "within": to_text(s.within),
                "refused": s.refused,
            }
            for s in cover.sensitive
        ],
        "surface": {
            "needed": result.surface.needed,
            "granted": result.surface.granted,
            "excess": result.surface.excess,
            "items": [{"path": to_text(item.path), "excess": item.excess} for item in result.surface.items],
        },
        "verify": {
            "mode": checked.mode,
            "enforcer": checked.enforcer,
            "admitted": checked.replay.admitted if checked.replay else 0,
            "untried": checked.replay.untried if checked.replay else 0,
            "refused": [str(r) for r in checked.replay.refused] if checked.replay else [],
            "failure": checked.failure,
            "live": _live(result),
            "minimal": _minimal(checked.minimal),
            "canaries": {
                "refused": sum(o.verdict is Verdict.REFUSED for o in canaries),
                "through": [_canary(o) for o in canaries if o.verdict is Verdict.THROUGH],
                "void": [str(o) for o in canaries if o.verdict is Verdict.VOID],
            },
            "escapes": _escapes(checked.escapes),
        },
        "brokers": [broker_record(broker, trace.header.variables) for broker in result.brokers],
        "gaps": [{"item": g.item, "reason": g.reason} for g in result.gaps],
        "findings": list(findings(result)),
        "tracer": trace.header.tracer,
        "deduced": end.deduced if end else False,
        "lost": (end.lost if end else 0) + trace.skipped,
        "unfinished": end.unfinished if end else 0,
        "notes": list(end.notes) if end else [],
        "seconds": result.seconds,
    }


def _witness(witness: Witness) -> dict[str, Any]:
    return {
        "program": to_text(witness.program),
        "operations": [o.value for o in witness.operations],
        "example": to_text(witness.example),
        "objects": witness.objects,
    }


def _canary(outcome: Outcome) -> dict[str, Any]:
    return {"canary": str(outcome), "gap": outcome.canary.gap if outcome.known else None}


def _escapes(released: Released | None) -> dict[str, Any] | None:
    if released is None:
        return None
    return {
        "verdicts": {verdict.name.lower(): count for verdict, count in released.counts().items()},
        "tried": [
            {
                "escape": to_text(t.escape.name),
                "family": t.escape.family.value,
                "verdict": t.verdict.name.lower(),
                "detail": to_text(t.detail),
            }
            for t in released.tried
        ],
        "changed": [to_text(change) for change in released.changed],
    }


def _minimal(found: Minimal | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "proved": len(found.proved),
        "dropped": [granted(g) for g in found.dropped],
        "unproved": [{"grant": granted(u.grant), "reason": u.reason} for u in found.unproved],
        "spare_rights": found.spare,
    }


def _live(result: Result) -> dict[str, Any] | None:
    live = result.verification.live
    if live is None:
        return None
    return {
        "rounds": live.rounds,
        "status": live.status,
        "expected": live.expected,
        "holds": live.holds,
        "lost": live.lost,
        "repaired": [f"{d.access.operation} {to_text(d.access.object)}" for d in live.repaired],
        "denied": [
            {
                "access": f"{d.access.operation} {to_text(d.access.object)}",
                "program": to_text(d.program),
                "recorded": d.recorded,
            }
            for d in live.denied
        ],
    }
