"""The benchmark of pydl: `python -m bench --help`; bench/README.md says how to read it."""
