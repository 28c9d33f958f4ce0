"""The command line: pydl run NAME|ID [--key value], pydl list, pydl info."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from pydl.errors import PydlError

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns the exit status."""
    parser = argparse.ArgumentParser(prog="pydl", description="Deep learning with hand-written kernels.")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a recipe, by its name or by the id of a row that it covers")
    run.add_argument("name")
    run.add_argument("--out", type=Path, help="folder for pictures and checkpoints")
    run.add_argument("--threads", type=int, help="threads to use")
    listing = commands.add_parser("list", help="show the recipes, and the rows of the course that they cover")
    listing.add_argument("--all", action="store_true", help="also the rows not covered yet, one a line")
    commands.add_parser("info", help="version, instruction set, threads, CUDA or why not")
    args, rest = parser.parse_known_args(argv)
    if rest and args.command != "run":
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        if args.command == "run":
            return _run(args, rest)
        if args.command == "list":
            return _list(args.all)
        return _info()
    except PydlError as error:
        print(f"pydl: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 1


def _pairs(rest: list[str]) -> dict[str, str]:
    """--key value and --key=value as a dictionary."""
    from pydl.errors import ArgumentError

    given, i = {}, 0
    while i < len(rest):
        key, equals, value = rest[i].partition("=")
        if not key.startswith("--") or (not equals and i + 1 == len(rest)):
            raise ArgumentError(f"expected --key value, got {rest[i]!r}")
        given[key[2:]] = value if equals else rest[i + 1]
        i += 1 if equals else 2
    return given


def _run(args: argparse.Namespace, rest: list[str]) -> int:
    from pydl import manual_seed, set_num_threads
    from pydl.recipes.recipe import Report, parse_settings
    from pydl.recipes.registry import find

    if args.threads is not None:
        set_num_threads(args.threads)
    given, passed = _pairs(rest), True
    for module in find(args.name):
        recipe, settings = module.RECIPE, parse_settings(module.Settings, given)
        print(f"{recipe.name} ({', '.join(recipe.ids)}): {recipe.title}\nsource: {recipe.source}")
        for f in fields(settings):
            print(f"  --{f.name} {getattr(settings, f.name)}   {f.metadata.get('doc', '')}")
        report = Report(args.out)
        manual_seed(getattr(settings, "seed", 0))
        module.run(settings, report)
        import time

        print(f"{'passed' if report.passed else 'FAILED'} in {time.perf_counter() - report.started:.1f} s")
        passed &= report.passed
    return 0 if passed else 1


def _list(everything: bool) -> int:
    from pydl.recipes.registry import recipes, rows

    covered = set()
    print(f"{'recipe':28} {'time':4} {'rows':20} {'code'}")
    for name, module in recipes().items():
        recipe = module.RECIPE
        covered |= set(recipe.ids)
        print(
            f"{name:28} {recipe.time:4} {' '.join(recipe.ids):20} {module.__name__.replace('.', '/')}.py   {recipe.title}"
        )
    missing = [key for key in rows() if key not in covered]
    print(f"\n{len(rows()) - len(missing)} of {len(rows())} rows of the course are covered, {len(missing)} not yet")
    if everything:
        for key, title in rows().items():
            print(f"{key} {'covered ' if key in covered else 'not yet '} {title}")
    return 0


def _info() -> int:
    import platform

    import numpy

    import pydl
    from pydl import runtime

    print(f"pydl {pydl.__version__}, Python {platform.python_version()}, numpy {numpy.__version__}")
    print(f"instruction set: {runtime.isa()} (PYDL_ISA caps it)")
    print(f"threads: {runtime.get_num_threads()} (PYDL_NUM_THREADS sets it)")
    print("cuda: available" if pydl.cuda.is_available() else f"cuda: not available: {pydl.cuda.reason()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
