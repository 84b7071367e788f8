"""What can be begun with `mmsdk new`: which columns each application wants, and how its heads are called."""

from __future__ import annotations

from typing import NamedTuple

from mmsdk.errors import ConfigError, did_you_mean, listed

LABELS = ("label", "target", "class", "category", "answer", "y")
PICTURES = ("image", "picture", "photo", "img", "file", "path")
CAPTIONS = ("caption", "text", "description", "title", "name", "sentence")


class Role(NamedTuple):
    """Streams that an application wants.

    what: in words. kinds: of tensors, the preferred ones first; "" is any other one. names: what such a column is often
    called. most: how many of them; None is all. Where `fewest` are not found, the application is not possible.
    """

    what: str
    kinds: tuple[str, ...]
    names: tuple[str, ...] = ()
    most: int | None = 1
    fewest: int = 1

    def rank(self, kind: str) -> int | None:
        """The place of a kind of tensors among those that are preferred; None where it does not fit."""
        known = kind if kind in (*self.kinds, "tokens", "table") else ""
        return self.kinds.index(known) if known in self.kinds else None


class Application(NamedTuple):
    """An application of the command.

    heads: by type; the one whose target suits a column best is taken, the first of equals.
    names: what the column of the target is often called. fusion: of several streams; None where the heads join them.
    contrasts: the heads read the streams themselves, and need no target. varies: the target stays right where values
    are varied a little. patience: how many times the usual number of steps it takes.
    """

    summary: str
    heads: tuple[str, ...]
    roles: tuple[Role, ...]
    names: tuple[str, ...] = LABELS
    fusion: str | None = "concat"
    contrasts: bool = False
    varies: bool = True
    patience: int = 1


MEDIA = ("pixels", "frames", "waveform", "")
EVERYTHING = Role("something to learn from", ("", "tokens", "table"), most=None)
PAIRS = (
    Role("a picture, a sound or the like", MEDIA, PICTURES, most=None, fewest=0),
    Role("a text", ("tokens",), CAPTIONS, fewest=0),
)

APPLICATIONS = {
    "classification": Application(
        "one label, or several, of each row, from all that it has", ("classification", "multilabel"), (EVERYTHING,)
    ),
    "regression": Application(
        "a number for each row, from all that it has",
        ("regression",),
        (EVERYTHING,),
        ("target", "value", "score", "rating", "price", "y", "label"),
    ),
    "sentiment": Application(
        "the sentiment or the emotion in texts, voices and faces",
        ("classification", "regression"),
        (Role("a text, a sound, a video or features of them", ("tokens", ""), most=None),),
        ("sentiment", "emotion", "valence", "polarity", "mood", "stars", "rating", "score", *LABELS),
        "gated",
    ),
    "retrieval": Application(
        "texts and pictures (or sounds, ...) that find one another", ("contrastive",), PAIRS, (), None, contrasts=True
    ),
    "pretraining": Application(
        "what belongs together, to begin other trainings with: contrastive and matching",
        ("contrastive", "matching"),
        PAIRS,
        (),
        "transformer",
        contrasts=True,
    ),
    "vqa": Application(
        "answers to questions about pictures, out of those in the table",
        ("classification",),
        (
            Role("a picture, or another thing that is asked about", MEDIA, PICTURES),
            Role("a question", ("tokens",), ("question", "query", "prompt", "text")),
        ),
        ("answer", *LABELS),
        "film",
        varies=False,  # a question may be about the very place or size
    ),
    "captioning": Application(
        "a text for each picture, sound or video",
        ("captioning",),
        (Role("a picture, a sound or a video", (*MEDIA, "tokens"), PICTURES),),
        CAPTIONS,
        None,
    ),
    "generation": Application(
        "a picture for each text",
        ("diffusion.image",),
        (Role("a text", ("tokens", "", "table"), ("prompt", *CAPTIONS)),),
        PICTURES,
        None,
        patience=3,
    ),
}


def application(name: str) -> Application:
    """The application of that name.

    Raises:
        ConfigError: there is none.
    """
    if name not in APPLICATIONS:
        hint = did_you_mean(name.lower(), list(APPLICATIONS)) or f" Known: {listed(APPLICATIONS)}."
        raise ConfigError(f"There is no application '{name}'.{hint}")
    return APPLICATIONS[name]
