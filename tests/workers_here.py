"""Workers in this very process: starting one takes longer than a tiny video."""

from collections.abc import Callable, Iterator, Sequence

from svp.workers import Workers


class WorkersHere(Workers):
    """Does its jobs where they are asked for, one after the other."""

    def run(self, jobs: Sequence, work: Callable, died: Callable) -> Iterator:
        return map(work, jobs)
