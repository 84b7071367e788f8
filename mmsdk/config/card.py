"""What a model card says that nobody but its author can know. No torch here."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from mmsdk.fields import Strict

Identifier = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9.+-]*$", max_length=60)]


class CardConfig(Strict):
    """For the model card of the trained pipeline; nothing of it changes what is trained."""

    name: str | None = Field(None, description="of the model, for people")
    description: str | None = Field(None, description="what it is for, and what it is not for; Markdown")
    license: Identifier | None = Field(None, description="as the Hugging Face hub calls it, such as apache-2.0 or mit")
    dataset: str | None = Field(None, description="what the data is called, such as owner/name on the hub")
    language: list[Identifier] = Field([], description="languages of its texts, such as en")
