"""What a person reads after learning or verifying. Goes to standard error: standard output is the command's."""

from rich.console import Console
from rich.text import Text

from learner.audit.brokers import Reach
from learner.canaries import Verdict
from learner.escapes.escape import Family
from learner.escapes.outcome import Released, Tried
from learner.escapes.outcome import Verdict as EscapeVerdict
from learner.findings import Result, findings
from learner.minimal import Minimal
from learner.names import to_text
from learner.policy import CHANGES, Right, Scope
from learner.words import endpoint, granted, service
from reports.audit import broker_text

_MANY = 12
_LARGEST = 3


def show(result: Result, *, verbose: bool = False, console: Console | None = None) -> None:
    """Print ``result``; ``verbose`` lists what is otherwise counted."""
    out = console or Console(stderr=True, highlight=False, soft_wrap=True)
    out.print(_title(result))
    for label, text in _rows(result, verbose):
        for number, line in enumerate(text.split("\n")):
            out.print(Text.assemble((f"  {'' if number else label:<10}", "bold"), line))
    if result.news is not None:
        for novelty in result.news:
            out.print(Text.assemble(("  new  ", "bold"), f"{novelty.item}  {novelty.rights}"))
        if not result.news:
            out.print(Text("  nothing new"))
    problems = findings(result)
    for problem in problems if verbose else problems[:_MANY]:
        style = "red" if problem.startswith(("sensitive", "the canary")) else "yellow"
        out.print(Text.assemble(("  ! ", style), (problem, style)))
    if len(problems) > _MANY and not verbose:
        out.print(Text(f"  ! and {len(problems) - _MANY} more: use -v, or --json", "yellow"))
    out.print(_next(result, problems))


def _title(result: Result) -> Text:
    end = result.trace.end
    how = f"exit status {end.status}, {end.seconds:.1f} s" if end else "cut short"
    programs = len(result.trace.programs) - 1
    return Text.assemble(
        ("sbx ", "bold"),
        f"{to_text(result.trace.header.command)}: {len(result.trace.accesses)} distinct accesses "
        f"by {programs} program{'s' if programs != 1 else ''} ({how})",
    )


def _rows(result: Result, verbose: bool) -> list[tuple[str, Text]]:
    policy = result.cover.policy
    changed = [g for g in policy.grants if g.rights & CHANGES]
    run = sum(bool(g.rights & Right.EXEC) for g in policy.grants)
    rows = [
        (
            "grants",
            Text(
                f"{len(policy.grants)}: {len(policy.grants) - len(changed) - run} to read, {run} to execute, "
                f"{len(changed)} to change"
            ),
        )
    ]
    trees = [to_text(g.path) for g in changed if g.scope is Scope.TREE]
    if trees:
        rows.append(("changes", Text("\n".join(trees))))
    rows.append(("network", Text("\n".join(endpoint(n) for n in policy.network) or "none")))
    if policy.services:
        rows.append(("services", Text(", ".join(service(s) for s in policy.services))))
    for broker in result.brokers:
        if verbose or broker.reach is not Reach.THERE:
            rows.append(("broker", Text(broker_text(broker, result.trace.header.variables), "yellow")))
    for use in result.cover.sensitive:
        verdict = "granted, as you asked" if use.granted else "not granted"
        if use.within:
            verdict = f"open all the same within {to_text(use.within)}"
        rows.append(("sensitive", Text(f"{to_text(use.path)} ({use.reason}): {verdict}", "red")))
    surface = result.surface
    if not result.trace.header.is_foreign:
        rows.append(("surface", Text(f"{surface.granted} objects open, {surface.needed} of them needed")))
    shown = surface.items if verbose else surface.items[:_LARGEST]
    rows += [("excess", Text("\n".join(f"{item.excess} in {to_text(item.path)}" for item in shown)))] if shown else []
    rows += _verified(result)
    rows += _escapes(result.verification.escapes, verbose)
    rows += _minimal(result.verification.minimal, verbose)
    if result.verification.enforcer:
        rows.append(("enforcer", Text(result.verification.enforcer)))
    if verbose:
        rows += [("gap", Text(f"{g.item}: {g.reason}", "dim")) for g in result.gaps]
        if result.trace.end:
            how = "outcomes were deduced, not seen" if result.trace.end.deduced else "outcomes were seen"
            rows.append(("tracer", Text(f"{result.trace.header.tracer}: {how}", "dim")))
            rows += [("note", Text(note, "dim")) for note in result.trace.end.notes]
    elif result.gaps:
        rows.append(("gaps", Text(", ".join(to_text(g.item) for g in result.gaps) + " (-v explains)", "dim")))
    rows.append(("profile", Text(to_text(result.profile))))
    return rows


def _verified(result: Result) -> list[tuple[str, Text]]:
    checked = result.verification
    if checked.mode == "off" or checked.failure:
        return [("verified", Text("no", "yellow"))]
    rows = []
    if checked.live:
        live = checked.live
        what = f"live: {live.rounds} confined run{'s' if live.rounds > 1 else ''}, exit status {live.status}"
        what += f", {len(live.repaired)} denials repaired" if live.repaired else ""
        what += (
            f", {len(live.denied)} denied still"
            if live.denied
            else ", no denial seen"
            if live.lost
            else ", nothing denied"
        )
        rows.append(("verified", Text(what, "green" if live.holds else "red")))
        rows += [
            ("denied", Text(f"{d.access.operation} {to_text(d.access.object)} ({to_text(d.program)})", "dim"))
            for d in live.denied[:_MANY]
        ]
    if checked.replay:
        replay = checked.replay
        what = f"replay: {replay.admitted} of {replay.tried} accesses admitted"
        what += f", {replay.untried} could not be tried" if replay.untried else ""
        rows.append(("verified", Text(what, "green" if not replay.refused else "red")))
    counts = {v: sum(o.verdict is v for o in checked.canaries) for v in Verdict}
    rows.append(
        (
            "canaries",
            Text(f"{counts[Verdict.REFUSED]} refused, {counts[Verdict.THROUGH]} through, {counts[Verdict.VOID]} void"),
        )
    )
    known = [o.canary.name for o in checked.canaries if o.verdict is Verdict.THROUGH and o.known]
    if known:
        rows.append(("through", Text("; ".join(known) + " (known gaps)", "dim")))
    rows += [("through", Text(str(o), "red")) for o in checked.canaries if o.verdict is Verdict.THROUGH and not o.known]
    return rows


def _escapes(released: Released | None, verbose: bool) -> list[tuple[str, Text]]:
    """A line for each family; names where they got through, reasons of the void ones if ``verbose``."""
    if released is None:
        return []
    title = f"{'by family':<30}" + "".join(f"{word:>12}" for word in ("refused", "stated gap", "void", "FAILED"))
    rows = [("escapes", Text(title, "bold"))]
    for family in (*Family, None):
        counts = released.counts(family)
        if not sum(counts.values()):
            continue
        style = "red" if counts[EscapeVerdict.FAILED] else ""
        cells = "".join(f"{counts[verdict] or '':>12}" for verdict in EscapeVerdict)
        rows.append(("", Text(f"{family or 'together':<30}{cells}", style)))
    for verdict, label, style in (
        (EscapeVerdict.GAP, "stated", "dim"),
        (EscapeVerdict.VOID, "void", "dim"),
        (EscapeVerdict.FAILED, "FAILED", "red"),
    ):
        found = [t for t in released.tried if t.verdict is verdict]
        if verdict is not EscapeVerdict.VOID or verbose:
            rows += [(label, Text(line, style)) for line in _by_detail(found)]
    return rows


def _by_detail(found: list[Tried]) -> list[str]:
    """One line for each detail, with the names that share it."""
    details = sorted({t.detail for t in found})
    return [f"{to_text(d)}: {'; '.join(to_text(t.escape.name) for t in found if t.detail == d)}" for d in details]


def _minimal(found: Minimal | None, verbose: bool) -> list[tuple[str, Text]]:
    if found is None:
        return []
    what = f"{len(found.proved)} grants proved needed, {len(found.dropped)} dropped"
    if found.unproved:
        what += f", {len(found.unproved)} could not be decided and stay" + ("" if verbose else " (-v names them)")
    else:
        what += ": 1-minimal"
    rows = [("minimal", Text(what, "yellow" if found.unproved else "green"))]
    rows += [("dropped", Text(granted(grant))) for grant in found.dropped]
    if verbose:
        rows += [("unproved", Text(f"{granted(u.grant)}: {u.reason}", "dim")) for u in found.unproved]
    return rows


def _next(result: Result, problems: tuple[str, ...]) -> Text:
    if problems:
        return Text(f"  done, with {len(problems)} finding{'s' if len(problems) > 1 else ''} to read", "yellow")
    return Text("  done", "green")
