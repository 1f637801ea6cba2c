"""A network that is published as TorchScript only: a file that holds the program with the weights.

Unlike a pickle such a program cannot run Python, but it is a program all the same, which can write files when it is
loaded. Only the published files are run, known by their hashes, and those that somebody vouched for at their import.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from svp.errors import InputError
from svp.media.hashing import sha256_file
from svp.weights.network import weights_file
from svp.weights.provenance import imported_files
from svp.weights.registry import find_weight


def check_script(kind: str, path: Path, trusted: bool = False) -> None:
    """Whether a TorchScript may be run: it is the published one, or the record of its folder says who it is.

    Args:
        kind: of `svp import`.
        path: the file, or a folder that `svp import` wrote.
        trusted: the user vouches for the file.

    Raises:
        InputError: it may not.
    """
    file = weights_file(path)
    weight, digest = find_weight(kind), sha256_file(file)
    accepted = [record.sha256 for record in imported_files(path.parent) if record.kind == kind] if path.is_dir() else []
    if not trusted and digest not in (*weight.scripts, *accepted):
        raise InputError(
            f"{file}: not the published {weight.files[0]} (SHA-256 {digest[:16]}... is unknown) but a program that can "
            f"write files; give {weight.source}, or import it with --trust-script if you made it"
        )


class ScriptedFeatures(nn.Module):
    """A TorchScript network that gives one vector per input; `check_script` comes first.

    Args:
        path: of the file.
        size: of the vectors; a network with others is refused where it is run.
        options: named arguments to call it with, as far as it knows them.

    Raises:
        InputError: the file cannot be loaded.
    """

    def __init__(self, path: Path, size: int, options: Mapping[str, bool]) -> None:
        super().__init__()
        try:
            self.script = torch.jit.load(str(path), map_location="cpu").eval()
        except (RuntimeError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise InputError(f"{path}: cannot be loaded as TorchScript ({reason}); download it again") from error
        known = {argument.name for argument in self.script.forward.schema.arguments}
        self.path, self.size = path, size
        self.options = {name: value for name, value in options.items() if name in known}

    def forward(self, given: Tensor) -> Tensor:
        """Features (B, size).

        Raises:
            InputError: the network gives something else.
        """
        features = self.script(given, **self.options)
        if not isinstance(features, Tensor) or features.shape[:2] != (len(given), self.size):
            shape = tuple(features.shape) if isinstance(features, Tensor) else type(features).__name__
            raise InputError(f"{self.path}: gives {shape} for {len(given)} inputs, not vectors of {self.size}; "
                             "give the published file")  # fmt: skip
        return features if features.ndim == 2 else features.flatten(2).mean(dim=2)
