"""Items of a stream a few at a time, as networks take them."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Lists of `size` items, the last one shorter; no more than one is held."""
    stream = iter(items)
    while batch := list(islice(stream, size)):
        yield batch
