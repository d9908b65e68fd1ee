"""Trunks from transformers, made from a configuration: random weights, no download."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class ViT(nn.Module):
    """Vision transformer trunk (N, 3, S, S) -> (N, channels, S / patch, S / patch)."""

    def __init__(
        self, size: int, patch: int = 16, channels: int = 192, depth: int = 12, heads: int = 3
    ) -> None:
        super().__init__()
        from transformers import ViTConfig, ViTModel

        config = ViTConfig(
            image_size=size,
            patch_size=patch,
            hidden_size=channels,
            num_hidden_layers=depth,
            num_attention_heads=heads,
            intermediate_size=4 * channels,
        )
        self.channels, self.stride, self.side = channels, patch, size // patch
        self.body = ViTModel(config, add_pooling_layer=False)

    def tokens(self, x: Tensor) -> Tensor:
        """Return the class token and the patch tokens, (N, 1 + side^2, channels)."""
        return _output(self.body(pixel_values=x).last_hidden_state)

    def forward(self, x: Tensor) -> Tensor:
        """Return the patch tokens as a map."""
        tokens = self.tokens(x)[:, 1:].transpose(1, 2)
        return tokens.reshape(-1, self.channels, self.side, self.side)


class Swin(nn.Module):
    """Swin transformer trunk with the taps that multi-task heads read.

    Parameters
    ----------
    size, patch
        112 and 2 give tokens 56 x 56, as in SwinFace; the map shrinks by 8 after that.
    channels
        Of the first stage; doubled by each merging.
    depths, heads, window
        Blocks and attention heads per stage; side of a window in tokens.
    """

    def __init__(
        self,
        size: int,
        patch: int = 4,
        channels: int = 96,
        depths: Sequence[int] = (2, 2, 6, 2),
        heads: Sequence[int] = (3, 6, 12, 24),
        window: int = 7,
        drop_path: float = 0.1,
    ) -> None:
        super().__init__()
        from transformers import SwinConfig, SwinModel

        config = SwinConfig(
            image_size=size,
            patch_size=patch,
            embed_dim=channels,
            depths=list(depths),
            num_heads=list(heads),
            window_size=window,
            drop_path_rate=drop_path,
        )
        self.channels = channels * 2 ** (len(depths) - 1)
        self.stride = patch * 2 ** (len(depths) - 1)
        self.body = SwinModel(config, add_pooling_layer=False)

    def taps(self, x: Tensor) -> list[Tensor]:
        """Return the maps after each patch merging, and the last stage's before its LayerNorm."""
        states = self.body(pixel_values=x, output_hidden_states=True).reshaped_hidden_states
        return [_output(state) for state in states[1:]]

    def forward(self, x: Tensor) -> Tensor:
        """Return the last stage's map after the final LayerNorm."""
        tokens = _output(self.body(pixel_values=x).last_hidden_state)
        side = x.shape[-1] // self.stride
        return tokens.transpose(1, 2).reshape(-1, self.channels, side, side)


class MobileNetV2(nn.Module):
    """MobileNetV2 trunk (N, 3, S, S) -> (N, 1280, S / 32, S / 32)."""

    stride = 32

    def __init__(self, size: int, width: float = 1.0) -> None:
        super().__init__()
        from transformers import MobileNetV2Config, MobileNetV2Model

        config = MobileNetV2Config(image_size=size, depth_multiplier=width)
        self.body = MobileNetV2Model(config, add_pooling_layer=False)
        with torch.no_grad():
            self.channels = int(self.eval()(torch.zeros(1, 3, 64, 64)).shape[1])
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        """Return the last map."""
        return _output(self.body(pixel_values=x).last_hidden_state)


class EfficientNet(nn.Module):
    """EfficientNet-B0 trunk (N, 3, S, S) -> (N, channels, S / 32, S / 32), scalable."""

    stride = 32

    def __init__(self, size: int, width: float = 1.0, depth: float = 1.0) -> None:
        super().__init__()
        from transformers import EfficientNetConfig, EfficientNetModel

        config = EfficientNetConfig(
            image_size=size,
            width_coefficient=width,
            depth_coefficient=depth,
            hidden_dim=max(8, round(1280 * width / 8) * 8),
        )
        self.body = EfficientNetModel(config)
        with torch.no_grad():
            self.channels = int(self.eval()(torch.zeros(1, 3, 64, 64)).shape[1])
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        """Return the last map."""
        return _output(self.body(pixel_values=x).last_hidden_state)


def _output(value: Any) -> Tensor:
    """Narrow what transformers types as optional."""
    assert isinstance(value, Tensor)
    return value
