"""What programs may give the page: files that were uploaded, and whatever else our own checks then judge."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import gradio as gr
from gradio_client.utils import is_http_url_like
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_ADDRESS: Final = re.compile(r"/(file|proxy)[=/]+https?:", re.IGNORECASE)


def judge_ourselves(block: gr.blocks.Block) -> None:
    """Make a component take uploads alone, no addresses that the server would fetch, and hand on what was chosen.

    Gradio fetches an address without a limit of size; and a number or a choice that is none ends in an error without a
    sentence, and in the server's log.
    """
    if isinstance(block, gr.Number | gr.Slider | gr.Dropdown | gr.Radio):
        block.preprocess = _as_it_is  # type: ignore[method-assign]
    if not isinstance(block, gr.components.Component):
        return
    move = block.async_move_resource_to_block_cache

    async def take(place: str | Path | None) -> str | None:
        if place is not None and is_http_url_like(str(place)):
            raise gr.Error("an address was given in place of a file; upload the file", print_exception=False)
        return await move(place)

    block.async_move_resource_to_block_cache = take  # type: ignore[method-assign, assignment]


class NoAddresses:
    """Refuses what Gradio would fetch for whoever asks: with it a server stands in for its visitors on other ones."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and _ADDRESS.search(scope["path"]):
            await PlainTextResponse("this server fetches nothing", 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def _as_it_is(payload: Any) -> Any:
    return payload
