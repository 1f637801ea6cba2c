"""Codes of the clips of a dataset: each is what the encoder says of that clip alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from svp.datasets.prepared import PreparedDataset
from svp.datasets.selection import select_clips
from svp.errors import InputError
from svp.style.codes import MODALITIES, encode_clips, mean_expressions
from tiny_styles import SILENT, make_encoder


def test_equals_a_loop_over_the_clips(style_dataset: Path) -> None:
    dataset, encoder = PreparedDataset(style_dataset), make_encoder(0)
    rows = dataset.accepted("test")
    for modality in MODALITIES:
        codes = encode_clips(encoder, dataset, rows, modality)
        by_clip = codes.by_clip()
        for row in codes.rows:
            expression, audio = (
                torch.from_numpy(dataset.clip(row.clip_id).features(name)).float()[None] if name in modality else None
                for name in ("expression", "audio")
            )
            with torch.no_grad():
                expected = encoder(expression, audio, torch.ones(1, row.frames, dtype=torch.bool))
            assert torch.equal(by_clip[row.clip_id].mean, expected.mean)
            assert torch.equal(by_clip[row.clip_id].variance, expected.variance)
        silent = {row.clip_id for row in codes.missing}
        assert silent == ({SILENT, "ann_0_neutral"} if modality == "audio" else set())
        assert len(codes.rows) + len(silent) == len(rows)


def test_labelled_clips_keep_their_codes(style_dataset: Path) -> None:
    dataset = PreparedDataset(style_dataset)
    codes = encode_clips(make_encoder(0), dataset, dataset.accepted("test"), "audio")
    labelled = codes.labelled()
    assert {row.emotion for row in labelled.rows} == {"neutral", "happy", "sad"}
    assert [row.clip_id for row in labelled.missing] == ["ann_0_neutral"]
    for clip_id, gaussian in labelled.by_clip().items():
        assert torch.equal(gaussian.mean, codes.by_clip()[clip_id].mean)
    assert encode_clips(make_encoder(0), dataset, []).gaussian.mean.shape == (0, 16)


def test_features_of_another_encoder_are_refused(style_dataset: Path) -> None:
    dataset = PreparedDataset(style_dataset)
    encoder = make_encoder(0)
    encoder.register_to_config(audio_encoder="log-mel")
    with pytest.raises(InputError, match="log-mel"):
        encode_clips(encoder, dataset, dataset.accepted("test"))
    assert encode_clips(encoder, dataset, dataset.accepted("val"), "expression").rows  # audio is not looked at


def test_the_baseline_is_standardised_unit_by_unit(style_dataset: Path) -> None:
    dataset = PreparedDataset(style_dataset)
    rows = dataset.accepted()
    means = np.stack([dataset.clip(row.clip_id).features("expression").mean(0, dtype=np.float64) for row in rows])
    expected = (means - means.mean(0)) / means.std(0)
    np.testing.assert_allclose(mean_expressions(dataset, rows), expected, atol=1e-6)


def test_a_selection_that_is_too_small_names_the_others(style_dataset: Path) -> None:
    dataset = PreparedDataset(style_dataset)
    assert {row.split for row in select_clips(dataset, "unseen", identities=3)} == {"test", "val"}
    with pytest.raises(InputError, match=r"too few identities .*split val, 1 where 2 are needed; give --split unseen"):
        select_clips(dataset, "val", identities=2)
