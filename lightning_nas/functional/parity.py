"""The images of even and odd rows and columns, on which a convolution of dilation 2 is a plain one.

Kernels for dilated depthwise convolutions are slow on CPUs. With an even padding a tap never leaves the parity of its
output; with stride 2 besides, only even rows and columns are read.

Shapes: B batch, C channels, H and W height and width, both even.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def rectified_parities(x_BCHW: Tensor) -> Tensor:
    """ReLU, then the four images of each parity, (4 B, C, H/2, W/2) in channels_last."""
    batch, channels, height, width = x_BCHW.shape
    parts = F.relu(x_BCHW).reshape(batch, channels, height // 2, 2, width // 2, 2).permute(3, 5, 0, 2, 4, 1)
    return parts.reshape(4 * batch, height // 2, width // 2, channels).permute(0, 3, 1, 2)


def from_parities(x: Tensor) -> Tensor:
    """The images that `rectified_parities` took apart, put together again, in channels_last.

    Example:
        >>> import torch
        >>> x = torch.rand(2, 3, 4, 6)
        >>> torch.equal(from_parities(rectified_parities(x)), x)
        True
    """
    images, channels, height, width = x.shape
    parts = x.permute(0, 2, 3, 1).reshape(2, 2, images // 4, height, width, channels).permute(2, 3, 0, 4, 1, 5)
    return parts.reshape(images // 4, 2 * height, 2 * width, channels).permute(0, 3, 1, 2)


def rectified_evens(x_BCHW: Tensor) -> Tensor:
    """ReLU on the even rows and columns, (B, C, H/2, W/2)."""
    return F.relu(x_BCHW[:, :, ::2, ::2])
