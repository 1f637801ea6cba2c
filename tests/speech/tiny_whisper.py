"""Whisper encoders with made-up weights."""

import torch
from torch import nn
from transformers import WhisperConfig
from transformers.models.whisper.modeling_whisper import WhisperEncoder

from golden_rule import read_keys, rule_weights

TABLE = "model.encoder.embed_positions.weight"


def tiny_config(**options) -> WhisperConfig:
    """A Whisper with 4 blocks of width 8."""
    sizes = {"d_model": 8, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "encoder_layers": 4, "vocab_size": 60}
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "decoder_start_token_id"), 1)
    decoder = {"decoder_layers": 1, "decoder_attention_heads": 2, "decoder_ffn_dim": 16, "max_target_positions": 8}
    return WhisperConfig(**sizes, **special, **decoder, **options)


def rule_whisper_weights() -> dict[str, torch.Tensor]:
    """Whisper-tiny's encoder under the golden rule; the position table (a fixed one) is left out."""
    keys = {name: entry for name, entry in read_keys("whisper/keys.json").items() if name != TABLE}
    return rule_weights(keys, seed=3)


def position_table(length: int = 1500, width: int = 384) -> torch.Tensor:
    """Whisper's sinusoids: sines in the left half, cosines in the right, not interleaved."""
    frequencies = torch.exp(-torch.arange(width // 2, dtype=torch.float64) * (9.210340371976184 / (width // 2 - 1)))
    angles = torch.arange(length, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1).float()


def rule_whisper() -> WhisperEncoder:
    encoder = WhisperEncoder(WhisperConfig(encoder_ffn_dim=1536, encoder_layers=4, vocab_size=51865))
    state = rule_whisper_weights() | {TABLE: position_table()}
    encoder.load_state_dict({name.removeprefix("model.encoder."): tensor for name, tensor in state.items()})
    return encoder.eval().requires_grad_(False)


class Pass(nn.Module):
    """In place of a block: what goes in comes out, so that every state is the convolutional one."""

    def forward(self, hidden_states: torch.Tensor, attention_mask: None) -> torch.Tensor:
        return hidden_states


def convolutions_only(encoder: WhisperEncoder) -> WhisperEncoder:
    encoder.layers = nn.ModuleList(Pass() for _ in encoder.layers)
    return encoder
