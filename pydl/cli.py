"""The command line: pydl run NAME|ID [--key value], pydl list, pydl info."""

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from types import ModuleType
from typing import Any

import pydl
from pydl import runtime
from pydl.errors import ArgumentError, PydlError
from pydl.recipes.recipe import Report, parse_settings
from pydl.recipes.registry import find, recipes, rows

__all__ = ["main"]

PASSED, FAILED, USAGE = 0, 1, 2


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Returns: 0; 1 when a check of a recipe failed; 2 for a wrong name or value, or data that cannot be had.
    """
    args, rest = _parser().parse_known_args(argv)
    try:
        if args.command == "run":
            return _run(args, rest)
        if rest:
            raise ArgumentError(f"unrecognized arguments: {' '.join(rest)}")
        return _list(args.all) if args.command == "list" else _info()
    except BrokenPipeError:  # the reader, such as head, has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (PydlError, OSError) as error:
        return _complain(error)
    except KeyboardInterrupt:
        return _complain("interrupted", 130)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="pydl", description="Deep learning with hand-written kernels.")
    parser.add_argument("--version", action="version", version=f"pydl {pydl.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser(
        "run",
        help="run a recipe, by its name or by the id of a row that it covers",
        epilog="Every setting of the recipe, printed when it starts, can be given as --key value.",
        allow_abbrev=False,
    )
    run.add_argument("name", help="as in pydl list: mlp-digits, C05")
    run.add_argument("--out", type=Path, help="folder for pictures and checkpoints")
    run.add_argument("--threads", type=int, help="threads to use")
    listing = commands.add_parser("list", help="show the recipes, and the rows of the course that they cover")
    listing.add_argument("--all", action="store_true", help="also every row, covered or not yet")
    commands.add_parser("info", help="version, instruction set, threads, CUDA or why not")
    return parser


def _complain(error: object, status: int = USAGE, prefix: str = "") -> int:
    text = str(error).split("\n")[0].rstrip(":")  # the lines after it hold a traceback's worth of detail
    advice = ": set PYDL_DATA to a folder that has it" if isinstance(error, ConnectionError) else ""
    print(f"pydl: {prefix}{text}{advice}", file=sys.stderr)
    return status


def _pairs(rest: list[str]) -> dict[str, str]:
    """--key value and --key=value as a dictionary."""
    given, i = {}, 0
    while i < len(rest):
        key, equals, value = rest[i].partition("=")
        if not key.startswith("--") or (not equals and i + 1 == len(rest)):
            raise ArgumentError(f"expected --key value, got {rest[i]!r}")
        given[key[2:]] = value if equals else rest[i + 1]
        i += 1 if equals else 2
    return given


def _run(args: argparse.Namespace, rest: list[str]) -> int:
    """Runs what was asked for; of several recipes all, even where the data of one cannot be had."""
    if args.threads is not None:
        if args.threads < 1:
            raise ArgumentError(f"--threads: expected a number >= 1, got {args.threads}")
        runtime.set_num_threads(args.threads)
    given = _pairs(rest)
    found = [(module, parse_settings(module.Settings, given)) for module in find(args.name)]
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
    status = PASSED
    for module, settings in found:
        try:
            status = max(status, _run_one(module, settings, args.out if len(found) == 1 else _part(args.out, module)))
        except (PydlError, OSError) as error:
            status = _complain(error, prefix=f"{module.RECIPE.name}: ")
    return status


def _part(out: Path | None, module: ModuleType) -> Path | None:
    return None if out is None else out / module.RECIPE.name


def _run_one(module: ModuleType, settings: Any, out: Path | None) -> int:
    recipe = module.RECIPE
    print(f"{recipe.name} ({', '.join(recipe.ids)}): {recipe.title}\nsource: {recipe.source}")
    for f in fields(settings):
        value = getattr(settings, f.name)
        text = ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
        print(f"  {f'--{f.name} {text}':22} {f.metadata['doc']}")
    pydl.manual_seed(getattr(settings, "seed", 0))
    report = Report(out)
    module.run(settings, report)
    print(f"{'passed' if report.passed else 'FAILED'} in {time.perf_counter() - report.started:.1f} s", flush=True)
    return PASSED if report.passed else FAILED


def _list(everything: bool) -> int:
    """A line per recipe: name, time class, rows, module and title; then what is covered."""
    covered: set[str] = set()
    for name, module in recipes().items():
        recipe = module.RECIPE
        covered.update(recipe.ids)
        print(f"{name:20} {recipe.time}  {' '.join(recipe.ids):8} {module.__name__:44} {recipe.title}")
    print(f"\n{len(covered)} of {len(rows())} rows of the course are covered, {len(rows()) - len(covered)} not yet")
    if everything:
        for key, title in rows().items():
            print(f"{key}  {'covered' if key in covered else 'not yet'}  {title}")
    return PASSED


def _info() -> int:
    import platform

    import numpy

    print(f"pydl {pydl.__version__}, Python {platform.python_version()}, numpy {numpy.__version__}")
    print(f"instruction set: {runtime.isa()} (PYDL_ISA caps it)")
    print(f"threads: {runtime.get_num_threads()} (PYDL_NUM_THREADS sets it)")
    print("cuda: available" if pydl.cuda.is_available() else f"cuda: not available: {pydl.cuda.reason()}")
    return PASSED


if __name__ == "__main__":
    sys.exit(main())
