"""What programs may give the page: files that were uploaded, and whatever else our own checks then judge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio_client.utils import is_http_url_like


def judge_ourselves(block: gr.blocks.Block) -> None:
    """Make a component take uploads alone, no addresses that the server would fetch, and hand on numbers as they are.

    Gradio fetches an address without a limit of size; and a number that is none ends in an error without a sentence.
    """
    if isinstance(block, gr.Number | gr.Slider):
        block.preprocess = _as_it_is  # type: ignore[method-assign]
    if not isinstance(block, gr.components.Component):
        return
    move = block.async_move_resource_to_block_cache

    async def take(place: str | Path | None) -> str | None:
        if place is not None and is_http_url_like(str(place)):
            raise gr.Error("an address was given in place of a file; upload the file", print_exception=False)
        return await move(place)

    block.async_move_resource_to_block_cache = take  # type: ignore[method-assign, assignment]


def _as_it_is(payload: Any) -> Any:
    return payload
