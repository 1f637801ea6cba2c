"""How far a video is, and how the page shows it."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from PIL import Image

TEMPLATE: Final = """{{#if value.text}}<div class="work">
{{#if value.frame}}<img alt="The latest frame" src="{{value.frame}}">{{/if}}
{{#unless value.failed}}<div class="bar" role="progressbar" aria-label="Progress"
aria-valuenow="{{value.percent}}" aria-valuemin="0" aria-valuemax="100">
<span style="width: {{value.percent}}%"></span></div>{{/unless}}
<p role="{{#if value.failed}}alert{{else}}status{{/if}}"
>${value.text.replace(/[&<]/g, c => '&#' + c.charCodeAt() + ';')}</p></div>{{/if}}"""
"""Handlebars, filled by the page with `Progress.shown`; what comes out is a JavaScript template literal. The literal
takes the text: put in by Handlebars it would be a part of it, and `${1+1}` of a message be computed."""
STYLE: Final = """
.work { display: flex; flex-direction: column; align-items: center; gap: 0.6rem; padding: 0.8rem;
        border: 1px solid var(--border-color-primary); border-radius: 8px }
.work img { width: 100%; max-width: 20rem; border-radius: 8px }
.work p { margin: 0; font-variant-numeric: tabular-nums; white-space: pre-line }
.bar { width: 100%; height: 0.5rem; border-radius: 0.25rem; background: var(--border-color-primary); overflow: hidden }
.bar span { display: block; height: 100%; background: var(--color-accent); transition: width 0.3s }
"""
PREVIEW: Final = 640  # pixels of the longer side; it is shown 20 rem wide


@dataclass(frozen=True)
class Progress:
    """How far a video is.

    Attributes:
        text: for a person; empty shows nothing.
        share: of the work, 0 to 1.
        frame: the last one made, (H, W, 3) uint8 RGB.
        failed: there is nothing to wait for any more.
    """

    text: str = ""
    share: float = 0.0
    frame: np.ndarray | None = None
    failed: bool = False

    def shown(self) -> dict[str, Any]:
        """As JSON for `TEMPLATE` and for API clients; the frame is a small data address: no file is left of it."""
        shown: dict[str, Any] = {"text": self.text, "percent": round(100 * self.share), "failed": self.failed}
        if self.frame is not None:
            buffer, picture = io.BytesIO(), Image.fromarray(self.frame)
            picture.thumbnail((PREVIEW, PREVIEW))
            picture.save(buffer, "JPEG", quality=85)
            shown["frame"] = "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
        return shown
