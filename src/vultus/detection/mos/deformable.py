"""Modulated deformable convolution.

Zhu et al., "Deformable ConvNets v2: More Deformable, Better Results" (CVPR 2019), equation 1.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import Tensor, nn


def deformable_conv(x: Tensor, offsets: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Convolve with taps that lie where the offsets say; "same" padding, stride 1, one group.

    Parameters
    ----------
    x
        (N, C, H, W).
    offsets
        (N, 2 K, H, W): y and x of each of the K taps, row by row of the kernel, in pixels from
        its regular place.
    mask
        (N, K, H, W), the factor on each tap.
    weight
        (O, C, k, k) with k odd, K = k^2.

    Returns
    -------
    (N, O, H, W). What lies outside the map is zero; between pixels values are bilinear.
    """
    n, c, h, w = x.shape
    taps = weight.shape[-1] ** 2
    reach = weight.shape[-1] // 2
    steps = torch.tensor(
        list(product(range(-reach, reach + 1), repeat=2)), dtype=x.dtype, device=x.device
    )
    rows = torch.arange(h, dtype=x.dtype, device=x.device)[:, None]
    columns = torch.arange(w, dtype=x.dtype, device=x.device)[None]
    moves = offsets.reshape(n, taps, 2, h, w)
    y = moves[:, :, 0] + steps[:, 0, None, None] + rows
    x_place = moves[:, :, 1] + steps[:, 1, None, None] + columns
    # Without aligned corners -1 and 1 are the outer edges, which also holds for one-pixel maps.
    grid = torch.stack([(2 * x_place + 1) / w - 1, (2 * y + 1) / h - 1], -1)
    sampled = nn.functional.grid_sample(
        x, grid.reshape(n, taps * h, w, 2), "bilinear", "zeros", align_corners=False
    )
    sampled = sampled.reshape(n, c, taps, h * w) * mask.reshape(n, 1, taps, h * w)
    flat = weight.reshape(1, weight.shape[0], c * taps)
    return (flat @ sampled.reshape(n, c * taps, h * w)).reshape(n, -1, h, w)


class DeformableConv2d(nn.Module):
    """3 x 3 modulated deformable convolution that starts as a plain one.

    Offsets and masks come from a convolution that starts at zero; a mask is twice a sigmoid, so
    that it starts at one.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int = 3) -> None:
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, kernel, bias=False)
        self.weight = plain.weight
        self.taps = kernel**2
        self.places = nn.Conv2d(inputs, 3 * self.taps, kernel, padding=kernel // 2)
        nn.init.zeros_(self.places.weight)
        nn.init.zeros_(self.places.bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (N, C, H, W)."""
        # Places are sums of pixel numbers and offsets, too coarse in half precision.
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            places = self.places(x)
            offsets, mask = places.split([2 * self.taps, self.taps], 1)
            return deformable_conv(x, offsets, 2 * mask.sigmoid(), self.weight)
