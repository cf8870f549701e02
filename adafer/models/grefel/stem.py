"""Small convolutions that turn a face into patch tokens. Legend: B images, D features."""

import math
from itertools import pairwise
from typing import Any

from torch import Tensor, nn

from adafer.errors import WordsError


class ConvStem(nn.Module):
    """Early convolutions in the place of a ViT's patch embedding.

    Xiao et al. 2021, arXiv:2106.14881: transformers then learn faster and from less data. Each
    halving is a 3 by 3 convolution of stride 2 and one of stride 1, with batch norm and ReLU; a
    1 by 1 convolution gives the tokens. Takes the arguments with which timm makes an embedding.
    """

    dynamic_img_pad = False
    strict_img_size = True

    def __init__(
        self,
        img_size: int,
        patch_size: int,
        in_chans: int,
        embed_dim: int,
        output_fmt: str = "NLC",
        **_: Any,
    ) -> None:
        super().__init__()
        self.rows_apart = output_fmt == "NHWC"
        halvings = round(math.log2(patch_size)) if patch_size else 0
        if patch_size != 2**halvings or halvings < 1:
            raise WordsError(
                f"--stem conv halves the face, so --patch-size must be 2, 4, 8, ..., not "
                f"{patch_size}; choose one of them"
            )
        self.img_size = (img_size, img_size)
        self.patch_size = (patch_size, patch_size)
        self.grid_size = (img_size // patch_size, img_size // patch_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        self.flatten = True
        widths = [in_chans, *(max(8, embed_dim >> (halvings - n)) for n in range(1, halvings + 1))]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [*_layer(before, after, 2), *_layer(after, after, 1)]
        self.layers = nn.Sequential(*layers)
        self.proj = nn.Conv2d(widths[-1], embed_dim, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return tokens (B, patches, D), or (B, rows, columns, D), of images (B, 3, H, W)."""
        tokens: Tensor = self.proj(self.layers(images))
        return tokens.permute(0, 2, 3, 1) if self.rows_apart else tokens.flatten(2).mT


def _layer(before: int, after: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(before, after, 3, stride, 1, bias=False)
    return [convolution, nn.BatchNorm2d(after), nn.ReLU()]
