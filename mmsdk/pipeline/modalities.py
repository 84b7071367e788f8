"""All modalities of a pipeline: one per stream (or shared), one per head with a target."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, NamedTuple

import numpy as np
import torch

from mmsdk.config.pipeline import PipelineConfig
from mmsdk.data.samples import Row
from mmsdk.data.tables import Cells
from mmsdk.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    DecodeError,
    MmsdkError,
    PluginError,
    did_you_mean,
    listed,
    told,
)
from mmsdk.interfaces import Modality
from mmsdk.pipeline.building import built


class Port(NamedTuple):
    """Where a stream or a target stands in a sample, and the modality that reads it.

    decoded: the items of some values, from a cache; None for others.
    """

    name: str
    column: str | Sequence[str]
    modality: Modality
    decoded: Callable[[Any], Any] | None = None

    @property
    def columns(self) -> Sequence[str]:
        return [self.column] if isinstance(self.column, str) else self.column

    def raw(self, row: Row, column: str | None = None) -> Any:
        """The raw value in a row (or of one of its columns), with a path resolved; None where it is missing."""
        value = row.value(column or self.column)
        if value is None and self.modality.takes_empty and row.values.get(str(self.column)) == []:
            return []
        if self.modality.reads_files:
            if isinstance(value, str):
                return _path(value, row)
            if isinstance(value, list | tuple) and isinstance(_first(value), str):  # only looked at, if it is numbers
                return [_path(each, row) if isinstance(each, str) else each for each in value]
        return value

    def present(self, row: Row) -> bool:
        """Whether there is a raw value. The content of a file is not read from a table for it."""
        cells = row.values
        return (isinstance(cells, Cells) and any(map(cells.holds_bytes, self.columns))) or self.raw(row) is not None

    def prepare(self, row: Row, value: Any) -> Any:
        """The item of a raw value; an error names the sample and the column."""
        try:
            known = self.decoded(value) if self.decoded is not None else None
            return known if known is not None else self.modality.prepare(value)
        except DecodeError as error:
            raise error.at(row.id, self.name) from None
        except MmsdkError:
            raise
        except Exception as error:  # a mistake of the modality's, which must not cost the other samples
            reason = f"{type(self.modality).__name__} failed with {told(error)}"
            raise DecodeError(reason, sample=row.id, stream=self.name) from error


def _path(value: str, row: Row) -> Path:
    return row.folder / value if row.folder is not None else Path(value)


def _first(values: Sequence[Any]) -> Any:
    """The first value that is there."""
    return next((value for value in values if value is not None), None)


class Modalities:
    """The modalities of streams and of heads' targets, by name."""

    def __init__(self, config: PipelineConfig) -> None:
        own = {name: built(stream.modality) for name, stream in config.streams.items() if stream.modality}
        self.streams: dict[str, Modality] = {name: own[config.owner_of(name)] for name in config.streams}
        targets = {name: head.target_config() for name, head in config.heads.items()}
        self.targets: dict[str, Modality] = {name: built(found) for name, found in targets.items() if found}
        self.stream_ports = [Port(name, config.column_of(name), each) for name, each in self.streams.items()]
        columns = {name: config.heads[name].target_column() for name in self.targets}
        self.target_ports = [Port(name, columns[name] or name, each) for name, each in self.targets.items()]

    def fit(self, rows: Callable[[], Iterable[Row]], known: Collection[str] = ()) -> Modalities:
        """Fit each modality once, over the training values of every stream that uses it.

        known: streams whose modality has been restored already.

        Raises:
            DataError: a stream or a target has no value in any training row.
        """
        for modality in _distinct([*self.streams.values(), *self.targets.values()]):
            ports = [port for port in [*self.stream_ports, *self.target_ports] if port.modality is modality]
            values = _Values(rows(), ports)
            if modality.fits and not any(port.name in known for port in ports if port in self.stream_ports):
                _fit(modality, values)
            values.require_all()
        return self

    def require_fitted(self) -> Modalities:
        """Itself, where nothing has to be fitted.

        Raises:
            ConfigError: names the modality that has to be.
        """
        for name, modality in [*self.streams.items(), *self.targets.items()]:
            if modality.fits:
                raise ConfigError(f"'{name}' has to see training data before it can be used: train the pipeline first")
        return self

    def state(self) -> dict[str, Any]:
        """What was fitted: JSON values and tensors."""
        return {
            "streams": {name: _state(modality) for name, modality in self._owners().items()},
            "targets": {name: _state(modality) for name, modality in self.targets.items()},
        }

    def restore(self, state: Any) -> Modalities:
        """Take over what `state` gave.

        Raises:
            CheckpointError: it is damaged, or of another pipeline; names the stream or the target.
        """
        for kind, own in (("streams", self._owners()), ("targets", self.targets)):
            given = state.get(kind) if isinstance(state, Mapping) else None
            if not isinstance(given, Mapping) or given.keys() != own.keys():
                found = listed(given) if isinstance(given, Mapping) else type(given).__name__
                raise CheckpointError(f"modalities: expected the {kind} {listed(own)}, found {found}")
            for name, modality in own.items():
                try:
                    modality.restore(given[name])
                except MmsdkError:
                    raise
                except Exception as error:
                    raise CheckpointError(f"modalities: '{name}' cannot be restored: {told(error)}") from None
        return self

    def _owners(self) -> dict[str, Modality]:
        """Each modality of a stream once, under the name of the first stream that has it."""
        names = {id(modality): name for name, modality in reversed(self.streams.items())}
        return {names[id(modality)]: modality for modality in _distinct(self.streams.values())}


def _state(modality: Modality) -> Any:
    """What a modality has learned, known to be JSON values and tensors."""
    state = modality.state()
    try:
        json.dumps(
            state, default=lambda value: None if isinstance(value, torch.Tensor | np.ndarray) else _refuse(value)
        )
    except TypeError as error:
        name = type(modality).__name__
        raise PluginError(f"{name}.state() has to consist of JSON values and tensors, and {error}") from None
    return state


def _refuse(value: Any) -> Any:
    raise TypeError(f"holds a {type(value).__name__}: {shortened(value)}")


def _fit(modality: Modality, values: _Values) -> None:
    """Fit, and say where the values stood if that fails."""
    columns, reader = " and ".join(f"'{port.column}'" for port in values.ports), values.ports[0].name
    try:
        modality.fit(values)
    except DecodeError as error:
        raise error.at(values.row, reader) from None
    except MmsdkError as error:
        if values.seen:
            raise type(error)(f"column {columns}: {error}") from None
    except Exception as error:
        name = type(modality).__name__
        raise PluginError(f"sample '{values.row}': '{reader}': {name} cannot be fitted: {told(error)}") from error


class _Values:
    """The raw values of some ports, one after the other; remembers which columns had any, and where it stands."""

    def __init__(self, rows: Iterable[Row], ports: Sequence[Port]) -> None:
        self.rows, self.ports = iter(rows), ports
        self.seen: set[str] = set()
        self.columns: dict[str, None] = {}
        self.row = ""

    def __iter__(self) -> Iterator[Any]:
        for row in self.rows:
            self.row = row.id
            self.columns |= dict.fromkeys(row.values)
            for port in self.ports:
                value = port.raw(row)
                if value is not None:
                    self.seen |= {name for name in port.columns if port.raw(row, name) is not None}
                    yield value

    def require_all(self) -> None:
        """Look on until each column had a value.

        Raises:
            DataError: a column never has one, as when its name is misspelt.
        """
        wanted = {name: port.name for port in self.ports for name in port.columns}
        for _ in self:
            if wanted.keys() <= self.seen:
                return
        for column, reader in wanted.items():
            if column not in self.seen:
                others = [name for name in self.columns if name != column]
                raise DataError(
                    f"No training row has a value in column '{column}', which '{reader}' reads: check the column's "
                    f"name, and the split that is trained on.{did_you_mean(column, others)} Columns: {listed(others)}."
                )


def _distinct(modalities: Iterable[Modality]) -> list[Modality]:
    return list({id(modality): modality for modality in modalities}.values())
