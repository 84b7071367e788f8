"""mmsdk classify RUN"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from mmsdk_retrieval.commands import Json, OnError, RunFolder, answer, application, left_out


def command(
    run: RunFolder,
    value: Annotated[
        str | None, typer.Argument(metavar="[STREAM=VALUE]", help="One sample.", show_default=False)
    ] = None,
    label: Annotated[list[str], typer.Option(help="A label; give several.", show_default=False)] = [],  # noqa: B006
    template: Annotated[
        list[str], typer.Option(metavar="TEXT", help="With {} where the label goes; several are averaged.")
    ] = ["a picture of a {}"],  # noqa: B006
    input: Annotated[Path | None, typer.Option(help="Samples: a file, or a pattern of shards.")] = None,
    of: Annotated[str | None, typer.Option(metavar="STREAM", help="What is classified.")] = None,
    by: Annotated[str | None, typer.Option(metavar="STREAM", help="The stream of texts.")] = None,
    head: Annotated[str | None, typer.Option(help="The head that compares; by default the only one.")] = None,
    on_error: OnError = "raise",
    json: Json = False,
) -> None:
    """Tell which of some labels, which need not be those of the training, describes a sample best."""
    from json import dumps

    from mmsdk import ConfigError, DecodeError, Pipeline, Skipped, read_rows
    from mmsdk_retrieval.classification import zero_shot
    from mmsdk_retrieval.queries import read_query, sample_of

    if (value is None) == (input is None):
        raise ConfigError("Give one sample as STREAM=VALUE, or a file of samples with --input FILE.jsonl")
    pipeline = Pipeline.load(run)
    classifier = zero_shot(pipeline, label, template, of=of, by=by, head=head)
    samples: Iterable[Any]
    if value is not None:
        ((stream, raw),) = read_query(pipeline.config, value).items()
        if stream != classifier.stream:
            raise ConfigError(f"'{stream}' is not what is classified: that is '{classifier.stream}', see --of")
        samples = [sample_of(pipeline.config, stream, raw, classifier.head)]
    else:
        assert input is not None
        samples = read_rows(input)
    skipped: list[DecodeError] | None = None
    if on_error == "skip":
        skipped = Skipped(sum(1 for _ in read_rows(input)) if input is not None else 1)
    results = []
    for each in classifier(samples, skipped=skipped):
        if json:
            results.append(each._asdict())
        else:
            print(dumps(each._asdict(), ensure_ascii=False))
    told = left_out(skipped or ())
    if json:
        answer({"results": results, "skipped": told}, json, "")


app = application(command)
