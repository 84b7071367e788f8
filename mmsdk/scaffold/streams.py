"""The streams of a new pipeline: which columns are read, how, and why others are not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from mmsdk.errors import ConfigError, DataError
from mmsdk.scaffold.applications import Application, Role
from mmsdk.scaffold.left_out import why_left_out
from mmsdk.scaffold.naming import PART, called, config_name
from mmsdk.scaffold.offers import Offer, encoder_for, forced, stream_offers
from mmsdk.scaffold.table import Table
from mmsdk.scaffold.target import Target

FACTS = "facts"
"""What the stream is called that several columns make together."""


class Stream(NamedTuple):
    """A stream: its columns, one unless the modality takes several, and what is written for it."""

    name: str
    columns: list[str]
    gives: str
    modality: dict[str, Any]
    encoder: dict[str, Any]
    variation: dict[str, Any]
    note: str

    def varied(self) -> Stream:
        """The same, with values that are varied at random in training."""
        note = f"{self.note}; in training varied at random" if self.variation else self.note
        return self._replace(modality=self.modality | self.variation, note=note)

    @property
    def renamed(self) -> bool:
        """Whether the config has to say which column it reads."""
        return self.gives != "table" and self.columns != [self.name]


class Choice(NamedTuple):
    """A column, and the modality that is to read it."""

    column: str
    offer: Offer


def find_streams(
    application: Application, table: Table, target: Target | None, wanted: Mapping[str, str], roles: Mapping[str, str]
) -> tuple[list[Stream], dict[str, str]]:
    """The streams, and why each other column is left out.

    wanted: modality by column, as the user says. roles: columns that are no streams, and what they are instead.

    Raises:
        DataError: what the application needs is not there.
        ConfigError: a modality that was asked for is not there.
    """
    offers: dict[str, list[Offer]] = {}
    left_out: dict[str, str] = {}
    for name, column in table.columns.items():
        if name in wanted:
            offers[name] = [forced(column, wanted[name])]
        elif name not in roles:
            found = stream_offers(column)
            reason = why_left_out(table, column, found, target)
            offers[name] = [] if reason else found
            if reason:
                left_out[name] = reason
    chosen: dict[str, Choice] = {}
    for role in application.roles:
        cast = _cast(role, {name: own for name, own in offers.items() if name not in chosen}, wanted)
        if len(cast) < role.fewest:
            raise DataError(_not_found(role, table, left_out))
        chosen |= {choice.column: choice for choice in cast}
    wants = " and ".join(role.what for role in application.roles)
    homeless = [name for name in offers if name not in {*chosen, *left_out}]
    if wanted.keys() & set(homeless):
        name = next(name for name in homeless if name in wanted)
        raise ConfigError(f"--stream {name}={wanted[name]}: there is no place for it: this application takes {wants}")
    left_out |= dict.fromkeys(homeless, f"this application takes {wants}")
    ordered = [chosen[name] for name in table.columns if name in chosen]
    if application.contrasts and len(ordered) < 2:
        alone = f"'{ordered[0].column}' alone" if ordered else "none"
        raise DataError(
            f"{table.path}: two streams or more are to find one another, and there is {alone}.{_why(left_out)}"
        )
    return list(_streams(ordered)), left_out


def _cast(role: Role, offers: Mapping[str, list[Offer]], wanted: Mapping[str, str]) -> list[Choice]:
    """The columns that play a role: those asked for, then those called like it, then those of the preferred kinds."""
    fitting = []
    for place, (name, own) in enumerate(offers.items()):
        like = called(name, role.names)
        # What a column most probably is; or, of a column that is called just like it, what it could be.
        for each in own[: len(own) if like < PART else 1]:
            rank = role.rank(each.modality.gives)
            if rank is not None or (name in wanted and role.most is None):
                fitting.append(((name not in wanted, like, rank or 0, place), Choice(name, each)))
                break
    return [choice for _, choice in sorted(fitting, key=lambda each: each[0])][: role.most]


def _not_found(role: Role, table: Table, left_out: Mapping[str, str]) -> str:
    return (
        f"{table.path}: there is no column with {role.what}.{_why(left_out)} --stream COLUMN=MODALITY says it better."
    )


def _why(left_out: Mapping[str, str]) -> str:
    return "".join(f"\n  {name}: {reason}." for name, reason in left_out.items()) + ("\n" if left_out else "")


def _streams(choices: list[Choice]) -> Iterator[Stream]:
    """One for each column; the columns of a table, which one modality reads together, are one."""
    taken: set[str] = set()
    several: dict[type, list[Choice]] = {}
    for choice in choices:
        if _of_several_columns(choice.offer):
            several.setdefault(choice.offer.modality, []).append(choice)
            continue
        name = config_name(choice.column, taken)
        taken.add(name)
        yield _stream(name, [choice.column], choice.offer, choice.offer.proposal.settings)
    for together in several.values():
        settings: dict[str, Any] = {}
        for choice in together:
            for key, value in choice.offer.proposal.settings.items():
                settings[key] = [*settings.get(key, []), *value] if isinstance(value, list) else value
        name = config_name(FACTS, taken)
        taken.add(name)
        yield _stream(name, [choice.column for choice in together], together[0].offer, settings)


def _of_several_columns(offer: Offer) -> bool:
    return offer.modality(**offer.proposal.settings).columns() is not None


def _stream(name: str, columns: list[str], offer: Offer, settings: Mapping[str, Any]) -> Stream:
    reader = encoder_for(offer.modality)
    assert reader is not None
    modality = {"type": offer.modality.type_name(), **settings}
    encoder = dict(offer.proposal.encoder or {"type": reader.type_name()})
    variation = dict(offer.proposal.variation)
    return Stream(name, columns, offer.modality.gives, modality, encoder, variation, offer.proposal.note)
