"""What went wrong, in words for a visitor of the page and for a client of its API."""

from __future__ import annotations

import html
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager

import gradio as gr

from svp.errors import InputError


@contextmanager
def explained(told: Callable[[str], str] = str) -> Iterator[None]:
    """What fails in the block is said in one sentence; what is no fault of the visitor's goes to the log.

    Args:
        told: takes what is nobody's business out of a message.

    Raises:
        gr.Error: something failed.
    """
    try:
        yield
    except InputError as error:
        raise _failure(told(str(error))) from error
    except CancelledError as error:
        raise _failure("Cancelled") from error
    except Exception as error:
        traceback.print_exc()
        raise _failure("Something broke on the server; its log says what") from error


def _failure(text: str) -> gr.Error:
    return gr.Error(html.escape(text, quote=False), print_exception=False)
