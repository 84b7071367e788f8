"""mmsdk predict RUN"""

from __future__ import annotations

from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsdk.cli.options import AnyEngine, Device, Json, Precision, RunFolder, answer


def command(
    run: RunFolder,
    values: Annotated[
        list[str], typer.Argument(metavar="[COLUMN=VALUE]...", help="One sample.", show_default=False)
    ] = [],  # noqa: B006
    input: Annotated[Path | None, typer.Option(help="Samples: a file, or a pattern of shards.")] = None,
    output: Annotated[Path | None, typer.Option(help="Results, a .jsonl file; by default on stdout.")] = None,
    pictures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The folder for predictions that are pictures.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an --output that an earlier call did not finish.")
    ] = False,
    engine: AnyEngine = None,
    precision: Precision = "float32",
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Predict samples with any subset of the streams; the results keep the samples' ids."""
    from json import dumps

    from mmsdk.cli.results import ResultFile, begin_anew, counted, in_parts, is_whole
    from mmsdk.data.samples import read_rows
    from mmsdk.errors import ConfigError, DataError
    from mmsdk.export.run_export import open_with
    from mmsdk.parallel.prediction import predict_in_parts, told
    from mmsdk.parallel.team import team
    from mmsdk.pipeline.prediction import predict
    from mmsdk.pipeline.row_prediction import predict_rows

    if bool(values) == (input is not None):
        raise ConfigError("Give one sample as COLUMN=VALUE ..., or a file of samples with --input FILE.jsonl")
    if resume and (output is None or input is None):
        raise ConfigError("--resume goes on with a file of results: give its --output, and the same --input")
    if resume and output is not None and is_whole(output):
        answer(counted(output), json, f"{output} is whole: there is nothing left to do")
        return
    errors = count = 0
    results = []

    with team() as ours:
        several = ours.processes > 1 or engine == "ray"
        if several and (input is None or output is None):
            raise ConfigError("Several processes share a file, and write one: give --input and --output")
        pipeline = open_with(run, engine if engine != "ray" else None, precision, device)
        if resume and pipeline.config.group_by is not None:
            raise ConfigError("--resume: this pipeline judges rows in groups, which may lie anywhere: begin anew")
        _require_folder(pipeline, pictures)
        if output is not None and not resume and ours.first("to begin"):
            begin_anew(output)
        if input is not None and output is not None and (several or in_parts(output)):
            on_ray = run.absolute() if engine == "ray" else None
            count, errors = predict_in_parts(
                pipeline, input, output, ours, pictures=pictures, resume=resume, on_ray=on_ray
            )
        else:
            with nullcontext() if output is None else ResultFile(output, pipeline, resume) as file:
                if input is None:
                    found = predict(pipeline, [_sample(pipeline, values)])
                else:
                    rows = read_rows(input) if file is None else file.left(read_rows(input), input)
                    count = 0 if file is None else len(file.done)
                    found = predict_rows(pipeline, rows)
                for result in found:
                    count, errors = count + 1, errors + (result.error is not None)
                    plain = told(result, count, pictures)
                    if file is not None:
                        file.write(dumps(plain, ensure_ascii=False))
                    elif json:
                        results.append(plain)
                    else:
                        print(dumps(plain, ensure_ascii=False))
        if not count:
            raise DataError(f"{input}: there are no samples in this file")
    if output is not None or json:
        where = {"output": str(output)} if output is not None else {"results": results}
        summary = {"samples": count, "errors": errors, **where}
        answer(summary, json, f"{count} results in {output}, {errors} errors")
    if errors:
        raise typer.Exit(1)


def _require_folder(pipeline: Any, folder: Path | None) -> None:
    """Pictures cannot stand in a line of JSON: those who predict them say where to put them."""
    from mmsdk.errors import ConfigError

    for name, head in pipeline.config.heads.items():
        modality = head.target_config() if head.predicts else None
        if folder is None and modality is not None and modality.gives == "pixels":
            raise ConfigError(f"Head '{name}' predicts pictures: say where to put them, with --pictures FOLDER")


def _sample(pipeline: Any, values: list[str]) -> dict[str, Any]:
    """COLUMN=VALUE texts as a sample; what is no text or path is read as JSON where it is JSON."""
    from json import loads

    from mmsdk.errors import ConfigError, did_you_mean, listed

    known: dict[str, Any] = {}
    for port in pipeline.modalities.stream_ports:
        known |= dict.fromkeys(port.columns, port.modality)
    sample: dict[str, Any] = {}
    for text in values:
        column, equals, value = text.partition("=")
        if not equals and column in known:
            raise ConfigError(f"'{text}': say which value: {column}=VALUE")
        if column not in known or not equals:
            hint = did_you_mean(column, list(known)) or f" Columns: {listed(known)}."
            raise ConfigError(f"'{text}': expected COLUMN=VALUE with a column that the pipeline reads.{hint}")
        sample[column] = value
        if (not known[column].reads_files and known[column].format.kind != "tokens") or value[:1] in ("[", "{"):
            with suppress(ValueError):
                sample[column] = loads(value)
    return sample
