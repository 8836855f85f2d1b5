"""SBPL, the profile language of the macOS sandbox: ``sandbox-exec -f FILE COMMAND``."""

from collections.abc import Mapping

from learner.gaps import Gap
from learner.names import to_text
from learner.policy import Grant, NetworkGrant, Policy
from learner.seatbelt.emit import emit, text
from learner.targets.feature import Feature, missing
from learner.targets.target import Export, Request, remarks
from learner.trace import DARWIN
from tracers.seatbelt_calls import canonical

_ELSEWHERE = Gap(
    "what macOS needs",
    "it was learned on another system: the services and libraries that the program uses on a Mac are not in it",
)


class SeatbeltTarget:
    """A profile of the macOS sandbox."""

    name = "seatbelt"
    suffix = ".sb"
    executable = False
    lacks: Mapping[Feature, str] = {
        Feature.LIST_APART: "who may read a tree may list it; listing alone is kept apart",
        Feature.CHANGES_APART: "files and directories are made, and removed, by one right",
        Feature.ABSTRACT_SOCKETS: "macOS has none",
        Feature.HOSTS: "there is only localhost and everywhere: a granted port is open on every host",
        Feature.ENSURE: "a profile makes nothing: sbx run does, or make them yourself",
    }

    def export(self, request: Request) -> Export:
        """See :class:`~learner.targets.target.Target`."""
        policy = request.profile.policy
        targets = {link: canonical(target) for link, target in request.links if target.startswith("/")}
        emitted = emit(policy, request.denied, targets)
        gaps = [*missing(policy, self.lacks, request.denied, services=True), *emitted.gaps]
        if request.profile.platform != DARWIN:
            gaps.append(_ELSEWHERE)
        elif not request.variables.home.startswith(("/Users/", "/private/var/root")):
            where = f"$HOME was taken as {to_text(request.variables.home)}, which is no home of a Mac"
            gaps.append(Gap("the home directory", f"{where}: export it there"))
        ordered = tuple(sorted(set(gaps)))
        return Export(text(emitted, remarks(request, ordered)).encode(), ordered)

    def admit(self, grants: tuple[Grant, ...], network: tuple[NetworkGrant, ...]) -> tuple[str, ...]:
        """See :class:`~learner.targets.target.Target`: the rules that every profile of ours has are left out."""
        usual = set(emit(Policy()).rules)
        rules = (rule for rule in emit(Policy(grants, network)).rules if rule not in usual)
        return tuple(line for rule in rules for line in str(rule).splitlines())


SEATBELT = SeatbeltTarget()
