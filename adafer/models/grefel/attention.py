"""Geometry-aware attention: the landmarks of a face ask its patches, by where both are.

Legend: B images, P landmarks, N patches, K keys, D features, H heads.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from adafer.models.halting import at_least_float32

_FREQUENCIES = 4  # of the sines that tell a place; the finest has 8 periods over a face
_BIAS_WIDTH = 32
_START = 0.1  # of the scale at which the landmarks' answer joins the features

FIVE_POINTS = ((-0.4, -0.23), (0.4, -0.23), (0.0, 0.2), (-0.32, 0.53), (0.32, 0.53))
"""Eyes, nose and mouth corners of a tight face crop, x and y from -1 to 1; only a start."""


def attend(query: Tensor, key: Tensor, value: Tensor, heads: int, bias: Tensor | None) -> Tensor:
    """Multi-head attention of queries (B, P, D) over keys (B, K, D); bias (B, H, P, K) or none.

    Each face has its own sequence: nothing passes between the faces of a batch.
    """

    def split(x: Tensor) -> Tensor:  # (B, H, P or K, D / H)
        return x.reshape(*x.shape[:2], heads, x.shape[2] // heads).transpose(1, 2)

    q, k, v = split(query), split(key), split(value)
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])  # (B, H, P, K)
    if bias is not None:
        scores = scores + bias
    return (scores.softmax(3) @ v).transpose(1, 2).flatten(2)  # (B, P, D)


def patch_centres(rows: int, columns: int) -> Tensor:
    """Centres of the patches (N, 2), x and y from -1 to 1, row by row."""
    y, x = torch.meshgrid(_middles(rows), _middles(columns), indexing="ij")
    return torch.stack([x, y], 2).reshape(-1, 2)


def _middles(count: int) -> Tensor:
    return (torch.arange(count) + 0.5) * 2 / count - 1


def usual_layout(points: int) -> Tensor:
    """Where so many landmarks start from, (P, 2): five known ones, else a spiral over the face."""
    if points == len(FIVE_POINTS):
        return torch.tensor(FIVE_POINTS)
    turn = torch.arange(points) * (math.pi * (3 - math.sqrt(5)))  # the golden angle
    radius = 0.8 * ((torch.arange(points) + 0.5) / points).sqrt()
    return torch.stack([radius * turn.cos(), radius * turn.sin()], 1)


class GeometryAttention(nn.Module):
    """Landmark tokens query the patches and each other; their mean is what they have found.

    Wasi et al. 2024, arXiv:2410.15927, whose body is POSTER++ (Mao et al. 2023,
    arXiv:2301.12149): landmarks are queries, the image is key and value, and a learned bias tells
    where both are. Differs: one backbone instead of two; a landmark is its place and its name, not
    the features of a landmark network; the queries are projected; the bias is a function of the
    distance (Swin V2's continuous bias), not a table; landmarks see each other as well.

    A landmark that is not known (NaN) stands where the learned layout says, and is marked.
    """

    def __init__(self, width: int, points: int, heads: int, grid: tuple[int, int]) -> None:
        super().__init__()
        self.heads = heads
        self.layout = nn.Parameter(usual_layout(points))  # (P, 2)
        self.names = nn.Parameter(torch.randn(points, width) * 0.02)  # (P, D)
        self.unknown = nn.Parameter(torch.zeros(width))
        self.place = _mlp(2 + 4 * _FREQUENCIES, width, width)
        self.bias = _mlp(2, _BIAS_WIDTH, heads)
        self.query_norm, self.patch_norm = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.joined = nn.Linear(width, width)
        self.mlp_norm, self.mlp = nn.LayerNorm(width), _mlp(width, 2 * width, width)
        self.out_norm, self.out = nn.LayerNorm(width), nn.Linear(width, width)
        self.scale = nn.Parameter(torch.full((width,), _START))
        self.register_buffer("centres", patch_centres(*grid), persistent=False)  # (N, 2)
        self.centres: Tensor

    def forward(self, patches: Tensor, landmarks: Tensor | None) -> tuple[Tensor, Tensor]:
        """Return what is added to the features (B, D), and the landmark tokens (B, P, D).

        `patches` (B, N, D); `landmarks` (B, P, 2) from -1 to 1, NaN where unknown, or None.
        """
        places, known = self._places(landmarks, patches.shape[0])
        tokens = self.names + self.place(_waves(places).to(patches.dtype))  # (B, P, D)
        tokens = tokens + (1 - known.to(patches.dtype)) * self.unknown
        asked = self.query_norm(tokens)
        seen = torch.cat([self.patch_norm(patches), asked], 1)  # (B, N + P, D)
        key, value = self.key_value(seen).chunk(2, 2)
        found = attend(self.query(asked), key, value, self.heads, self._bias(places))
        tokens = tokens + self.joined(found)
        tokens = tokens + self.mlp(self.mlp_norm(tokens))
        return self.scale * self.out(self.out_norm(tokens).mean(1)), tokens

    def _places(self, landmarks: Tensor | None, batch: int) -> tuple[Tensor, Tensor]:
        """Places (B, P, 2) without gaps, and which were known (B, P, 1)."""
        layout = self.layout.expand(batch, -1, -1)
        if landmarks is None:
            return layout, torch.zeros_like(layout[..., :1])
        known = ~landmarks.isnan().any(2, keepdim=True)  # (B, P, 1)
        return torch.where(known, landmarks.nan_to_num(), layout), known.float()

    def _bias(self, places: Tensor) -> Tensor:
        """Bias (B, H, P, N + P) from how far, and in which direction, each key is."""
        keys = torch.cat([self.centres.expand(places.shape[0], -1, -1), places], 1)
        apart = keys[:, None] - places[:, :, None]  # (B, P, N + P, 2)
        scaled = apart.sign() * (1 + 8 * apart.abs()).log2() / 4  # as Swin V2 scales them
        bias: Tensor = self.bias(scaled)
        return bias.permute(0, 3, 1, 2)


def _waves(places: Tensor) -> Tensor:
    """Tell places (B, P, 2) as themselves and as sines and cosines of rising frequency."""
    turns = [places * (math.pi * 2**n) for n in range(_FREQUENCIES)]
    return torch.cat([places, *(wave for turn in turns for wave in (turn.sin(), turn.cos()))], 2)


def _mlp(*widths: int) -> nn.Sequential:
    parts: list[nn.Module] = []
    for before, after in pairwise(widths):
        parts += [nn.Linear(before, after), nn.GELU()]
    return nn.Sequential(*parts[:-1])


def in_face(landmarks: Tensor, height: int, width: int) -> Tensor:
    """Turn landmarks (B, P, 2) from pixels into -1 (left or upper edge) to 1."""
    size = landmarks.new_tensor([width, height])
    return (landmarks + 0.5) * 2 / size - 1


def normalised(values: Tensor) -> Tensor:
    """Scale the last axis to length 1, in float32 or wider, with a gradient that stays finite."""
    return functional.normalize(at_least_float32(values), dim=-1)
