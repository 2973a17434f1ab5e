"""A 3×3 convolution with 4 products where it takes 9: for CPUs, whose library has none of these.

Winograd's F(2×2, 3×3): tiles of 4×4 are transformed by sums alone, 16 matrix products take the
place of the convolution, and sums give tiles of 2×2 back. It pays where channels are many and
maps are small, so that products outweigh the sums. The same function up to rounding.

Source: Lavin & Gray, Fast algorithms for convolutional neural networks, CVPR 2016, section 4.1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

# B batch, W channels in, W' channels out, T rows, K columns, t = T / 2, k = K / 2

LEAST_CHANNELS = 512
"""In and out: below, the sums cost what the products save (tests/bench/stsed.py)."""


class Winograd(nn.Module):
    """In the place of a convolution with padding 1, for use and not for training.

    Args:
        conv: 3×3, stride 1, padding 1, one group, with a bias.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        rows = torch.tensor([[1, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
        rows = rows.to(conv.weight)
        outputs, inputs = conv.weight.shape[:2]
        # One tap after the other: the weights are large, and a sum over all would copy them.
        weight = conv.weight.new_zeros(4, 4, inputs, outputs)
        for row in range(3):
            for column in range(3):
                tap = conv.weight.detach()[:, :, row, column].t()  # (W, W')
                for i, j in _nonzero(rows, row, column):
                    weight[i, j].add_(tap, alpha=float(rows[i, row] * rows[j, column]))
        self.weight = nn.Parameter(weight.flatten(0, 1), requires_grad=False)  # (16, W, W')
        self.weight.stands_for = conv.weight.numel()  # type: ignore[attr-defined]  # for the count
        self.bias = conv.bias

    def forward(self, image: Tensor) -> Tensor:
        """(B, W, T, K) -> (B, W', T, K), channels last, in float32."""
        rows, columns = image.shape[2:]
        with torch.autocast(image.device.type, enabled=False):
            even = pad(image.float(), (1, 1 + columns % 2, 1, 1 + rows % 2))
            tiles = _tiles(even.permute(0, 2, 3, 1).contiguous())  # (4, 4, B, t, k, W)
            products = torch.bmm(tiles.flatten(0, 1).flatten(1, 3), self.weight)
            found = _untiled(products.view(*tiles.shape[:-1], -1), self.bias)  # (B, T, K, W')
        return found[:, :rows, :columns].permute(0, 3, 1, 2)


def _nonzero(rows: Tensor, row: int, column: int) -> list[tuple[int, int]]:
    return [(i, j) for i in range(4) for j in range(4) if rows[i, row] * rows[j, column] != 0]


def _tiles(image: Tensor) -> Tensor:
    """Overlapping tiles of a map, transformed: (B, T + 2, K + 2, W) -> (4, 4, B, t, k, W)."""
    batch, high, wide, channels = image.shape
    tall, broad = high - 2, wide - 2
    tiles = image.new_empty(4, 4, batch, tall // 2, broad // 2, channels)
    a, b, c, d = (image[:, start : start + tall - 1 : 2] for start in range(4))
    for i, part in enumerate((a - c, b + c, c - b, b - d)):
        e, f, g, h = (part[:, :, start : start + broad - 1 : 2] for start in range(4))
        torch.sub(e, g, out=tiles[i, 0])
        torch.add(f, g, out=tiles[i, 1])
        torch.sub(g, f, out=tiles[i, 2])
        torch.sub(f, h, out=tiles[i, 3])
    return tiles


def _untiled(products: Tensor, bias: Tensor | None) -> Tensor:
    """The inverse transform, in place: (4, 4, B, t, k, W') -> (B, T, K, W')."""
    batch, tall, broad, channels = products.shape[2:]
    image = products.new_empty(batch, tall, 2, broad, 2, channels)
    upper = products[0].add_(products[1]).add_(products[2])
    lower = products[1].sub_(products[2]).sub_(products[3])
    for i, part in enumerate((upper, lower)):  # (4, B, t, k, W')
        left, right = image[:, :, i, :, 0], image[:, :, i, :, 1]
        torch.add(part[1], part[2], out=left)
        left.add_(part[0])
        torch.sub(part[1], part[2], out=right)
        right.sub_(part[3])
    found = image.view(batch, 2 * tall, 2 * broad, channels)
    return found if bias is None else found.add_(bias)
