"""mmsdk: multimodal fusion from plugins.

The public names; each is imported when it is first used, so that `import mmsdk` costs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmsdk.builtin.declarations.captioning import WritingConfig
    from mmsdk.builtin.heads.writing import WritingHead
    from mmsdk.builtin.layers.attention import CrossBlock, TransformerBlock
    from mmsdk.builtin.layers.pooling import MeanMax
    from mmsdk.builtin.modalities.files import decoding, existing_file
    from mmsdk.builtin.modalities.picture_corruptions import PICTURE_CORRUPTIONS
    from mmsdk.builtin.modalities.pictures import on_white, picture
    from mmsdk.builtin.modalities.token_corruptions import token_corruptions
    from mmsdk.comparison.contestants import LeftOut
    from mmsdk.comparison.standings import Comparison, Standing
    from mmsdk.comparison.tournament import compare
    from mmsdk.components import (
        AnyDecision,
        AnyEncoder,
        AnyFusion,
        AnyHead,
        AnyModality,
        DecisionConfig,
        EncoderConfig,
        FusionConfig,
        HeadConfig,
        ModalityConfig,
        TargetConfig,
    )
    from mmsdk.config.file import load_config
    from mmsdk.config.pipeline import PipelineConfig
    from mmsdk.containers import Batch, Encoding, Fused, HeadOutput, Inputs, Step, spread
    from mmsdk.data.samples import Row, read_rows
    from mmsdk.data.skipping import Skipped
    from mmsdk.errors import (
        CheckpointError,
        ConfigError,
        DataError,
        DecodeError,
        ExportError,
        HubError,
        Interrupted,
        MmsdkError,
        PluginError,
        TrainingError,
        UnknownComponentError,
    )
    from mmsdk.evaluation.attribution import SampleWorth, Worth, explain
    from mmsdk.evaluation.measuring import evaluate
    from mmsdk.evaluation.robustness import Damage, evaluate_corruptions
    from mmsdk.evaluation.subsets import evaluate_subsets
    from mmsdk.fields import ConfigPath, Dropout
    from mmsdk.folders import open_folder, write_folder
    from mmsdk.formats import Format, Source
    from mmsdk.hookspecs import hookimpl
    from mmsdk.interfaces import (
        Corruption,
        DecisionFusion,
        Encoder,
        FeatureFusion,
        FusionStrategy,
        Metric,
        Modality,
        Prediction,
        ScoringHead,
        TaskHead,
    )
    from mmsdk.modules import Parts
    from mmsdk.pipeline.about import About, SubsetFigures
    from mmsdk.pipeline.embedding import Embedded
    from mmsdk.pipeline.pipeline import Pipeline
    from mmsdk.pipeline.prediction import Result
    from mmsdk.plugins.registry import register
    from mmsdk.proposal import Column, Proposal
    from mmsdk.training.loop import Trained, train

_HOME = {
    "mmsdk.builtin.layers.attention": "CrossBlock TransformerBlock",
    "mmsdk.evaluation.attribution": "SampleWorth Worth explain",
    "mmsdk.builtin.layers.pooling": "MeanMax",
    "mmsdk.builtin.modalities.files": "decoding existing_file",
    "mmsdk.builtin.declarations.captioning": "WritingConfig",
    "mmsdk.builtin.heads.writing": "WritingHead",
    "mmsdk.builtin.modalities.picture_corruptions": "PICTURE_CORRUPTIONS",
    "mmsdk.builtin.modalities.pictures": "on_white picture",
    "mmsdk.builtin.modalities.token_corruptions": "token_corruptions",
    "mmsdk.comparison.contestants": "LeftOut",
    "mmsdk.comparison.standings": "Comparison Standing",
    "mmsdk.comparison.tournament": "compare",
    "mmsdk.components": (
        "AnyDecision AnyEncoder AnyFusion AnyHead AnyModality DecisionConfig EncoderConfig FusionConfig HeadConfig "
        "ModalityConfig TargetConfig"
    ),
    "mmsdk.config.pipeline": "PipelineConfig",
    "mmsdk.config.file": "load_config",
    "mmsdk.containers": "Batch Encoding Fused HeadOutput Inputs Step spread",
    "mmsdk.pipeline.about": "About SubsetFigures",
    "mmsdk.pipeline.embedding": "Embedded",
    "mmsdk.errors": (
        "CheckpointError ConfigError DataError DecodeError ExportError HubError Interrupted MmsdkError PluginError "
        "TrainingError UnknownComponentError"
    ),
    "mmsdk.evaluation.measuring": "evaluate",
    "mmsdk.fields": "ConfigPath Dropout",
    "mmsdk.folders": "open_folder write_folder",
    "mmsdk.formats": "Format Source",
    "mmsdk.hookspecs": "hookimpl",
    "mmsdk.interfaces": (
        "Corruption DecisionFusion Encoder FeatureFusion FusionStrategy Metric Modality Prediction ScoringHead TaskHead"
    ),
    "mmsdk.modules": "Parts",
    "mmsdk.pipeline.pipeline": "Pipeline",
    "mmsdk.plugins.registry": "register",
    "mmsdk.pipeline.prediction": "Result",
    "mmsdk.proposal": "Column Proposal",
    "mmsdk.evaluation.robustness": "Damage evaluate_corruptions",
    "mmsdk.data.samples": "Row read_rows",
    "mmsdk.data.skipping": "Skipped",
    "mmsdk.evaluation.subsets": "evaluate_subsets",
    "mmsdk.training.loop": "Trained train",
}
_MODULES = {name: module for module, names in _HOME.items() for name in names.split()}

__all__ = [
    "PICTURE_CORRUPTIONS",
    "About",
    "AnyDecision",
    "AnyEncoder",
    "AnyFusion",
    "AnyHead",
    "AnyModality",
    "Batch",
    "CheckpointError",
    "Column",
    "Comparison",
    "ConfigError",
    "ConfigPath",
    "Corruption",
    "CrossBlock",
    "Damage",
    "DataError",
    "DecisionConfig",
    "DecisionFusion",
    "DecodeError",
    "Dropout",
    "Embedded",
    "Encoder",
    "EncoderConfig",
    "Encoding",
    "ExportError",
    "FeatureFusion",
    "Format",
    "Fused",
    "FusionConfig",
    "FusionStrategy",
    "HeadConfig",
    "HeadOutput",
    "HubError",
    "Inputs",
    "Interrupted",
    "LeftOut",
    "MeanMax",
    "Metric",
    "MmsdkError",
    "Modality",
    "ModalityConfig",
    "Parts",
    "Pipeline",
    "PipelineConfig",
    "PluginError",
    "Prediction",
    "Proposal",
    "Result",
    "Row",
    "SampleWorth",
    "ScoringHead",
    "Skipped",
    "Source",
    "Standing",
    "Step",
    "SubsetFigures",
    "TargetConfig",
    "TaskHead",
    "Trained",
    "TrainingError",
    "TransformerBlock",
    "UnknownComponentError",
    "Worth",
    "WritingConfig",
    "WritingHead",
    "compare",
    "decoding",
    "evaluate",
    "evaluate_corruptions",
    "evaluate_subsets",
    "existing_file",
    "explain",
    "hookimpl",
    "load_config",
    "on_white",
    "open_folder",
    "picture",
    "read_rows",
    "register",
    "spread",
    "token_corruptions",
    "train",
    "write_folder",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'mmsdk' has no attribute '{name}'")
    value = getattr(import_module(_MODULES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
