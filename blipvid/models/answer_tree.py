"""A list of answers as a tree of their beginnings, so that what answers share is computed once.

Each node is a beginning: the opening token and some tokens of at least one answer. An answer is scored from the logits
after each of its beginnings, which no other answer changes; so all candidates of a question go through the decoder as
one text of nodes, in which a node sees those before it on its own way and no other.

Shape legend: A answers in the list, Q questions, k candidates of a question, N nodes, J tokens of the longest answer
without its end.
"""

from dataclasses import dataclass

import torch

NOWHERE = -1


class AnswerTree:
    """A list of answers, ready to be ranked.

    Args:
        ids: (A, L) int64, right-padded; the first id is the opening token of all, the last that counts ends each.
        mask: (A, L) int64, 1 for tokens.

    Attributes:
        first: (A,) int64, the first token of each answer after the opening one.
        path: (A, J) int64, the node of each beginning of each answer, short to long; NOWHERE beyond its end.
        target: (A, J) int64, the token that follows there; NOWHERE beyond the end.
        token: (nodes,) int64, the last token of each beginning.
        depth: (nodes,) int64, its place in the text.
    """

    def __init__(self, ids: torch.Tensor, mask: torch.Tensor) -> None:
        self.first = ids[:, 1].clone()
        nodes: dict[tuple[int, ...], int] = {}
        self.path = torch.full((len(ids), ids.shape[1] - 1), NOWHERE)
        for row, (own, length) in enumerate(zip(ids.tolist(), mask.sum(1).tolist(), strict=True)):
            for end in range(1, length):
                self.path[row, end - 1] = nodes.setdefault(tuple(own[:end]), len(nodes))
        self.target = ids[:, 1:].masked_fill(mask[:, 1:] == 0, NOWHERE)
        self.token = torch.tensor([beginning[-1] for beginning in nodes])
        self.depth = torch.tensor([len(beginning) - 1 for beginning in nodes])

    def __len__(self) -> int:
        return len(self.path)

    def most_nodes(self, k: int) -> int:
        """Returns a bound of the nodes that k candidates can need."""
        return min(len(self.token), k * self.path.shape[1])

    def among(self, candidates: torch.Tensor) -> "Branch":
        """Returns the part of the tree that the candidates (k,) of one question need."""
        path, target = self.path[candidates], self.target[candidates]
        there = path != NOWHERE
        nodes, place = torch.unique(path[there], return_inverse=True)
        own = torch.full_like(path, NOWHERE)
        own[there] = place
        sees = torch.eye(len(nodes), dtype=torch.bool)
        for later in range(1, path.shape[1]):
            reached = there[:, later]
            for earlier in range(later):
                sees[own[reached, later], own[reached, earlier]] = True
        return Branch(self.token[nodes], self.depth[nodes], sees, own, target)


@dataclass(frozen=True, slots=True)
class Branch:
    """The nodes of some candidates.

    Attributes:
        token: (N,) int64.
        depth: (N,) int64.
        sees: (N, N) bool, whether a node (row) sees another (column).
        path: (k, J) int64, as in the tree, counted among these nodes.
        target: (k, J) int64, as in the tree.
    """

    token: torch.Tensor
    depth: torch.Tensor
    sees: torch.Tensor
    path: torch.Tensor
    target: torch.Tensor


@dataclass(frozen=True, slots=True)
class Branches:
    """The nodes of Q questions side by side, padded to the most of any.

    Attributes:
        token: (Q, N) int64.
        depth: (Q, N) int64.
        sees: (Q, N, N) bool; a padding node sees itself.
        edges: (edges, 4) int64, one row a token of a candidate: question, candidate, node, and the token after it.
    """

    token: torch.Tensor
    depth: torch.Tensor
    sees: torch.Tensor
    edges: torch.Tensor


def side_by_side(branches: list[Branch]) -> Branches:
    """Pads the branches of Q questions to one size."""
    n_nodes = max(len(branch.token) for branch in branches)
    token = torch.zeros(len(branches), n_nodes, dtype=torch.int64)
    depth = torch.zeros_like(token)
    sees = torch.eye(n_nodes, dtype=torch.bool).repeat(len(branches), 1, 1)
    edges = []
    for number, branch in enumerate(branches):
        own = len(branch.token)
        token[number, :own], depth[number, :own], sees[number, :own, :own] = branch.token, branch.depth, branch.sees
        candidate, step = (branch.path != NOWHERE).nonzero(as_tuple=True)
        question = torch.full_like(candidate, number)
        edges.append(
            torch.stack([question, candidate, branch.path[candidate, step], branch.target[candidate, step]], 1)
        )
    return Branches(token, depth, sees, torch.cat(edges))
