"""A network of wav2vec2's architecture with small random weights."""

from transformers import Wav2Vec2Config, Wav2Vec2Model


def tiny_wav2vec2(hidden_size: int, layers: int) -> Wav2Vec2Model:
    config = Wav2Vec2Config(
        hidden_size=hidden_size,
        num_hidden_layers=layers,
        num_attention_heads=2,
        intermediate_size=16,
        conv_dim=(8,) * 7,
        num_conv_pos_embeddings=8,
        num_conv_pos_embedding_groups=2,
    )
    return Wav2Vec2Model(config)
