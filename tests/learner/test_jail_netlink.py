"""The netlink messages of the jail, byte for byte against pyroute2's encoder, which is too slow to load to be used."""

import ipaddress
import socket
import struct
from typing import Any

import pytest
from pyroute2.netlink.nfnetlink.nftsocket import nft_chain_msg, nft_rule_msg, nft_table_msg
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg
from pyroute2.netlink.rtnl.rtmsg import rtmsg

from learner.jail import netlink, nft


def attributes(data: bytes) -> list[tuple[int, bytes]]:
    found = []
    while data:
        size, kind = struct.unpack_from("=HH", data)
        found.append((kind & 0x3FFF, data[4:size]))
        data = data[(size + 3) & ~3 :]
    return found


def decoded(kind: Any, message: netlink.Message) -> Any:
    parsed = kind(netlink.encode([message]))
    parsed.decode()
    return parsed


def test_addresses_and_routes() -> None:
    up = decoded(ifinfmsg, netlink.loopback_up())
    assert (up["index"], up["flags"], up["change"], up["header"]["type"]) == (1, 1, 1, 16)
    for text, prefix in (("198.18.0.1", 15), ("fd73:6278::1", 128)):
        packed = ipaddress.ip_address(text).packed
        address = decoded(ifaddrmsg, netlink.add_address(packed, prefix))
        assert (address["index"], address["prefixlen"], address["header"]["type"]) == (1, prefix, 20)
        assert address.get_attr("IFA_LOCAL") == address.get_attr("IFA_ADDRESS") == text
        route = decoded(rtmsg, netlink.everything_local(packed))
        assert (route["dst_len"], route["table"], route["type"], route["header"]["type"]) == (0, 254, 2, 24)
        assert route.get_attr("RTA_OIF") == 1
        assert route.get_attr("RTA_PREFSRC") == text


def test_nftables() -> None:
    begin, table, redirect, *rules, end = nft.ruleset(1, ["192.0.2.53", "2001:db8::53"])
    assert (begin.kind, end.kind) == (0x10, 0x11)
    assert decoded(nft_table_msg, table).get_attr("NFTA_TABLE_NAME") == "sbx"
    chain = decoded(nft_chain_msg, redirect)
    assert chain.get_attr("NFTA_CHAIN_TYPE") == "nat"
    hook = chain.get_attr("NFTA_CHAIN_HOOK")
    assert hook.get_attr("NFTA_HOOK_HOOKNUM") == 3
    assert hook.get_attr("NFTA_HOOK_PRIORITY") == -100
    told = []
    for message in rules:
        if message.kind & 0xFF != 6:
            continue
        rule = decoded(nft_rule_msg, message)
        assert rule.get_attr("NFTA_RULE_TABLE") == "sbx"
        names = [e.get_attr("NFTA_EXPR_NAME") for e in rule.get_attr("NFTA_RULE_EXPRESSIONS")]
        told.append((rule.get_attr("NFTA_RULE_CHAIN"), names[-1], len(names)))
    stays = [("redirect", "immediate", 8)] * 4
    assert told == [
        *stays,
        ("redirect", "redir", 4),
        *[("refuse", *rest) for _, *rest in stays],
        ("refuse", "immediate", 3),
    ]


def test_attributes_are_padded() -> None:
    assert netlink.attribute(1, b"abc") == struct.pack("=HH", 7, 1) + b"abc\0"
    nested = netlink.nested(2, netlink.attribute(1, b"x"), netlink.attribute(3, b"yz"))
    [(kind, inner)] = attributes(nested)
    assert kind == 2
    assert attributes(inner) == [(1, b"x"), (3, b"yz")]


def test_a_refused_message_is_an_error() -> None:
    with pytest.raises(OSError):
        netlink.exchange(0, [netlink.Message(netlink.NEW_ADDRESS, struct.pack("=BBBBI", socket.AF_INET, 99, 0, 0, 1))])
