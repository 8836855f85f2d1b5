import string

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import hostile_names, paths, rights

from learner.access import Kind
from learner.policy import Grant, NetworkAction, NetworkGrant, Policy, Right, Scope, ServiceGrant
from learner.profile import Profile
from learner.seatbelt.denied import denied_within
from learner.seatbelt.emit import emit, masking, text
from learner.seatbelt.evaluate import Judge, Request
from learner.seatbelt.sbpl import parse
from learner.seatbelt.services import FILTERS
from learner.targets.seatbelt import SEATBELT
from learner.targets.target import Request as ExportRequest
from learner.variables import Variables
from tracers.events import Endpoint, Family, Transport
from tracers.seatbelt_calls import canonical

HOME = "/Users/ada"
WORK = f"{HOME}/work"
hostile = st.one_of(
    hostile_names,
    st.sampled_from(['x"))(allow default)', "x\\", '\\"', "a\n(allow default)", "*", "[a]", "(param HOME)", ";", '#"']),
    st.text(string.punctuation, min_size=1, max_size=8).filter(lambda t: "/" not in t and t not in (".", "..")),
)
hostile_paths = st.lists(hostile, min_size=1, max_size=3).map(lambda parts: "/Users/ada/" + "/".join(parts))
policies = st.builds(
    Policy,
    grants=st.lists(st.builds(Grant, hostile_paths, st.sampled_from(Scope), rights, st.just(())), max_size=4).map(
        tuple
    ),
    links=st.lists(hostile_paths, max_size=2).map(tuple),
    services=st.lists(
        st.builds(ServiceGrant, st.one_of(st.sampled_from(sorted(FILTERS)), hostile), hostile, st.just(())), max_size=3
    ).map(tuple),
    probes=st.lists(hostile_paths, max_size=2).map(tuple),
)


def judge(*grants: Grant, **more: object) -> Judge:
    return Judge(text(emit(Policy(grants, **more))))  # type: ignore[arg-type]


def grant(path: str, rights: Right, scope: Scope = Scope.FILE) -> Grant:
    return Grant(path, scope, rights, ())


@given(policies, st.lists(hostile_paths, max_size=2))
def test_no_name_adds_a_rule(policy: Policy, denied: list[str]) -> None:
    """The profile has the rules that were meant, and none admits what nothing grants."""
    emitted = emit(policy, denied)
    written = text(emitted, tag="sbx-1")
    expressions = parse(written)
    assert len(expressions) == 2 + len(emitted.rules)
    found = Judge(written)
    trees = {canonical(g.path) for g in policy.grants if g.scope is Scope.TREE}
    for operation in ("file-read-data", "file-write-data", "file-write-create", "process-exec*"):
        assert not found.admits(Request(operation, "/Users/eve/secret"))
        assert "/" in trees or not found.admits(Request(operation, "/private/etc/sudoers"))
    used = {s.name for s in policy.services} | {""}
    assert found.admits(Request("mach-lookup", name="com.apple.SecurityServer")) <= (
        "" in used and any(s.operation == "mach-lookup" and not s.name for s in policy.services)
    )


@given(paths, st.sampled_from(Scope), rights)
def test_a_grant_admits_what_it_says_or_is_a_gap(path: str, scope: Scope, rights: Right) -> None:
    emitted = emit(Policy((Grant(path, scope, rights, ()),)))
    found = Judge(text(emitted))
    at = canonical(path)
    beneath = at if scope is Scope.FILE else f"{at.rstrip('/')}/x"
    asked = {Right.READ: "file-read-data", Right.WRITE: "file-write-data", Right.EXEC: "process-exec*"}
    for right, operation in asked.items():
        if right in rights:
            assert found.admits(Request(operation, beneath)) or emitted.gaps
    assert found.admits(Request("file-read-metadata", at)) or emitted.gaps


def test_each_right_is_its_own() -> None:
    found = judge(
        grant(f"{WORK}/d", Right.CREATE), grant(f"{WORK}/s", Right.LIST, Scope.TREE), grant("/bin/ls", Right.EXEC)
    )
    assert found.admits(Request("file-write-create", f"{WORK}/d/new"))
    assert not found.admits(Request("file-write-create", f"{WORK}/d/new/deeper"))
    assert not found.admits(Request("file-write-data", f"{WORK}/d/new"))
    assert not found.admits(Request("file-read-data", f"{WORK}/s/file"))
    assert found.admits(Request("process-exec*", "/bin/ls"))
    assert not found.admits(Request("file-read-data", "/bin/ls"))


def test_what_leads_there_may_be_looked_at() -> None:
    found = judge(grant(f"{WORK}/a/b", Right.READ), links=(f"{HOME}/.vibe/config.toml",), probes=(f"{HOME}/.nothing",))
    for path in (
        "/",
        "/Users",
        HOME,
        WORK,
        f"{WORK}/a",
        f"{HOME}/.vibe",
        f"{HOME}/.vibe/config.toml",
        f"{HOME}/.nothing",
    ):
        assert found.admits(Request("file-read-metadata", path)), path
    for path in (f"{HOME}/.ssh", f"{WORK}/other"):
        assert not found.admits(Request("file-read-metadata", path)), path
    assert not found.admits(Request("file-read-data", f"{HOME}/.vibe/config.toml"))


@pytest.mark.parametrize("path", [".ssh/id_rsa", ".SSH/id_rsa", ".ssh"])
def test_what_is_denied_below_a_tree_is_so_in_any_case(path: str) -> None:
    policy = Policy((grant(HOME, Right.READ | Right.WRITE, Scope.TREE),))
    denied = denied_within(policy, HOME)
    assert f"{HOME}/.ssh" in denied
    found = Judge(text(emit(policy, denied)), fold=False)
    assert not found.admits(Request("file-read-data", f"{HOME}/{path}"))
    assert not found.admits(Request("file-read-metadata", f"{HOME}/{path}"))
    assert found.admits(Request("file-read-data", f"{HOME}/.sshx"))


def test_the_target_says_what_it_cannot() -> None:
    policy = Policy(
        (grant(WORK, Right.READ, Scope.TREE),),
        (NetworkGrant(NetworkAction.CONNECT, "api.mistral.ai", 443, Transport.TCP, ()),),
        services=(ServiceGrant("forbidden-exec-sugid", ""),),
    )
    profile = Profile("vibe", "vibe", policy, platform="darwin")
    export = SEATBELT.export(ExportRequest(profile, ("vibe",), Variables(WORK, HOME), (f"{WORK}/.env",)))
    items = " ".join(gap.item for gap in export.gaps)
    assert "hosts" in items
    assert "list apart" in items
    assert "forbidden-exec-sugid" in items
    written = export.data.decode()
    assert all(f"; Not said here: {gap.item}" in written for gap in export.gaps)
    assert '(allow network-outbound (remote tcp "*:443"))' in written
    assert not Judge(written).admits(Request("file-read-data", f"{WORK}/.env"))
    lines = SEATBELT.admit((grant(f"{WORK}/x", Right.READ),), ())
    assert any(f'(literal "{WORK}/x")' in line for line in lines)


def test_what_is_masked_is_out_of_reach_and_the_rest_is_not() -> None:
    keys, project = f"{HOME}/.config/tool/keys", f"{HOME}/work"
    masked = [keys, f'{project}/a "b" (c)/.env', "/tmp/agent.sock"]
    profile = masking(masked, ["com.apple.secd"], "sbx-1", there=masked)
    judge = Judge(profile)
    assert not judge.admits(Request("file-read-data", f"{keys.upper()}/id"))

    def admits(operation: str, path: str = "", **more: str) -> bool:
        return judge.admits(Request(operation, path, **more))  # type: ignore[arg-type]

    for operation in ("file-read-data", "file-write-data", "file-write-unlink", "file-link", "process-exec*"):
        assert not admits(operation, f"{keys}/id")
        assert admits(operation, f"{project}/x")
    assert admits("file-read-metadata", keys)
    assert not admits("file-read-data", f'{project}/a "b" (c)/.env')
    assert not admits("network-outbound", "/private/tmp/agent.sock")
    for above in (f"{HOME}/.config/tool", f"{HOME}/.config", HOME):
        assert not admits("file-write-unlink", above)  # moved away, it would have another name
        assert admits("file-read-data", above)
    assert not admits("mach-lookup", name="com.apple.secd")
    assert admits("mach-lookup", name="com.apple.logd")
    assert not admits("appleevent-send")
    assert admits("network-outbound", endpoint=Endpoint(Family.INET, "192.0.2.1", 443, Transport.TCP))  # type: ignore[arg-type]


def test_a_directory_above_what_is_denied_cannot_be_moved_away() -> None:
    policy = Policy((Grant(HOME, Scope.TREE, Right.READ | Right.CREATE | Right.REMOVE | Right.RMDIR, ()),))
    judge = Judge(text(emit(policy, [f"{HOME}/.config/gcloud/tokens"])))
    assert not judge.admits(Request("file-write-unlink", f"{HOME}/.config/gcloud", Kind.DIRECTORY))
    assert judge.admits(Request("file-write-unlink", f"{HOME}/.config/other", Kind.DIRECTORY))
