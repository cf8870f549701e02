"""Faces blended in pairs on the device. Legend: B images in a batch."""

from dataclasses import dataclass, replace

import torch

from adafer.contracts import Batch


@dataclass(frozen=True, kw_only=True)
class MixUp:
    """Blend each face of a batch with another one, in one share for the whole batch.

    Zhang et al. 2018, arXiv:1710.09412, sec. 2. The share is drawn from Beta(alpha, alpha) and
    the partners by a permutation, both from torch's generator, which the training loop seeds for
    every batch. Differs: the share left of the face itself is at least one half, so that `labels`
    still names the larger part; the pairs are the same in distribution.
    """

    alpha: float

    def __call__(self, batch: Batch) -> Batch:
        """Return the batch with blended images (B, 3, H, W), and who was blended with whom."""
        count, device = len(batch.ids), batch.images.device
        alpha = torch.tensor(self.alpha, device=device)
        drawn = torch.distributions.Beta(alpha, alpha).sample()
        share = torch.maximum(drawn, 1 - drawn)
        partners = torch.randperm(count, device=device)
        images = share * batch.images + (1 - share) * batch.images[partners]
        return replace(batch, images=images, partners=partners, shares=share.expand(count))
