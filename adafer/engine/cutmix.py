"""A box of another face pasted in, on the device. Legend: B images in a batch."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from adafer.contracts import Batch


@dataclass(frozen=True, kw_only=True)
class CutMix:
    """Paste a box of another face into each face of a batch, the same box for the whole batch.

    Yun et al. 2019, arXiv:1905.04899, sec. 3 and algorithm A1. The box has the face's proportions
    and an area drawn from Beta(alpha, alpha), its middle lies anywhere, and what leaves the face
    is cut off; the share left of the face itself is counted in pixels afterwards. All is drawn
    from torch's generator, which the training loop seeds for every batch. `labels` name the face
    that was pasted onto, even where less than half of it is left.
    """

    alpha: float

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with pasted images (B, 3, H, W), and who was pasted into whom."""
        count, device = len(batch.ids), batch.images.device
        alpha = torch.tensor(self.alpha, device=device)
        side = (1 - torch.distributions.Beta(alpha, alpha).sample()).sqrt()  # share of each side
        partners = torch.randperm(count, device=device)
        height, width = batch.images.shape[-2:]
        # Asking which pixels lie inside keeps the numbers on the device: no wait for them here.
        pasted = _inside(height, side)[:, None] & _inside(width, side)[None, :]  # (H, W)
        images = torch.where(pasted, batch.images[partners], batch.images)
        share = 1 - pasted.float().mean()
        return replace(batch, images=images, partners=partners, shares=share.expand(count))


def _inside(length: int, share: Tensor) -> Tensor:
    """Whether each place of a side (length,) lies in a stretch of that share around anywhere."""
    half = (length * share).floor() / 2
    middle = torch.randint(length, (), device=share.device)
    places = torch.arange(length, device=share.device)
    return (places >= middle - half.floor()) & (places < middle + half.ceil())
