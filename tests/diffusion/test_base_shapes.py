"""`base` has exactly the tensors of SD1.5 / V-Express plus the documented new ones; nothing is allocated (meta device).

The lists of names and shapes are those of V-Express's networks, which contain SD1.5's
(tests/data/golden/v_express_tensors).
"""

import json

import pytest
import torch
from diffusers import UNet2DConditionModel

from golden_rule import DATA
from svp.diffusion.audio_projection import AudioProjection
from svp.diffusion.guider import HeadKpsGuider
from svp.diffusion.reference_net import ReferenceNet
from svp.diffusion.unet import DenoisingUNet
from svp.presets import PRESETS

BASE = PRESETS["base"].unet.model_dump()
NEW_PER_BLOCK = {  # the style attention: no output bias
    "norm_style.weight": lambda width, style: [width],
    "norm_style.bias": lambda width, style: [width],
    "attn_style.to_q.weight": lambda width, style: [width, width],
    "attn_style.to_k.weight": lambda width, style: [width, style],
    "attn_style.to_v.weight": lambda width, style: [width, style],
    "attn_style.to_out.0.weight": lambda width, style: [width, width],
}


def listed(network: str) -> dict[str, list[int]]:
    return json.loads((DATA / f"v_express_tensors/{network}.json").read_text())


def shapes(module: torch.nn.Module) -> dict[str, list[int]]:
    return {name: list(tensor.shape) for name, tensor in module.state_dict().items()}


def reference_net() -> ReferenceNet:
    shared = ("in_channels", "out_channels", "block_out_channels", "attention_levels", "layers_per_block")
    shared += ("attention_heads", "norm_num_groups")
    return ReferenceNet(**{key: BASE[key] for key in shared}, cross_attention_dim=768)


@pytest.fixture(autouse=True)
def no_memory():
    with torch.device("meta"):
        yield


def test_unet():
    unet = DenoisingUNet(**BASE)
    wanted = {name: shape for name, shape in listed("denoising_unet").items() if not name.endswith("pos_encoder.pe")}
    for path, block in unet.blocks.items():
        width = block.norm1.weight.shape[0]
        for name, shape in NEW_PER_BLOCK.items():
            wanted[f"{path}.{name}"] = shape(width, BASE["style_token_dim"])
    assert len(unet.blocks) == 16
    assert shapes(unet) == wanted


def test_unet_holds_every_tensor_of_sd15():
    sd15 = shapes(UNet2DConditionModel(cross_attention_dim=768))  # the class's defaults are SD1.5's configuration
    ours = shapes(DenoisingUNet(**BASE))
    assert len(sd15) == 686
    assert {name: ours.get(name) for name in sd15} == sd15
    extra = set(ours) - set(sd15)
    assert all(any(new in name for new in ("1_5", "_style", "motion_modules")) for name in extra)


def test_position_term_is_absent_unless_asked_for():
    names = "position_gain", "pos_q", "pos_k"
    assert not any(name in key for key in shapes(DenoisingUNet(**BASE)) for name in names)
    with_term = shapes(DenoisingUNet(**BASE | {"reference_position": True}))
    for name in names:
        assert sum(name in key for key in with_term) == 16


def test_reference_net():
    net = reference_net()
    assert shapes(net) == listed("reference_net")
    unet = DenoisingUNet(**BASE)
    widths = {path: block.norm1.weight.shape for path, block in unet.blocks.items()}
    assert {path: m.norm1.weight.shape for path, m in net.named_modules() if hasattr(m, "attn2")} == widths


def test_guider_and_audio_projection():
    guider = HeadKpsGuider(**PRESETS["base"].guider.model_dump(), out_channels=BASE["block_out_channels"][0])
    assert shapes(guider) == listed("v_kps_guider")
    v_express_window = {"alpha_dim": 768, "window": 10}
    projection = PRESETS["base"].audio_projection.model_dump() | v_express_window
    assert shapes(AudioProjection(**projection, token_dim=768)) == listed("audio_projection")


def test_unknown_configuration_keys_are_errors():
    with pytest.raises(ValueError, match="atention_heads"):
        DenoisingUNet.from_config(BASE | {"atention_heads": (8,) * 4})
    with pytest.raises(ValueError, match="configuration of ReferenceNet given to DenoisingUNet"):
        DenoisingUNet.from_config(BASE | {"_class_name": "ReferenceNet"})
    with pytest.raises(TypeError, match="motion_heads"):
        DenoisingUNet.from_config({key: value for key, value in BASE.items() if key != "motion_heads"})
    with pytest.raises(ValueError, match="one per level"):
        DenoisingUNet(**BASE | {"attention_heads": (8, 8)})
