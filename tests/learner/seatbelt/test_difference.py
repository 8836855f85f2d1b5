"""What ``sbx diff`` says of the macOS-only parts of a policy, held to what the judge of SBPL admits."""

import json
from pathlib import Path

import pytest
from accesses import HOME, PROJECT
from hypothesis import given, settings
from hypothesis import strategies as st

from learner.change import Kind, Severity, Side
from learner.cli.main import main
from learner.difference import compare
from learner.gaps import Gap
from learner.gate import Gate, closed
from learner.policy import Grant, Policy, Right, Scope, ServiceGrant, Witness
from learner.profile import Profile, dumps
from learner.seatbelt.evaluate import Request
from learner.seatbelt.judged import judge
from learner.targets.feature import missing
from learner.variables import Variables
from tracers.events import Operation

HERE = Variables(PROJECT, HOME)
NAMED = [("mach-lookup", "a.b"), ("mach-lookup", "c.d"), ("sysctl-read", "hw.ncpu"), ("iokit-open-service", "X")]
PATHS = [f"{HOME}/a", f"{HOME}/a/b", f"{HOME}/a/b/c", f"{PROJECT}/x", "/opt"]
_services = st.sets(st.sampled_from([*NAMED, ("mach-lookup", ""), ("iokit-open", ""), ("process-fork", "")]))
_grants = st.sets(st.tuples(st.sampled_from(PATHS), st.sampled_from(Scope), st.sampled_from([Right.READ, Right.WRITE])))


def service(operation: str, name: str = "", *programs: str) -> ServiceGrant:
    by = tuple(Witness(label, (Operation.SERVICE,), name or operation) for label in programs)
    return ServiceGrant(operation, name, by)


_policies = st.builds(
    lambda services, probes, links, grants: Policy(
        grants=tuple(Grant(path, scope, right, ()) for path, scope, right in sorted(grants, key=str)),
        links=tuple(sorted(links)),
        services=tuple(service(*each) for each in sorted(services)),
        probes=tuple(sorted(probes)),
    ),
    _services,
    st.sets(st.sampled_from(PATHS)),
    st.sets(st.sampled_from(PATHS)),
    _grants,
)


def mac(policy: Policy) -> Side:
    return Side(policy, HERE, mac=True)


@given(_policies, _policies)
@settings(max_examples=200, deadline=None)
def test_what_is_new_is_what_only_the_new_profile_admits(old: Policy, new: Policy) -> None:
    """Services exactly; of looking, nothing is left out, and nothing is said that the old one admitted."""
    found = compare(mac(old), mac(new), exact=True).added
    before, after = judge(old), judge(new)
    said = [change.service for change in found if change.service]
    for operation, name in [*NAMED, ("process-fork", "")]:
        asked = Request(operation, name=name)
        if after.admits(asked) and not before.admits(asked):
            assert any(operation.startswith(s.operation) and s.name in ("", name) for s in said)
    for each in said:
        assert not before.admits(Request(each.operation, name=each.name or "any other"))
    looks = {change.path for change in found if change.kind is Kind.LOOK}
    for path in (*new.probes, *new.links):
        operations = ["file-read-metadata", *(["file-read-xattr"] if path in new.probes else [])]
        assert (path in looks) is not all(before.admits(Request(one, path)) for one in operations)


def test_each_has_its_place_in_the_order() -> None:
    new = Policy(
        services=(
            service("file-lock", f"{HOME}/.aws/credentials"),
            service("mach-lookup", "com.apple.SecurityServer", "git"),
            service("mach-lookup", "com.apple.logd"),
            service("process-fork"),
            service("sysctl-read", "hw.ncpu"),
            service("sysctl-write", "kern.x"),
            service("user-preference-read", "com.apple.finder"),
        ),
        probes=(f"{HOME}/.x", f"{PROJECT}/.x", "/opt/x"),
    )
    found = compare(mac(Policy()), mac(new)).added
    assert {(change.path, change.severity, change.kind) for change in found} == {
        (f"file-lock {HOME}/.aws/credentials", Severity.SENSITIVE, Kind.READ),
        ("mach-lookup com.apple.SecurityServer", Severity.SENSITIVE, Kind.CONNECT),
        ("mach-lookup com.apple.logd", Severity.HOST, Kind.CONNECT),
        ("process-fork", Severity.EXECUTABLE, Kind.EXECUTE),
        ("sysctl-read hw.ncpu", Severity.SYSTEM, Kind.READ),
        ("sysctl-write kern.x", Severity.OUTSIDE, Kind.WRITE),
        ("user-preference-read com.apple.finder", Severity.HOME, Kind.READ),
        (f"{HOME}/.x", Severity.HOME, Kind.LOOK),
        (f"{PROJECT}/.x", Severity.OWN, Kind.LOOK),
        ("/opt/x", Severity.SYSTEM, Kind.LOOK),
    }
    stopped = {gate: sorted(change.path.split()[0] for change in found if closed(gate, change)) for gate in Gate}
    assert stopped[Gate.SENSITIVE] == ["file-lock", "mach-lookup"]
    assert stopped[Gate.NETWORK] == ["mach-lookup", "mach-lookup"]
    assert (stopped[Gate.WRITE], stopped[Gate.EXEC]) == (["sysctl-write"], ["process-fork"])
    assert len(stopped[Gate.ANY]) == 10


def test_numbers_that_pass_are_no_difference() -> None:
    one, other = (Policy(services=(service("mach-register", f"org.x.Port.{n}"),)) for n in (1234, 98))
    assert not compare(mac(one), mac(other)).added
    assert compare(mac(one), mac(other), exact=True).added


def test_every_form_says_it_and_it_can_be_accepted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = Policy(services=(service("mach-lookup", "com.apple.gone", "vibe"),))
    new = Policy(services=(service("mach-lookup", "com.apple.SecurityServer", "git"),), probes=("/opt/x",))
    files = [str(tmp_path / f"{name}.toml") for name in ("old", "new")]
    for file, policy in zip(files, (old, new), strict=True):
        Path(file).write_text(dumps(Profile("vibe", "vibe", policy, platform="darwin"), HERE))
    for form in ("console", "markdown", "sarif"):
        assert main(["diff", *files, "--format", form, "--fail-on", "network"]) == 1
        said = capsys.readouterr().out
        assert "mach-lookup com.apple.SecurityServer" in said
        assert "the keychain" in said
        assert "git" in said
        assert ("com.apple.gone" in said) is (form != "sarif")  # alerts are about what was added
    main(["diff", *files, "--format", "json"])
    first = json.loads(capsys.readouterr().out)["added"][0]
    assert (first["severity"], first["kind"], first["service"], first["by"]) == (
        "sensitive",
        "connect",
        "mach-lookup",
        ["git"],
    )
    assert main(["diff", *files, "--accept"]) == 0
    assert main(["diff", *files, "--fail-on", "any"]) == 0


def test_a_format_that_knows_no_services_says_so() -> None:
    policy = Policy(services=(service("mach-lookup", "com.apple.logd"),))
    assert missing(policy, {}) == (
        Gap(
            "services of macOS (mach-lookup com.apple.logd)", "nothing here says so: they are as that sandbox has them"
        ),
    )
    assert missing(policy, {}, services=True) == ()
