"""Samples follow from (seed, n) alone and are what their stage needs."""

import numpy as np
import pytest
import torch
from tiny_training import small_options
from torch.utils.data import default_collate

from svp.datasets.latents import LatentCache, cache_latents
from svp.datasets.prepared import PreparedDataset
from svp.diffusion.build import build_pipeline, build_scheduler, build_vae
from svp.errors import InputError
from svp.face.key_points import KEY_POINTS
from svp.style.encoder import StyleGaussian
from svp.training.options import recipe
from svp.training.run import _diffusion_task
from svp.training.samples import DiffusionSamples, GroupBatches, PictureSamples, _expression_weight, visited_timesteps
from svp.training.stages import STAGES


@pytest.fixture(scope="module")
def make(tiny_dataset, tiny_preset):
    dataset = PreparedDataset(tiny_dataset)
    torch.manual_seed(0)
    folder = cache_latents(dataset, build_vae(tiny_preset))

    def build(
        split="train", styles=None, timesteps=(), shared_noise=0.0, points="upper-face", zero_edges=False,
        stage="motion", seen_styles=None, **changes,
    ):  # fmt: skip
        options = recipe("mini", stage, tiny_dataset, None, frames=4, batch_size=2, reference_distance=3, **changes)
        return DiffusionSamples(
            dataset, LatentCache(folder, scaling_factor=1.0), options, split,
            latent_stride=4, audio_radius=2, zero_edges=zero_edges, key_points=KEY_POINTS[points],
            scheduler=build_scheduler("v_prediction", True), styles=styles,
            seen_styles=seen_styles, shared_noise=shared_noise, timesteps=timesteps,
        )  # fmt: skip

    return build


def test_a_sample_follows_from_its_number_and_the_seed(make):
    a, b, other = make()[5], make()[5], make(seed=1)[5]
    for name in a:
        assert torch.equal(a[name], b[name]), name
    assert not torch.equal(a["noise"], other["noise"])
    assert not torch.equal(a["noise"], make()[6]["noise"])


def test_frames_of_a_sample_share_their_noise_if_the_model_wants_it(make):
    own, common = make()[5]["noise"], make(shared_noise=1.0)[5]["noise"]
    assert not torch.equal(own[:, 0], own[:, 1])
    assert torch.equal(common, common[:, :1].expand_as(common)) and float(common.std()) > 0.5


def test_half_of_the_samples_have_a_level_that_few_steps_visit(make):
    visited = visited_timesteps(build_scheduler("v_prediction", True), 4)
    assert visited == (999, 749, 499, 249)
    few, all_levels = make(few_steps=4), make()
    levels = [int(few[n]["timestep"]) for n in range(60)]
    assert 20 <= sum(level in visited for level in levels) <= 42 and set(visited) < set(levels)
    assert sum(int(all_levels[n]["timestep"]) in visited for n in range(60)) < 5
    always = make(few_steps=4, few_steps_share=1.0)
    assert {int(always[n]["timestep"]) for n in range(60)} == set(visited)


def test_an_imported_model_sees_its_own_points_and_silence_around_the_clip(make):
    own, imported = make(), make(points="v-express", zero_edges=True)
    differ = [n for n in range(30) if not torch.equal(own[n]["audio"], imported[n]["audio"])]
    assert differ  # a window reaches beyond its clip
    for n in differ:
        changed = (own[n]["audio"] != imported[n]["audio"]).any(dim=-1)
        assert not imported[n]["audio"][changed].any() and changed.sum() <= 6  # two frames before it, or after
        assert not torch.equal(own[n]["head_kps"], imported[n]["head_kps"])
        assert 0 < (imported[n]["head_kps"] > 0).float().mean() < 0.5


def test_shapes(make):
    sample = make()[0]
    assert sample["latents"].shape == sample["noise"].shape == (4, 4, 8, 8)
    assert sample["reference"].shape == (4, 8, 8)
    assert sample["audio"].shape == (4, 5, 1920)
    assert sample["head_kps"].shape == (3, 4, 32, 32)
    assert sample["weight"].shape == (4, 8, 8)


def test_audio_windows_are_centred_on_their_frame(make, tiny_dataset):
    samples = make()
    alpha = {r.clip_id: PreparedDataset(tiny_dataset).clip(r.clip_id).features("audio") for r in samples.rows}
    for n in range(6):
        centre = samples[n]["audio"][:, 2].numpy()
        assert any(
            any(np.array_equal(centre, values[s : s + 4].astype(np.float32)) for s in range(len(values) - 3))
            for values in alpha.values()
        )


def test_pairs_take_the_reference_from_another_emotion(make):
    samples = make(styles={})
    rng = np.random.default_rng(0)
    for row in samples.rows:
        source, frame = samples._reference(row, 0, 4, rng)
        assert source.identity == row.identity
        assert source.emotion != row.emotion
        assert 0 <= frame < source.frames


def test_the_reference_keeps_its_distance(make):
    samples, rng = make(reference_elsewhere=0.0), np.random.default_rng(0)
    row = samples.rows[0]
    for _ in range(50):
        source, frame = samples._reference(row, 4, 8, rng)
        assert source is row and (frame <= 4 - 3 - 1 or frame >= 8 + 3)


def test_the_reference_may_come_from_another_clip_of_the_person(make):
    rng, share = np.random.default_rng(0), {}
    for chance in (1.0, 0.5):
        samples = make(reference_elsewhere=chance)
        sources = [samples._reference(row, 0, 4, rng)[0] for row in samples.rows for _ in range(50)]
        rows = [row for row in samples.rows for _ in range(50)]
        assert all(a.identity == b.identity for a, b in zip(sources, rows, strict=True))
        share[chance] = np.mean([a is not b for a, b in zip(sources, rows, strict=True)])
    assert share[1.0] == 1 and 0.35 < share[0.5] < 0.65


def test_style_is_drawn_anew_for_every_sample(make):
    gaussian = StyleGaussian(torch.zeros(1, 16), torch.ones(1, 16))
    samples = make(styles={name: gaussian for name in ("a_neutral", "a_happy", "b_neutral", "b_happy")})
    assert not torch.equal(samples[0]["style"], samples[1]["style"])


def test_styles_are_of_measured_expressions_as_often_as_asked(make):
    true, seen = (StyleGaussian(torch.full((1, 16), value), torch.zeros(1, 16)) for value in (1.0, 2.0))
    names = ("a_neutral", "a_happy", "b_neutral", "b_happy")

    def drawn(measured, seen_in=names):
        samples = make(
            stage="style",
            styles=dict.fromkeys(names, true),
            seen_styles=dict.fromkeys(seen_in, seen),
            measured=measured,
        )
        return [float(samples[n]["style"][0]) for n in range(100)]

    assert set(drawn(0.0)) == {1.0} and set(drawn(1.0)) == {2.0}
    assert 35 < drawn(0.5).count(2.0) < 65
    assert set(drawn(1.0, seen_in=("a_happy",))) == {1.0, 2.0}  # in the other clips no face was seen


def test_conditions_are_dropped_as_often_as_asked(make):
    samples = make(drop_each=0.3, drop_all=0.2)
    keep = torch.stack([samples[n]["keep"] for n in range(400)])
    assert abs(float((~keep).all(dim=1).float().mean()) - (0.2 + 0.8 * 0.3**4)) < 0.07
    assert abs(float(keep.float().mean()) - 0.8 * 0.7) < 0.05
    alone = ~keep & (keep.sum(dim=1, keepdim=True) == keep.shape[1] - 1)
    assert (alone.float().mean(dim=0) - 0.8 * 0.3 * 0.7**3).abs().max() < 0.06  # each of them
    assert make(drop_each=0.0, drop_all=0.0)[0]["keep"].all()


def test_validation_has_its_steps_and_its_noise_and_drops_nothing(make):
    samples = make("val", timesteps=(100, 900), drop_each=1.0, drop_all=1.0)
    assert [int(samples[n]["timestep"]) for n in range(2)] == [100, 900]
    for n in range(2):
        assert samples[n]["keep"].all()
        again = make("val", timesteps=(100, 900), drop_each=1.0, drop_all=1.0)[n]
        assert all(torch.equal(value, again[name]) for name, value in samples[n].items())


def test_expression_weight_marks_the_mouth_and_keeps_the_mean():
    landmarks = np.random.default_rng(0).uniform(60, 68, (1, 478, 3))
    weight = _expression_weight(landmarks, 16, 16, 8, 5.0)
    assert float(weight.mean()) == pytest.approx(1.0)
    assert weight[0, 8, 8] == pytest.approx(5 * float(weight[0, 0, 0]))
    assert torch.equal(_expression_weight(landmarks, 16, 16, 8, 1.0), torch.ones(1, 16, 16))


def test_groups_have_positives_and_negatives_and_keep_one_modality(tiny_dataset):
    options = recipe("mini", "prior", tiny_dataset, None, groups=3, per_group=2, modality_dropout=0.9)
    batches = GroupBatches(PreparedDataset(tiny_dataset), options, "train", 5, 16)
    for n in range(len(batches)):
        batch = batches[n]
        assert len(batch["labels"]) == 6
        assert len(set(batch["labels"].tolist())) == 3
        assert (batch["keep_expression"] | batch["keep_audio"]).all()


def test_errors_of_other_faces_are_added_to_what_is_learned_from_not_to_validation(tiny_dataset):
    dataset = PreparedDataset(tiny_dataset)

    class Off:
        """A fit that sees every unit 0.25 too high."""

        def expression(self, clip_id, start, stop):
            return dataset.clip(clip_id).features("expression", start, stop) + 0.25

    drawn = {}
    for share in (0.0, 1.0):
        options = recipe("mini", "prior", tiny_dataset, None, groups=2, per_group=2, measured=1.0, foreign_errors=share)
        for split in ("train", "val"):
            drawn[split, share] = GroupBatches(dataset, options, split, 1, 16, Off())[0]
    assert torch.equal(drawn["val", 1.0]["expression"], drawn["val", 0.0]["expression"])
    options = options.model_copy(update={"foreign_errors": 0.0})
    batches = GroupBatches(dataset, options, "train", 1, 16, Off())
    error = batches._foreign_error(np.random.default_rng(0))
    np.testing.assert_allclose(error, 0.25, atol=1e-6)
    seen = drawn["train", 1.0]
    assert float(seen["expression"][seen["present"]].min()) >= 0.5 - 1e-6  # its own error and somebody else's


def test_errors_of_other_faces_want_measured_ones(tiny_dataset):
    with pytest.raises(InputError, match="--measured"):
        recipe("mini", "prior", tiny_dataset, None, foreign_errors=0.5)


def test_levels_can_be_groups_of_their_own(tiny_dataset, monkeypatch):
    dataset = PreparedDataset(tiny_dataset)
    rows = [row.model_copy(update={"intensity": level}) for level in (1, 2) for row in dataset.accepted("train")]
    monkeypatch.setattr(dataset, "accepted", lambda split: rows)
    for told_apart in (False, True):
        options = recipe("mini", "prior", tiny_dataset, None, group_levels=told_apart)
        groups = GroupBatches(dataset, options, "train", 1, 16).groups
        assert {len({row.emotion for row in group}) for group in groups} == {1}
        assert all(len({row.intensity for row in group}) == 1 for group in groups) is told_apart


def test_a_silent_clip_never_loses_its_expression(tiny_dataset, monkeypatch):
    from svp.datasets.clip import Clip

    real = Clip.features

    def silent(self, name, start=0, stop=None):
        values = real(self, name, start, stop)
        return values * 0 if name == "audio" else values

    monkeypatch.setattr(Clip, "features", silent)
    options = recipe("mini", "prior", tiny_dataset, None, groups=3, per_group=2, modality_dropout=1.0)
    for n in range(5):
        assert GroupBatches(PreparedDataset(tiny_dataset), options, "train", 5, 16)[n]["keep_expression"].all()


def test_pictures_are_in_range(tiny_dataset):
    sample = PictureSamples(
        PreparedDataset(tiny_dataset), recipe("mini", "vae", tiny_dataset, None), "train", (4, 8, 8)
    )[0]
    assert sample["pixels"].shape == (3, 32, 32)
    assert float(sample["pixels"].min()) >= -1 and float(sample["pixels"].max()) <= 1


def test_latents_encoded_in_the_step_are_the_cached_ones(tiny_dataset, tiny_preset):
    dataset = PreparedDataset(tiny_dataset)
    pipeline = build_pipeline(tiny_preset, seed=0)
    pipeline.vae.register_to_config(scaling_factor=0.7)
    batches, objectives = {}, {}
    for kept in ("cached", "fly"):
        options = small_options("motion", tiny_dataset, None, latents=kept)
        task = _diffusion_task(pipeline, dataset, STAGES["motion"], options)
        batches[kept] = default_collate([task.train[n] for n in range(2)])
        objectives[kept] = task.objective
    for name in batches["cached"].keys() & batches["fly"].keys():
        assert torch.equal(batches["cached"][name], batches["fly"][name]), name
    assert batches["fly"]["pictures"].dtype == torch.uint8
    drawn = {kept: objectives[kept].latents_of(batches[kept]) for kept in objectives}
    for cached, fly in zip(drawn["cached"], drawn["fly"], strict=True):
        torch.testing.assert_close(fly, cached, atol=3e-3, rtol=3e-3)  # the cache keeps float16
    losses = [objectives[kept](batches[kept])[0] for kept in objectives]
    torch.testing.assert_close(losses[0], losses[1], rtol=5e-3, atol=0)
    assert not any(parameter.requires_grad for parameter in pipeline.vae.parameters())
