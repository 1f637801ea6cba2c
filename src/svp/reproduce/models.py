"""The style encoders that are compared: of one kind, trained with different seeds, or of two kinds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from svp.diffusion.model_folder import check_model_folder, find_trained, unusable_model
from svp.errors import InputError
from svp.style.encoder import StyleEncoder

STYLE_ENCODER: Final = "style_encoder"
Kind = Literal["probabilistic", "deterministic"]


@dataclass(frozen=True, eq=False)
class StyleModel:
    """A model's style encoder.

    Attributes:
        name: as the user gave it.
        kind: `deterministic` where the encoder was trained on mu alone, the variant of the paper's ablation (Fig. 4).
        fingerprint: of its weights.
    """

    name: str
    kind: Kind
    fingerprint: str
    encoder: StyleEncoder


def load_style_encoder(name: str) -> StyleEncoder:
    """The style encoder of a shipped model, a model folder or the folder of a training run; nothing else is loaded.

    Raises:
        InputError: there is no such model, it has no style encoder, or that is damaged.
    """
    folder = find_trained(name)
    check_model_folder(folder)
    part = folder / STYLE_ENCODER
    if not part.is_dir():
        raise InputError(f"{part}: this model has no style encoder; name one that was trained with `svp train prior`")
    try:
        return StyleEncoder.from_pretrained(part).eval()
    except (OSError, ValueError, RuntimeError) as error:
        raise unusable_model(part, error) from error


def load_models(names: Sequence[str]) -> list[StyleModel]:
    """The style encoders of several models.

    Raises:
        InputError: one cannot be loaded, or two have the same style encoder: they are no two results.
    """
    models: list[StyleModel] = []
    for name in names:
        encoder = load_style_encoder(name)
        kind: Kind = "deterministic" if encoder.config.get("deterministic", False) else "probabilistic"
        model = StyleModel(name, kind, encoder.fingerprint(), encoder)
        for other in models:
            if other.fingerprint == model.fingerprint:
                raise InputError(
                    f"{name}: has the same style encoder as {other.name}; name models whose stage prior was trained "
                    "with another seed"
                )
        models.append(model)
    return models


def by_kind(models: Sequence[StyleModel]) -> dict[Kind, list[StyleModel]]:
    """The models of each kind; probabilistic ones first, a kind without models is left out."""
    kinds: tuple[Kind, ...] = ("probabilistic", "deterministic")
    groups = {kind: [model for model in models if model.kind == kind] for kind in kinds}
    return {kind: found for kind, found in groups.items() if found}
