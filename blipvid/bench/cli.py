"""The command line: what a person types, turned into calls. Heavy imports happen inside the commands."""

import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from blipvid.bench import cache_commands, catalogue, consoles, file_commands
from blipvid.bench.choices import Format, Kept, Precision, Suite
from blipvid.core.errors import BlipvidError, ConfigError
from blipvid.core.registry import Registry
from blipvid.core.threads import wait_passively

if TYPE_CHECKING:
    from blipvid.bench.runner import Job, Request, Run
    from blipvid.core.types import Runtime
    from blipvid.evaluate.share import Share

DEMO_WORDS = (
    "This is the demo world: drawn clips of coloured shapes, and small models trained on drawn pictures. "
    "Its figures show that everything works; they say nothing about real video."
)
AFTER_DEMO_WORDS = (
    "That was the demo world. BLIP on MSR-VTT: python run_bench.py msrvtt-retrieval --data-root DIR; "
    "where to get the clips: blipvid datasets show msrvtt-retrieval; all benchmarks and models: --list."
)

STOPPED = 130
"""Exit code of a program that the keyboard stopped, as shells give it."""

MOST_GIB = 2.0**20
"""More memory than any machine has; its bytes are a number that every later sum can hold."""

app = typer.Typer(
    help="How well does an image-trained BLIP do on video, with no video training?",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.add_typer(catalogue.models, name="models")
app.add_typer(catalogue.datasets, name="datasets")
app.add_typer(cache_commands.cache, name="cache")

ANNOUNCED: Registry[Any] = Registry("blipvid.commands", "command")
"""Commands of other rooms and packages: functions as typer takes them."""

_USAGE_ERROR: Any = typer.BadParameter.__base__
"""What typer raises for a wrong option or argument; its own name for it has moved between versions."""

Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; a BlipvidError becomes one red line and its exit code.

    Args:
        arguments: What follows the program's name; None takes it from the process.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    wait_passively()
    try:
        code = whole()(given, prog_name="blipvid", standalone_mode=False)
    except _USAGE_ERROR as error:  # one line like every other error, not the four that typer prints
        message = error.format_message()
        style = "" if message.startswith("Usage:") else "red"  # a bare `blipvid models` shows what there is
        consoles.err().print(
            f"error: {message}" if style else message, style=style, markup=False, highlight=False, soft_wrap=True
        )
        raise SystemExit(ConfigError.exit_code) from error
    except typer.Abort as error:
        raise SystemExit(130) from error
    except BlipvidError as error:
        if "--debug" in given:
            raise
        consoles.failure().print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(error.exit_code) from error
    raise SystemExit(code)


def whole() -> typer.Typer:
    """Returns the command line with what rooms that this one does not know announce, as training does.

    Raises:
        ConfigError: A package announces a command that cannot be imported.
    """
    have = {command.name for command in app.registered_commands}
    for name in ANNOUNCED:
        if name not in have:
            app.command(name)(ANNOUNCED.get(name))
    return app


@app.callback()
def _root(debug: Debug = False) -> None:
    # `main` looks for --debug itself, because the error leaves every context behind.
    pass


@app.command()
def bench(
    benchmarks: Annotated[
        list[str] | None,
        typer.Argument(metavar="BENCHMARK", help="Names or YAML files; none runs the demo.", show_default=False),
    ] = None,
    models: Annotated[
        list[str] | None,
        typer.Option("--model", help="Name or YAML file; may be repeated; none takes the benchmark's own."),
    ] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with annotations and media; else $BLIPVID_DATA.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; else runs/TIME-BENCHMARK.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, mps.")] = "auto",
    precision: Annotated[Precision, typer.Option(help="Arithmetic of the encoders.")] = Precision.FP32,
    batch_size: Annotated[int, typer.Option(min=1, help="Frames encoded at once.")] = 32,
    workers: Annotated[
        int | None, typer.Option(min=0, help="Decoding processes; else one a core, at most 4.", show_default=False)
    ] = None,
    memory: Annotated[
        float,
        typer.Option(min=0.0, max=MOST_GIB, metavar="GIB", help="Memory for features and scores; more goes to files."),
    ] = 4.0,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many clips.")] = None,
    form: Annotated[Format, typer.Option("--format", help="How the table is printed.")] = Format.RICH,
    save_scores: Annotated[bool, typer.Option("--save-scores", help="Write the score matrices.")] = False,
    curve: Annotated[bool, typer.Option("--curve", help="Write recall by the number of re-ranked candidates.")] = False,
    cache: Annotated[
        Kept | None,
        typer.Option(help="Keep features of clips between runs: fp32 (exact) or fp16 (rounded, half the room)."),
    ] = None,
    show_list: Annotated[bool, typer.Option("--list", help="Show benchmarks and models, and end.")] = False,
    suite: Annotated[
        Suite | None, typer.Option(help="Show the rows of BLIP's paper with their commands, and end.")
    ] = None,
    annotations: Annotated[Path | None, typer.Option(help="Annotation file in place of the benchmark's own.")] = None,
    media: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Media files, for instance 'clips/{clip}.mp4'.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change what can change a number; may be repeated."),
    ] = None,
    debug: Debug = False,
) -> None:
    """Runs benchmarks and prints the published numbers beside ours."""
    if show_list:
        catalogue.list_datasets()
        catalogue.list_models()
        return
    if suite is not None:
        from blipvid.bench.suite import show_suite

        show_suite(form, data_root, consoles.out())
        return
    done: list[Run] = []
    try:
        from blipvid.bench.environment import choose_workers
        from blipvid.bench.runner import Request, plan
        from blipvid.core.types import Runtime
        from blipvid.evaluate.share import DoneElsewhere, joined
        from blipvid.models.devices import choose_device

        request = Request(
            benchmarks=benchmarks or (),
            models=models or (),
            data_root=data_root,
            out=out,
            limit=limit,
            annotations=annotations,
            media=media,
            overrides=overrides or (),
            save_scores=save_scores,
            curve=curve,
            cache=cache.value if cache else None,
            command=_typed(),
        )
        with joined() as share:
            try:
                with share.agreed():
                    jobs = plan(request, datetime.now())
                    here, decoding = choose_device(device), choose_workers(workers)
                    room = int(memory * 2**30)
                    runtime = Runtime(here, precision.value, batch_size, decoding, room, processes=share.count)
                if not benchmarks:
                    consoles.err().print(DEMO_WORDS, style="bold", highlight=False, soft_wrap=True)
                code = _work(jobs, request, runtime, form, share, done)
            except DoneElsewhere as end:
                code = end.exit_code
        if not benchmarks:
            consoles.err().print(AFTER_DEMO_WORDS, style="bold", highlight=False, soft_wrap=True)
    except KeyboardInterrupt:
        kept = f"{len(done)} finished runs are kept" if done else "nothing was written"
        consoles.err().print(f"stopped by the keyboard; {kept}.", style="red", highlight=False)
        code = STOPPED
    if form is not Format.RICH and done:
        from blipvid.bench.layout import render

        typer.echo(render(done, form))
    raise typer.Exit(code)


def _typed() -> list[str]:
    """Returns the command line for the record."""
    program = Path(sys.argv[0]).name
    return [*(["python", "-m", "blipvid.bench"] if program == "__main__.py" else [program]), *sys.argv[1:]]


def _work(
    jobs: "Sequence[Job]", request: "Request", runtime: "Runtime", form: Format, share: "Share", done: "list[Run]"
) -> int:
    """Does all jobs; one that fails loses none of the others.

    Adds records to `done`, on the first of several processes, and returns the exit code.
    """
    from blipvid.bench import layout
    from blipvid.bench.progress import progress_on
    from blipvid.bench.runner import run
    from blipvid.evaluate.share import DoneElsewhere, LostError

    err = consoles.err()
    shown = consoles.out() if form is Format.RICH else err
    failed: list[tuple[Job, BlipvidError]] = []
    code = 0
    for number, job in enumerate(jobs, start=1):
        if len(jobs) > 1:
            err.print(f"[{number} of {len(jobs)}] {job.name}", style="bold", markup=False, highlight=False)
        try:
            with progress_on(err) as progress, share.agreed():
                record = run(job, request, runtime, progress, share)
        except DoneElsewhere as end:
            code = max(code, end.exit_code)
            continue
        except BlipvidError as error:
            if len(jobs) == 1 or isinstance(error, LostError):
                raise
            code = max(code, error.exit_code)
            failed.append((job, error))
            err.print(f"error: {job.name}: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
            continue
        done.append(record)
        if form is Format.RICH:
            layout.show(record, shown)
        else:
            layout.show_notes(record, shown)
        err.print(f"written to {job.folder}", markup=False, highlight=False, soft_wrap=True)
    if len(done) > 1 and form is Format.RICH:
        layout.show_together(done, shown)
    if failed:
        names = ", ".join(job.name for job, _ in failed)
        err.print(f"{len(failed)} of {len(jobs)} runs failed: {names}", style="red", markup=False, soft_wrap=True)
    return code


app.command()(file_commands.frames)
app.command()(file_commands.ask)
app.command()(file_commands.features)
app.command()(file_commands.caption)
app.command()(file_commands.fetch_metrics)


@app.command()
def doctor(
    benchmark: Annotated[str | None, typer.Argument(help="Name or YAML file; none checks the machine only.")] = None,
    model: Annotated[str | None, typer.Option(help="Name or YAML file; none takes the benchmark's own.")] = None,
    data_root: Annotated[
        Path | None, typer.Option(help="Folder with annotations and media; else $BLIPVID_DATA.")
    ] = None,
    annotations: Annotated[Path | None, typer.Option(help="Annotation file in place of the benchmark's own.")] = None,
    media: Annotated[
        str | None, typer.Option(metavar="PATTERN", help="Media files, for instance 'clips/{clip}.mp4'.")
    ] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As for bench; may be repeated.")
    ] = None,
) -> None:
    """Checks machine and data before a long run, and says what to mend."""
    from blipvid.bench.doctor import Question, examine, show_checks

    question = Question(benchmark, model, data_root, annotations, media, overrides or ())
    raise typer.Exit(0 if show_checks(examine(question), consoles.out()) else 1)


@app.command()
def report(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of runs, or a folder of them.")],
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("report.html"),
) -> None:
    """Writes one self-contained HTML page of runs: tables, pictures, coverage, settings, worst queries."""
    from blipvid.bench.report import write_report

    write_report(folders, out)
    consoles.err().print(f"written to {out}", markup=False, highlight=False, soft_wrap=True)


@app.command()
def compare(
    first: Annotated[Path, typer.Argument(metavar="RUN", help="Folder of one run.")],
    second: Annotated[Path, typer.Argument(metavar="OTHER", help="Folder of the other run.")],
    changes: Annotated[int, typer.Option(min=0, help="Queries to name that changed most.")] = 10,
    form: Annotated[Format, typer.Option("--format", help="How the table is printed.")] = Format.RICH,
) -> None:
    """Puts two runs side by side: settings that differ, figures, paired tests, and queries that changed."""
    from blipvid.bench.compare import compare_runs, show_comparison

    show_comparison(compare_runs(first, second), changes, form, consoles.out(), consoles.err())


if __name__ == "__main__":
    main()
