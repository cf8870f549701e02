"""Reliability balancing: an unsure answer leans on anchors and on the face's own tokens.

Everything is done with logarithms of probabilities, in float32, so that none is lost or infinite.
Legend: B images, C classes, K anchors a class, R their width, M tokens, D features.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from adafer.models.grefel.attention import attend, normalised
from adafer.models.halting import at_least_float32
from adafer.settings.model import GrefelSettings

FLOOR = 1e-6
"""Smallest share of a distribution in a blend: no division by zero, no logarithm of zero."""

_HEADS = 4


def confidence(log_probabilities: Tensor) -> Tensor:
    """1 - the normalised entropy of distributions (B, C): (B,) from 0, uniform, to 1, one-hot."""
    entropy = -(log_probabilities.exp() * log_probabilities).sum(1)
    return (1 - entropy / math.log(log_probabilities.shape[1])).clamp(0, 1)


def mixed(one: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """Log of a blend (B, C) of two distributions given as logs; `share` (B,) is the other's."""
    kept = (1 - share).clamp_min(FLOOR).log()[:, None]
    taken = share.clamp_min(FLOOR).log()[:, None]
    return torch.stack([one + kept, other + taken]).logsumexp(0).log_softmax(1)


def by_confidence(one: Tensor, other: Tensor) -> Tensor:
    """Blend two distributions (B, C), each counting by its own confidence, even if both are 0."""
    first, second = confidence(one) + FLOOR, confidence(other) + FLOOR
    return mixed(one, other, second / (first + second))


def spread(count: int, width: int) -> Tensor:
    """Directions (count, R) far from each other: at right angles while there is room for it."""
    return normalised(nn.init.orthogonal_(torch.empty(count, width)))


@dataclass(frozen=True, kw_only=True)
class Balanced:
    """A balanced answer and what it is made of; distributions are logarithms."""

    answer: Tensor  # (B, C)
    primary: Tensor  # (B, C) the classifier's
    correction: Tensor  # (B, C)
    confidence: Tensor  # (B,) of the primary
    embedding: Tensor  # (B, R) of length 1
    anchors: Tensor | None  # (C, K, R) of length 1


class ReliabilityBalancing(nn.Module):
    """Anchors, attention and the blend with the primary distribution.

    Wasi et al. 2024, arXiv:2410.15927, section on reliability balancing, in the form of its
    predecessor's code (ARBEx, arXiv:2305.01486). Differs: embedding and anchors lie on the unit
    sphere, so that no loss can drive them to infinity; anchors start at right angles, not at zero;
    attention runs over the face's own tokens and the anchors, not over the batch; where both
    corrections are uniform they count the same instead of dividing by zero; one path in training,
    evaluation and export.
    """

    def __init__(self, width: int, classes: int, settings: GrefelSettings) -> None:
        super().__init__()
        size = settings.anchor_dim
        self.rule, self.temperature = settings.blend, settings.anchor_temperature
        self.reduce = nn.Linear(width, size)
        self.anchors: nn.Parameter | None = None
        if settings.anchor_correction:
            each = settings.anchors_per_class
            start = spread(classes * each, size).reshape(classes, each, size)
            self.anchors = nn.Parameter(start)  # (C, K, R)
        self.attentive = settings.attentive_correction
        if self.attentive:
            self.token_norm, self.tokens = nn.LayerNorm(width), nn.Linear(width, size)
            self.query, self.key_value = nn.Linear(size, size), nn.Linear(size, 2 * size)
            self.vote = nn.Linear(size, classes)

    def forward(
        self, features: Tensor, tokens: Tensor, logits: Tensor, progress: Tensor
    ) -> Balanced:
        """Balance logits (B, C) by features (B, D) and the face's tokens (B, M, D).

        `progress` () is the share of the training that is done: the trust in the correction.
        """
        primary = at_least_float32(logits).log_softmax(1)
        embedding = normalised(self.reduce(features))  # (B, R)
        anchors = None if self.anchors is None else normalised(self.anchors)
        found = []
        if anchors is not None:
            found.append(self._by_anchors(embedding, anchors))
        if self.attentive:
            found.append(self._by_attention(embedding, tokens, anchors))
        correction = found[0] if len(found) == 1 else by_confidence(*found)
        sure = confidence(primary)
        if self.rule == "trust":
            answer = mixed(primary, correction, progress * (1 - sure))
        else:
            answer = by_confidence(primary, correction)
        return Balanced(
            answer=answer,
            primary=primary,
            correction=correction,
            confidence=sure,
            embedding=embedding,
            anchors=anchors,
        )

    def _by_anchors(self, embedding: Tensor, anchors: Tensor) -> Tensor:
        """Log of each class's share (B, C) of the similarity to all anchors."""
        distances = distances_to(embedding, anchors)  # (B, C, K)
        shares = (-distances / self.temperature).flatten(1).log_softmax(1)
        return shares.reshape(distances.shape).logsumexp(2)

    def _by_attention(self, embedding: Tensor, tokens: Tensor, anchors: Tensor | None) -> Tensor:
        """Log of the distribution (B, C) that the face's own tokens and the anchors vote for."""
        seen = self.tokens(self.token_norm(tokens))  # (B, M, R)
        embedding = embedding.to(seen.dtype)
        if anchors is not None:
            own = anchors.flatten(0, 1).to(seen.dtype).expand(seen.shape[0], -1, -1)
            seen = torch.cat([seen, own], 1)
        key, value = self.key_value(seen).chunk(2, 2)
        found = attend(self.query(embedding)[:, None], key, value, _HEADS, None)[:, 0]
        votes: Tensor = self.vote(embedding + found)
        return at_least_float32(votes).log_softmax(1)


def distances_to(embedding: Tensor, anchors: Tensor) -> Tensor:
    """Distances (B, C, K), 0 to 2, of embeddings (B, R) to anchors (C, K, R) on the sphere."""
    squared = (embedding[:, None, None] - anchors).square().sum(3)
    return (squared + 1e-12).sqrt()  # the root has no gradient at 0
