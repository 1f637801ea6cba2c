"""Attention whose keys and values can be projected once and used many times.

Keys and values of reference, audio and style do not depend on the diffusion step, and those of the reference not on the
frame either. So projecting a context and attending to it are two calls here.

Shapes: N sequences of queries, M contexts (N is a multiple of M: consecutive sequences share a context), T query
tokens, S context tokens, C channels, H heads, d = C / H.
"""

import math
from functools import lru_cache
from typing import cast

import torch
from torch import Tensor, nn

KeyValue = tuple[Tensor, Tensor]  # keys and values, each (..., H, S, d)

# Measured: doubled, equal projections and a gain of 3 make a place attend to itself from the first step.
POSITION_INIT_SCALE = 2.0
POSITION_INIT_GAIN = 3.0
POSITION_WAVE_RATIO = (
    30.0  # the shortest wave of the position code spans the picture once, the longest is 30 times longer
)


def zero(layer: nn.Module) -> None:
    """Zero all parameters of a layer, so that what it is the output of starts without effect."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


class Attention(nn.Module):
    """Multi-head attention with SD1.5's parameter names (`to_q`, `to_k`, `to_v` without bias, `to_out.0`).

    Args:
        query_dim: channels C of the queries and of the output.
        context_dim: channels of the context tokens.
        heads: number of heads; SD1.5 calls this number `attention_head_dim`.
        out_bias: whether `to_out.0` has a bias; without one, an absent condition adds exactly nothing.

    Raises:
        ValueError: if the heads do not divide the channels.
    """

    def __init__(self, *, query_dim: int, context_dim: int, heads: int, out_bias: bool) -> None:
        super().__init__()
        if query_dim % heads:
            raise ValueError(f"{heads} attention heads do not divide {query_dim} channels; change one of them")
        self.heads = heads
        self.to_q = nn.Linear(query_dim, query_dim, bias=False)
        self.to_k = nn.Linear(context_dim, query_dim, bias=False)
        self.to_v = nn.Linear(context_dim, query_dim, bias=False)
        self.to_out = nn.ModuleList([nn.Linear(query_dim, query_dim, bias=out_bias)])

    def project(self, context: Tensor) -> KeyValue:
        """Context tokens (..., S, context_dim) to keys and values, each (..., H, S, d)."""
        return self._split(self.to_k(context)), self._split(self.to_v(context))

    def attend(self, hidden_NTC: Tensor, key_value: KeyValue, size: tuple[int, int] | None = None) -> Tensor:
        """Attend to projected keys and values.

        Args:
            hidden_NTC: normalised hidden states.
            key_value: each (..., H, S, d) with M = product of the leading axes contexts; M divides N, and N / M
                consecutive sequences share one context without copying it.
            size: grid (height, width) of the T queries; only the position term of the reference looks at it.

        Returns:
            (N, T, C), not yet added to the residual.
        """
        return self._attend(self.to_q(hidden_NTC), key_value)

    def forward(self, hidden_NTC: Tensor) -> Tensor:
        """Self-attention, (N, T, C) to (N, T, C)."""
        return self.attend(hidden_NTC, self.project(hidden_NTC))

    def _attend(self, query_NTC: Tensor, key_value: KeyValue) -> Tensor:
        keys, values = (tensor.flatten(0, -4) if tensor.dim() > 4 else tensor for tensor in key_value)
        shape = query_NTC.shape
        # (N, T, C) -> (M, N / M * T, C): all frames of one context are one long row of queries
        query = self._split(query_NTC.reshape(keys.shape[0], -1, shape[2]))
        out = nn.functional.scaled_dot_product_attention(query, keys, values)
        return self.to_out[0](out.transpose(1, 2).reshape(shape))

    def _split(self, tokens: Tensor) -> Tensor:
        return tokens.unflatten(-1, (self.heads, -1)).transpose(-3, -2)


def cross_attend(
    hidden_NTC: Tensor,
    norm: nn.LayerNorm,
    attention: Attention,
    key_value: KeyValue | None,
    scale: float,
    size: tuple[int, int] | None = None,
) -> Tensor:
    """One pre-norm residual layer: hidden + scale * attention(norm(hidden), context).

    `key_value=None` means the zero condition of guidance: zero tokens have zero keys and values (no bias there), so the
    attention yields its output bias whatever the queries are; nothing needs to be computed.
    """
    if scale == 0:
        return hidden_NTC
    if key_value is None:
        bias = cast(nn.Linear, attention.to_out[0]).bias
        return hidden_NTC if bias is None else hidden_NTC + scale * bias
    return torch.add(hidden_NTC, attention.attend(norm(hidden_NTC), key_value, size), alpha=scale)


@lru_cache(maxsize=64)
def place_code(height: int, width: int, channels: int, device: torch.device, dtype: torch.dtype) -> Tensor:
    """2-D sinusoids of the place in the picture, (height * width, channels).

    Coordinates run from 0 to 1 over the picture, so that levels of different resolution agree.

    Raises:
        ValueError: if the channels are not a multiple of 4, at least 8.
    """
    if channels % 4 or channels < 8:
        raise ValueError(f"the position term needs a multiple of 4, at least 8, channels; got {channels}")
    count = channels // 4
    with torch.inference_mode(False), torch.no_grad():  # the cached code must stay usable for training
        steps = torch.arange(count, dtype=torch.float64) / (count - 1)
        frequencies = 2 * math.pi * torch.exp(-math.log(POSITION_WAVE_RATIO) * steps)
        y_H1 = (torch.arange(height, dtype=torch.float64)[:, None] + 0.5) / height
        x_W1 = (torch.arange(width, dtype=torch.float64)[:, None] + 0.5) / width
        rows_HD = torch.cat([(y_H1 * frequencies).sin(), (y_H1 * frequencies).cos()], dim=1)
        columns_WD = torch.cat([(x_W1 * frequencies).sin(), (x_W1 * frequencies).cos()], dim=1)
        code = torch.cat(
            [rows_HD[:, None].expand(height, width, -1), columns_WD[None].expand(height, width, -1)], dim=2
        )
        return code.reshape(height * width, channels).to(device, dtype)


class ReferenceAttention(Attention):
    """Attention to the tokens of the reference picture, with an optional term for "same place".

    With the position term, queries get `gain * pos_q(place)` and keys `gain * pos_k(place)`. Both projections start
    equal, so that a place attends to itself from the first training step. Values carry no position: absent reference
    tokens still add exactly the output bias.

    Args:
        channels: channels of queries and reference tokens.
        heads: number of heads.
        position_term: whether `pos_q`, `pos_k` and `position_gain` exist.
    """

    def __init__(self, *, channels: int, heads: int, position_term: bool) -> None:
        super().__init__(query_dim=channels, context_dim=channels, heads=heads, out_bias=True)
        self.position_term = position_term
        if position_term:
            self.pos_q = nn.Linear(channels, channels, bias=False)
            self.pos_k = nn.Linear(channels, channels, bias=False)
            self.position_gain = nn.Parameter(torch.tensor(POSITION_INIT_GAIN))
            with torch.no_grad():
                self.pos_q.weight.mul_(POSITION_INIT_SCALE)
                self.pos_k.weight.copy_(self.pos_q.weight)

    def project_grid(self, tokens_BhwC: Tensor) -> KeyValue:
        """Reference tokens on their grid (B, h, w, C) to keys and values, each (B, H, h * w, d)."""
        tokens_BSC = tokens_BhwC.flatten(1, 2)
        keys_BSC = self.to_k(tokens_BSC)
        if self.position_term:
            keys_BSC = keys_BSC + self._place(self.pos_k, tokens_BhwC.shape[1:3], keys_BSC)
        return self._split(keys_BSC), self._split(self.to_v(tokens_BSC))

    def attend(self, hidden_NTC: Tensor, key_value: KeyValue, size: tuple[int, int] | None = None) -> Tensor:
        """As `Attention.attend`; with the position term the grid is required."""
        query_NTC = self.to_q(hidden_NTC)
        if self.position_term:
            if size is None:
                raise ValueError("the position term needs the grid size of the queries")
            query_NTC = query_NTC + self._place(self.pos_q, size, query_NTC)
        return self._attend(query_NTC, key_value)

    def _place(self, projection: nn.Linear, size: tuple[int, int] | torch.Size, like: Tensor) -> Tensor:
        code_TC = place_code(size[0], size[1], like.shape[-1], like.device, projection.weight.dtype)
        return projection(code_TC) * self.position_gain
