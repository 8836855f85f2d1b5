"""The jail's own DNS: checked against dnspython, and fed with what no client should send."""

import dns.exception
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learner.jail.addresses import NETWORK, Names, ResolvConf, answer, service_host
from learner.jail.dns import Code, Malformed, Type, failure, found, parse
from learner.jail.rules import Rules

RULES = Rules([("api.example.org", 443), ("*.example.net", 443)])


def ask(
    name: str, kind: str = "A", rules: Rules = RULES, names: Names | None = None
) -> tuple[dns.message.Message, bool]:
    query = dns.message.make_query(name, kind, use_edns=True)
    said, allowed = answer(parse(query.to_wire()), rules, names or Names())
    response = dns.message.from_wire(said)
    assert query.is_response(response)
    return response, allowed


def test_an_allowed_name_has_an_address_of_the_jail() -> None:
    names = Names()
    response, allowed = ask("API.example.org", names=names)
    [record] = response.answer[0]
    assert allowed
    assert record.address == "198.18.0.2"
    assert names.name("198.18.0.2") == "api.example.org"
    assert ask("api.example.org", names=names)[0].answer[0][0].address == "198.18.0.2"
    assert ask("a.example.net", names=names)[0].answer[0][0].address == "198.18.0.3"
    back, _ = ask("2.0.18.198.in-addr.arpa", "PTR", names=names)
    assert back.answer[0][0].target.to_text() == "api.example.org."


@pytest.mark.parametrize("name", ["example.org", "c2VjcmV0.evil.test", "api.example.org.corp.test", "."])
@pytest.mark.parametrize("kind", ["A", "AAAA", "TXT", "NULL", "HTTPS"])
def test_other_names_do_not_exist(name: str, kind: str) -> None:
    response, allowed = ask(name, kind)
    assert not allowed
    assert response.rcode() == dns.rcode.NXDOMAIN
    assert not response.answer


@pytest.mark.parametrize("kind", ["AAAA", "TXT", "MX", "HTTPS", "ANY"])
def test_allowed_names_have_no_other_records(kind: str) -> None:
    response, allowed = ask("api.example.org", kind)
    assert allowed
    assert response.rcode() == dns.rcode.NOERROR
    assert not response.answer


def test_services_are_those_of_their_host() -> None:
    assert service_host("_http._tcp.deb.debian.org") == "deb.debian.org"
    assert service_host("_http") == "_http"
    assert ask("_https._tcp.api.example.org", "SRV")[1]
    assert not ask("_https._tcp.evil.test", "SRV")[1]


def test_addresses_run_out() -> None:
    names = Names(capacity=1)
    assert ask("a.example.net", names=names)[0].rcode() == dns.rcode.NOERROR
    assert ask("b.example.net", names=names)[0].rcode() == dns.rcode.SERVFAIL
    assert ask("a.example.net", names=names)[0].rcode() == dns.rcode.NOERROR


@given(st.integers(0, 3000))
def test_no_two_names_share_an_address(count: int) -> None:
    names = Names()
    given_out = {names.address(str(n)) for n in range(count)}
    assert len(given_out) == count
    assert not given_out & {str(NETWORK[0]), str(NETWORK[1]), str(NETWORK[-1])}


QUERY = dns.message.make_query("api.example.org", "A").to_wire()


@pytest.mark.parametrize("cut", range(len(QUERY)))
def test_truncated_messages(cut: int) -> None:
    with pytest.raises(Malformed) as caught:
        parse(QUERY[:cut])
    if caught.value.answer:
        assert dns.message.from_wire(caught.value.answer).rcode() == dns.rcode.FORMERR
        assert cut >= 12


def test_messages_that_are_no_queries() -> None:
    for wire in (
        QUERY[:2] + bytes([QUERY[2] | 0x80]) + QUERY[3:],  # an answer: never answered, or two servers would chat
        b"",
        b"\0" * 11,
    ):
        with pytest.raises(Malformed) as caught:
            parse(wire)
        assert caught.value.answer == b""
    update = QUERY[:2] + bytes([0x28]) + QUERY[3:]
    with pytest.raises(Malformed) as caught:
        parse(update)
    assert dns.message.from_wire(caught.value.answer, ignore_trailing=True).rcode() == dns.rcode.NOTIMP


@pytest.mark.parametrize(
    "question",
    [
        b"\xc0\x0c\0\1\0\1",  # a name that points at itself
        b"\x40abc\0\0\1\0\1",  # an extended label (RFC 2671)
        b"\x3f" + b"a" * 62 + b"\0\0\1\0\1",  # one byte short of its length
        (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1",  # more than 255 bytes
    ],
)
def test_hostile_names(question: bytes) -> None:
    with pytest.raises(Malformed):
        parse(QUERY[:12] + question)


def test_two_questions() -> None:
    with pytest.raises(Malformed):
        parse(QUERY[:4] + b"\0\2" + QUERY[6:] + QUERY[12:])


@given(st.binary(max_size=600))
def test_any_bytes(message: bytes) -> None:
    try:
        question = parse(message)
    except Malformed as problem:
        assert len(problem.answer) in (0, 12)
        return
    for said in (failure(question, Code.NO_NAME), found(question._replace(type=Type.A), bytes(4))):
        assert said[:2] == message[:2]
    assert answer(question, RULES, Names())[1] is False  # random bytes spell no granted name


@given(st.lists(st.binary(min_size=1, max_size=63), min_size=1, max_size=8), st.integers(0, 65535))
def test_names_are_read_as_dnspython_reads_them(labels: list[bytes], kind: int) -> None:
    wire = b"".join(bytes([len(label)]) + label for label in labels) + b"\0"
    message = b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + wire + kind.to_bytes(2, "big") + b"\0\1"
    try:
        theirs = dns.message.from_wire(message).question[0].name.labels[:-1]
    except dns.exception.DNSException:
        theirs = None
    try:
        ours = parse(message)
    except Malformed:
        assert theirs is None
        return
    assert theirs is not None
    assert len(ours.name.split(".")) == len(theirs)  # a dot within a label makes no new label
    plain = all(b"a" <= bytes([b]) <= b"z" for label in labels for b in label)
    if plain:
        assert ours.name == b".".join(theirs).decode()


def test_resolv_conf() -> None:
    found_ = ResolvConf("# x\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver bad\nsearch a.test b.test\n")
    assert found_.servers == ("192.0.2.53", "fe80::1")
    assert found_.search == ("a.test", "b.test")
    assert ResolvConf("").servers == ("127.0.0.1",)
    assert len(ResolvConf("".join(f"nameserver 192.0.2.{n}\n" for n in range(9))).servers) == 3
