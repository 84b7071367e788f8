"""What a config.json may say of a network. Standard library only.

A config of transformers can name code to run, kernels to download and other repositories to read. Nothing of that kind
is passed on, at any depth: neither from a model's folder nor from a saved pipeline.
"""

from __future__ import annotations

from typing import Any

DROPPED = {
    "adapters",
    "architectures",
    "auto_map",
    "backbone",
    "backbone_config",
    "backbone_kwargs",
    "custom_pipelines",
    "distributed_config",
    "dtype",
    "kernel_config",
    "name_or_path",
    "quantization_config",
    "torch_dtype",
    "transformers_version",
    "use_kernels",
    "use_pretrained_backbone",
    "use_timm_backbone",
}
PARTS = ("trust_remote_code", "implementation", "_internal", "custom_code", "code_revision")


def scrubbed(value: Any) -> Any:
    """JSON without private keys and without any that could lead to code or to other models."""
    if isinstance(value, dict):
        return {key: scrubbed(part) for key, part in value.items() if not _dropped(str(key))}
    return [scrubbed(part) for part in value] if isinstance(value, list) else value


def _dropped(key: str) -> bool:
    return key.startswith("_") or key in DROPPED or any(part in key for part in PARTS)
