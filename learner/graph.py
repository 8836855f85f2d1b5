"""The access graph: the evidence that a policy is derived from.

Nodes are ``(NodeKind, key)``: processes (a program index), paths, endpoints and hosts. Edges carry ``relation``
and, for ``ACCESSED``, the :class:`~learner.access.Access`.
"""

import enum
import os

import networkx as nx

from learner.access import Access
from learner.interpreters import Via
from learner.trace import Trace
from tracers.events import Operation

Node = tuple["NodeKind", str]


class NodeKind(enum.StrEnum):
    """What a node stands for."""

    PROCESS = "process"
    PATH = "path"
    ENDPOINT = "endpoint"
    HOST = "host"


class Relation(enum.StrEnum):
    """What an edge says."""

    SPAWNED = "spawned"
    """process → process that it started or became."""
    ACCESSED = "accessed"
    """process → object; ``access`` holds the record."""
    LINKS_TO = "links-to"
    """symlink → what it holds, as a path."""
    INTERPRETED_BY = "interpreted-by"
    """script → ``#!`` interpreter, ELF file → loader."""
    LOADED = "loaded"
    """executable → shared library that its loader opened."""
    RESOLVED_TO = "resolved-to"
    """host → address that the same program connected to after asking for it (deduced)."""


def process(index: int) -> Node:
    """Node of a program."""
    return NodeKind.PROCESS, str(index)


def path(name: str) -> Node:
    """Node of a path."""
    return NodeKind.PATH, name


def build(trace: Trace) -> "nx.MultiDiGraph[Node]":
    """The graph of a trace."""
    graph: nx.MultiDiGraph[Node] = nx.MultiDiGraph()
    for index, program in enumerate(trace.programs):
        graph.add_node(process(index), label=program.label, name=program.name, exe=program.exe)
        if program.parent >= 0:
            graph.add_edge(process(program.parent), process(index), relation=Relation.SPAWNED)
    for link, text in trace.links.items():
        whole = os.path.normpath(os.path.join(os.path.dirname(link), text))
        graph.add_edge(path(link), path(whole), relation=Relation.LINKS_TO)
    for name, found in trace.interpreted.items():
        for interpreter in found:
            via = {"via": interpreter.via, "relation": Relation.INTERPRETED_BY}
            if interpreter.via is not Via.ENV or interpreter.path.startswith("/"):
                graph.add_edge(path(name), path(interpreter.path), **via)
    for access in trace.accesses:
        graph.add_edge(process(access.program), target(access), relation=Relation.ACCESSED, access=access)
        if _is_library(access):
            graph.add_edge(path(trace.programs[access.program].exe), path(access.object), relation=Relation.LOADED)
    _join_hosts(graph, trace)
    return graph


def target(access: Access) -> Node:
    """The node of what an access was about."""
    if access.operation is Operation.RESOLVE:
        return NodeKind.HOST, access.object
    if access.endpoint is not None:
        return NodeKind.ENDPOINT, access.object
    return path(access.object)


def _is_library(access: Access) -> bool:
    name = access.object.rpartition("/")[2]
    return access.operation is Operation.READ and access.outcome == 0 and (name.endswith(".so") or ".so." in name)


def _join_hosts(graph: "nx.MultiDiGraph[Node]", trace: Trace) -> None:
    """A program that asked for one name and connected to one outside address meant the one by the other."""
    names: dict[int, set[str]] = {}
    ends: dict[int, set[str]] = {}
    answers: dict[str, set[str]] = {}
    for access in trace.accesses:
        if access.operation is Operation.RESOLVE and access.peer:
            answers.setdefault(access.peer, set()).add(access.object)
    for access in trace.accesses:
        if access.operation is Operation.CONNECT and access.endpoint:
            for name in sorted(answers.get(access.endpoint.address, ())):
                graph.add_edge((NodeKind.HOST, name), target(access), relation=Relation.RESOLVED_TO)
        if access.operation is Operation.RESOLVE:
            names.setdefault(access.program, set()).add(access.object)
        elif access.operation is Operation.CONNECT and access.endpoint and access.endpoint.port not in (0, 53):
            ends.setdefault(access.program, set()).add(access.object)
    for program, hosts in names.items():
        if len(hosts) == 1:
            for end in sorted(ends.get(program, ())):
                graph.add_edge(
                    (NodeKind.HOST, next(iter(hosts))),
                    (NodeKind.ENDPOINT, end),
                    relation=Relation.RESOLVED_TO,
                )
