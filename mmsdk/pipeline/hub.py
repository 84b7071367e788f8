"""Pipelines on the Hugging Face hub: the three methods that its other libraries have, too.

A local folder is always enough. Of the hub nothing is fetched but the files of a saved pipeline, by their names: JSON,
safetensors and the model card. No file is a pickle, and none is code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from huggingface_hub import ModelHubMixin
from pydantic import ValidationError

from mmsdk.config.card import CardConfig
from mmsdk.errors import CheckpointError, ConfigError, HubError, MmsdkError, told

if TYPE_CHECKING:
    from mmsdk.config.pipeline import PipelineConfig
    from mmsdk.pipeline.pipeline import Pipeline

HUB_ID = re.compile(r"(?!.*(\.\.|--))\w[\w.-]{0,95}/\w[\w.-]{0,95}")
MESSAGE = "A pipeline, saved with mmsdk"


class OnHub(ModelHubMixin, library_name="mmsdk", tags=["multimodal"]):  # type: ignore[misc, call-arg]
    """What makes a pipeline one of the hub's models. How it is written and read is `saving`'s affair alone."""

    def save_pretrained(
        self,
        save_directory: str | Path,
        *,
        license: str | None = None,
        push_to_hub: bool = False,
        repo_id: str | None = None,
        **push_to_hub_kwargs: Any,
    ) -> str | None:
        """Write the pipeline as one folder, as `save` does; with `push_to_hub` also to the hub, see there.

        license: for the model card, such as apache-2.0; by default that of the config. repo_id: by default the name of
        the folder. Returns the address of the commit where it was pushed.

        Raises:
            CheckpointError: the folder holds something else, or cannot be written. ConfigError: no such licence.
        """
        if license is not None:
            cast("Pipeline", self).config = licensed(cast("Pipeline", self).config, license)
        folder = cast("Pipeline", self).save(save_directory)
        return self.push_to_hub(repo_id or folder.name, **push_to_hub_kwargs) if push_to_hub else None

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | Path,
        *,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
    ) -> Pipeline:
        """Open a saved pipeline: in a folder, see `load`, or on the hub, by `owner/name`.

        revision: a branch, a tag or a commit of the hub; which commit it was is noted in `about`, and saved again.

        Raises:
            CheckpointError: there is no such folder, or what is there is no saved pipeline, or damaged.
            HubError: the hub does not have it, or cannot be reached. PluginError: a plugin is missing.
        """
        from mmsdk.pipeline.saving import load

        name = str(pretrained_model_name_or_path)
        folder = Path(name).expanduser()
        if folder.is_dir():
            if revision is not None:
                raise CheckpointError(f"{name}: this is a folder, which has no revisions: leave 'revision' out")
            return load(folder)
        if not HUB_ID.fullmatch(name):
            raise CheckpointError(f"{name}: there is no such folder, and a repository of the hub is called owner/name")
        found = fetched(
            name,
            revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
        )
        pipeline = load(found)
        pipeline.about = pipeline.about.model_copy(update={"source": name, "revision": found.name})
        return pipeline

    def push_to_hub(
        self,
        repo_id: str,
        *,
        license: str | None = None,
        commit_message: str = MESSAGE,
        private: bool | None = None,
        token: str | None = None,
        branch: str | None = None,
        create_pr: bool | None = None,
    ) -> str:
        """Write the pipeline to a repository of the hub, which is made where it is not there yet.

        license: see `save_pretrained`. private: of a new repository. branch: by default main. create_pr: propose it,
        instead of changing the branch. Returns the address of the commit.

        Raises:
            HubError: the hub refuses, or cannot be reached; says what to do. ConfigError: no such licence.
        """
        if license is not None:
            cast("Pipeline", self).config = licensed(cast("Pipeline", self).config, license)
        with telling(repo_id, branch):
            pushed = super().push_to_hub(
                repo_id,
                commit_message=commit_message,
                private=private,
                token=token,
                branch=branch,
                create_pr=create_pr,
            )
        return str(pushed)


def licensed(config: PipelineConfig, license: str) -> PipelineConfig:
    """The config with this licence for the model card.

    Raises:
        ConfigError: it is not the name of one.
    """
    card = config.card.model_dump() if config.card is not None else {}
    try:
        return config.model_copy(update={"card": CardConfig.model_validate(card | {"license": license})})
    except ValidationError:
        raise ConfigError(
            f"license {license!r}: expected what the hub calls it, such as apache-2.0, mit or other"
        ) from None


def fetched(repository: str, revision: str | None, **options: Any) -> Path:
    """The folder of the hub's cache with a saved pipeline, named after its commit. The files may be symbolic links.

    Raises:
        HubError: it is not there, or cannot be had.
    """
    from huggingface_hub import snapshot_download

    from mmsdk.pipeline.saving import FILES, HEADER

    with telling(repository, revision):
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=list(FILES), **options))
    if not (folder / HEADER).is_file():
        raise HubError(f"{repository}: this repository holds no pipeline that mmsdk has saved: it has no {HEADER}")
    return folder


@contextmanager
def telling(repository: str, revision: str | None) -> Iterator[None]:
    """Says what to do where the hub does not answer, or says no.

    Raises:
        HubError: instead of whatever its client or the network raises.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        LocalTokenNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        yield
        return
    except MmsdkError:
        raise
    except GatedRepoError:
        reason = f"it is gated: accept its terms at https://huggingface.co/{repository}, then: hf auth login"
    except RepositoryNotFoundError:
        reason = "there is no such repository on the hub, or it is private (hf auth login), and no such folder here"
    except RevisionNotFoundError:
        reason = f"it has no revision '{revision}'"
    except LocalEntryNotFoundError:
        reason = (
            "it is not in the local cache, the hub cannot be reached (or HF_HUB_OFFLINE is set), and there is no such "
            "folder here: connect once, or give the path of a folder"
        )
    except LocalTokenNotFoundError:
        reason = "the hub asks who you are: hf auth login, or give a token"
    except HFValidationError as error:
        reason = str(error)
    except Exception as error:  # of the HTTP library, which is no business of ours
        reason = f"the hub cannot be reached, or refuses: {told(error)}"
    raise HubError(f"{repository}: {reason}") from None
