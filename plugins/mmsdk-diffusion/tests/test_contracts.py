"""The promises of the plugin and of its head, with each network."""

from __future__ import annotations

from mmsdk.testing import HeadContract, PluginContract
from mmsdk_diffusion.declarations import ImageConfig

TARGET = {"column": "picture", "modality": {"type": "image", "size": 4}}


def picture(shade: int) -> list[list[list[int]]]:
    """4 x 4 pixels, the upper half in another colour than the lower one."""
    return [[[shade, 255 - shade, 9]] * 4] * 2 + [[[0, 0, shade]] * 4] * 2


class TestPlugin(PluginContract):
    prefix = "diffusion"


class TestMLP(HeadContract):
    config = ImageConfig(target=TARGET, network={"type": "mlp", "width": 8, "layers": 1}, sampling={"steps": 2})
    values = (picture(10), picture(200))


class TestUNet(HeadContract):
    """With 8 x 8 pixels: attention among a single place would leave its queries without a gradient."""

    config = ImageConfig(
        target={"column": "picture", "modality": {"type": "image", "size": 8}},
        network={"type": "unet", "channels": [4, 8], "heads": 2, "patch": 2},
        prediction="v",
        sampling={"steps": 2},
    )
    values = (picture(10), picture(200))
