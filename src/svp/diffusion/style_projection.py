"""Style projection: a style code becomes tokens for the style attention (paper Sec. 3.2).

The paper projects the code to one token; softmax over one key is 1, so every pixel would get the same vector. Several
tokens (default of the presets: 4) let the style act differently at different places; 1 is the paper-literal option.

Shapes: B videos, F frames, D channels of the style space, S tokens.
"""

from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn

from svp.strict_model import StrictModel


class StyleProjection(StrictModel):
    """Linear map to S tokens and a layer norm per token.

    Args:
        style_dim: D.
        tokens: S.
        token_dim: channels of a style token.
    """

    @register_to_config
    def __init__(self, *, style_dim: int, tokens: int, token_dim: int) -> None:
        super().__init__()
        self.tokens = tokens
        self.proj = nn.Linear(style_dim, tokens * token_dim)
        self.norm = nn.LayerNorm(token_dim)

    def forward(self, style: Tensor) -> Tensor:
        """Codes (B, D) or (B, F, D) to tokens (B, S, token_dim) or (B, F, S, token_dim)."""
        return self.norm(self.proj(style).unflatten(-1, (self.tokens, -1)))
