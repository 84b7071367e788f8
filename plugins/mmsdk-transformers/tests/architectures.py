"""Small architectures of many kinds: by name, the `type` of the encoder, its fields, and inputs for it."""

from __future__ import annotations

from typing import Any

import torch

import mmsdk

WIDE = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = {**WIDE, "vocab_size": 40, "max_position_embeddings": 20, "pad_token_id": 1}
PICTURE = {**WIDE, "image_size": 32, "patch_size": 16}
SOUND = {
    **WIDE,
    "conv_dim": [16, 16],
    "conv_kernel": [10, 4],
    "conv_stride": [5, 4],
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 8,
    "num_conv_pos_embedding_groups": 2,
}
CLAP_AUDIO = {
    "hidden_size": 32,
    "patch_embeds_hidden_size": 16,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "num_hidden_layers": 2,
    "spec_size": 64,
    "num_mel_bins": 16,
    "window_size": 4,
}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 32,
    "vocab_size": 40,
    "num_mel_bins": 16,
    "max_source_positions": 50,
    "pad_token_id": 1,
}
AST = {**WIDE, "patch_size": 8, "frequency_stride": 8, "time_stride": 8, "max_length": 32, "num_mel_bins": 16}
CLAP_EXTRACTOR = {
    "feature_size": 16,
    "max_length_s": 1,
    "sampling_rate": 16_000,
    "frequency_max": 7_000,
    "truncation": "rand_trunc",
}
CLAP = {"projection_dim": 12, "text_config": TEXT, "audio_config": CLAP_AUDIO}
CLIP = {"projection_dim": 12, "text_config": TEXT | {"eos_token_id": 2, "bos_token_id": 0}, "vision_config": PICTURE}

TEXTS: dict[str, dict[str, Any]] = {
    "bert": TEXT,
    "roberta": TEXT,
    "distilbert": {"dim": 16, "hidden_dim": 32, "n_layers": 2, "n_heads": 2, "vocab_size": 40, "pad_token_id": 1},
    "mpnet": TEXT,
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "vocab_size": 40, "n_positions": 20, "bos_token_id": 0},
    "t5": {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_heads": 2, "vocab_size": 40},
    "modernbert": TEXT | {"sep_token_id": 2, "cls_token_id": 0, "bos_token_id": 0, "eos_token_id": 2},
    "clip": CLIP,
    "siglip": {"text_config": TEXT | {"projection_size": 16}, "vision_config": PICTURE},
    "clap": CLAP,
}
PICTURES: dict[str, dict[str, Any]] = {
    "vit": PICTURE,
    "dinov2": PICTURE,
    "convnext": {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
    "clip": CLIP,
    "siglip": {"text_config": TEXT | {"projection_size": 16}, "vision_config": PICTURE},
    "siglip_vision_model": PICTURE,
}
SOUNDS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "wav2vec2": (SOUND | {"feat_extract_norm": "layer", "do_stable_layer_norm": True}, {}),
    "hubert": (SOUND | {"feat_extract_norm": "group"}, {}),
    "whisper": (WHISPER, {"feature_size": 16, "chunk_length": 1}),
    "audio-spectrogram-transformer": (AST, {"max_length": 32, "num_mel_bins": 16}),
    "clap": (CLAP, CLAP_EXTRACTOR),
}
VIDEOS: dict[str, dict[str, Any]] = {
    "videomae": PICTURE | {"num_frames": 4, "tubelet_size": 2},
    "timesformer": PICTURE | {"num_frames": 4},
}
ALL = [
    *(("transformers.text", name) for name in TEXTS),
    *(("transformers.vision", name) for name in PICTURES),
    *(("transformers.audio", name) for name in SOUNDS),
    *(("transformers.video", name) for name in VIDEOS),
]


def fields(kind: str, name: str) -> dict[str, Any]:
    """The config of an encoder with this architecture."""
    if kind == "transformers.audio":
        architecture, extractor = SOUNDS[name]
        return {"type": kind, "architecture": {"model_type": name, **architecture}, "extractor": extractor}
    table = {"transformers.text": TEXTS, "transformers.vision": PICTURES, "transformers.video": VIDEOS}[kind]
    return {"type": kind, "architecture": {"model_type": name, **table[name]}}


def format_of(kind: str) -> mmsdk.Format:
    return {
        "transformers.text": mmsdk.Format("tokens", vocabulary=40),
        "transformers.vision": mmsdk.Format("pixels", sizes=(32, 32)),
        "transformers.audio": mmsdk.Format("waveform", rate=16_000.0),
        "transformers.video": mmsdk.Format("frames", sizes=(32, 32)),
    }[kind]


def inputs(kind: str) -> dict[str, torch.Tensor]:
    """Three rows of different lengths, with rubbish where the mask is False."""
    generator = torch.Generator().manual_seed(0)
    if kind == "transformers.vision":
        return {"pixels": torch.rand(3, 3, 32, 32, generator=generator)}
    lengths = {
        "transformers.text": (5, 3, 8),
        "transformers.audio": (7_000, 150, 12_000),
        "transformers.video": (4, 2, 9),
    }
    mask = torch.arange(max(lengths[kind])) < torch.tensor(lengths[kind])[:, None]
    if kind == "transformers.text":
        ids = torch.randint(4, 40, mask.shape, generator=generator)
        ids[torch.arange(3), mask.sum(dim=1) - 1] = 2  # the end, where CLIP looks
        return {"ids": ids, "mask": mask}
    if kind == "transformers.audio":
        return {"samples": 0.1 * torch.randn(mask.shape, generator=generator), "mask": mask}
    return {"frames": torch.rand(*mask.shape, 3, 32, 32, generator=generator), "mask": mask}
