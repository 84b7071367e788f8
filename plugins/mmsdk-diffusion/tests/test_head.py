from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported


from mmsdk.testing import HeadContract, PluginContract
from mmsdk_diffusion.declarations import ImageConfig

SMALL = {"column": "picture", "modality": {"type": "image", "size": 4}}


def picture(shade: int) -> list[list[list[int]]]:
    return [[[shade, 255 - shade, 9]] * 4] * 2 + [[[0, 0, shade]] * 4] * 2


class TestPlugin(PluginContract):
    prefix = "diffusion"


class TestMLP(HeadContract):
    config = ImageConfig(target=SMALL, network={"type": "mlp", "width": 8, "layers": 1}, sampling={"steps": 2})
    values = [picture(10), picture(200)]


class TestUNet(HeadContract):
    config = ImageConfig(target=SMALL, network={"type": "unet", "channels": [4, 8], "heads": 2}, sampling={"steps": 2})
    values = [picture(10), picture(200)]
