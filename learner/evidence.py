"""What the access graph tells of one object: which chain of programs touched it, how, and with what result. Pure."""

from typing import NamedTuple

import networkx as nx

from learner.graph import Node, NodeKind, Relation, process
from tracers.events import Operation


class Use(NamedTuple):
    """``chain``: labels of the programs from the first to the one that did it. ``outcome``: 0 or an errno.

    ``running``: the script or executable that the kernel opened the object for, empty if a program asked itself.
    """

    chain: tuple[str, ...]
    operation: Operation
    outcome: int
    running: str = ""


def uses(graph: "nx.MultiDiGraph[Node]", node: Node) -> tuple[Use, ...]:
    """Every distinct use of a node, sorted."""
    if node not in graph:
        return ()
    found = set()
    for user, _, data in graph.in_edges(node, data=True):
        if data["relation"] is Relation.ACCESSED:
            access = data["access"]
            running = access.call.removeprefix("interpreter of ") if " " in access.call else ""
            found.add(Use(_chain(graph, user), access.operation, access.outcome, running))
    return tuple(sorted(found))


def pointing_at(graph: "nx.MultiDiGraph[Node]", node: Node) -> tuple[str, ...]:
    """The symlinks that were walked and hold a path, or the host names that stood for an endpoint; sorted."""
    if node not in graph:
        return ()
    edges = graph.in_edges(node, data=True)
    return tuple(sorted({source[1] for source, _, data in edges if data["relation"] in _POINTING}))


_POINTING = (Relation.LINKS_TO, Relation.RESOLVED_TO)


def _chain(graph: "nx.MultiDiGraph[Node]", user: Node) -> tuple[str, ...]:
    """From the launcher's first program down to ``user``; the launcher itself is left out."""
    spawned = nx.subgraph_view(
        graph,
        filter_node=lambda node: node[0] is NodeKind.PROCESS,
        filter_edge=lambda a, b, key: graph.edges[a, b, key]["relation"] is Relation.SPAWNED,
    )
    way = nx.shortest_path(spawned, process(0), user)
    return tuple(graph.nodes[node]["label"] for node in way[1:]) or (graph.nodes[user]["label"],)
