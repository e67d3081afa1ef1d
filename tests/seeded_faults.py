"""Shows that the tests catch faults: makes one at a time in a copy of the package and runs the tests that should fail.

    python tests/seeded_faults.py [--root CHECKOUT] [--faults NAME ...] [--output FILE.json] [--baseline] [--find]

It is no test itself: it runs for many minutes. The faults stand in `seeded_faults_table.py`.
"""

from __future__ import annotations

import argparse
import fnmatch
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from seeded_faults_table import FAULTS, PACKAGE, Fault

SECONDS = 600
"""After so long a run of tests counts as an error."""
LEFT_OUT = {".git", ".venv", "runs", "data", "build", "dist"}
"""Folders of a checkout that are not copied, beside caches."""
_FAILED = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - (.*))?$", re.MULTILINE)


@dataclass(frozen=True)
class Result:
    """What became of one fault.

    Args:
        fault: its name, or `baseline`.
        verdict: "caught", "MISSED", "error" if the tests could not say, "passed" of a baseline.
        by: the test that failed, or what went wrong.
        seconds: of the run.
        reason: why the test failed.
    """

    fault: str
    verdict: str
    by: str
    seconds: float
    reason: str = ""


def package_files(root: Path) -> list[Path]:
    """The package's sources, wherever its folders have put them."""
    return sorted((root / PACKAGE).rglob("*.py"))


def place_of(fault: Fault, root: Path) -> tuple[Path, str, str]:
    """The file that a fault is made in, what is replaced there, and by what.

    Raises:
        LookupError: its texts occur in the package more or less often than once.
    """
    found = [
        (path, right, wrong)
        for path in package_files(root)
        for right, wrong in fault.changes
        for _ in range(path.read_text(encoding="utf-8").count(right))
    ]
    if len(found) != 1:
        places = ", ".join(str(path.relative_to(root)) for path, *_ in found) or "nowhere"
        raise LookupError(f"{fault.name}: the text to replace must occur once in {PACKAGE}, but is in {places}.")
    return found[0]


def files_of(fault: Fault, root: Path) -> list[Path]:
    """The files below `tests` that should catch a fault.

    Raises:
        LookupError: a pattern names none.
    """
    files = sorted((root / "tests").rglob("test_*.py"))
    found: list[Path] = []
    for pattern in fault.tests:
        names = [f"*/{name}" for name in pattern.split("|")]
        named = [path for path in files if any(fnmatch.fnmatch(path.as_posix(), name) for name in names)]
        if not named:
            raise LookupError(f"{fault.name}: no file below tests is named {pattern}.")
        found += [path for path in named if path not in found]
    return found


@contextmanager
def made(fault: Fault, root: Path) -> Iterator[None]:
    """Within it the fault is in the files below `root`.

    Raises:
        LookupError: as in `place_of`.
    """
    path, right, wrong = place_of(fault, root)
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(right, wrong), encoding="utf-8")
    try:
        yield
    finally:
        path.write_text(text, encoding="utf-8")


def run_tests(fault: Fault, root: Path) -> tuple[int, str]:
    """The exit status and the output of the tests that should catch a fault, run from `root` on the package there."""
    words = ["-x", "-q", "-p", "no:cacheprovider", *map(str, files_of(fault, root))]
    words += ["-k", fault.selected] if fault.selected else []
    words += ["-n", "0"] if importlib.util.find_spec("xdist") else []
    # No bytecode: a file that is changed twice in one second, with its size kept, would be taken for the one before.
    own = {"PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "300"}
    command = [sys.executable, "-m", "pytest", *words]
    try:
        done = subprocess.run(
            command, cwd=root, env={**os.environ, **own}, capture_output=True, text=True, timeout=SECONDS
        )
    except subprocess.TimeoutExpired:
        return -1, f"no end within {SECONDS} seconds"
    return done.returncode, done.stdout + done.stderr


def last_line(output: str) -> str:
    """What pytest says in the end."""
    return (output.strip().splitlines() or ["no output"])[-1]


def tried(fault: Fault, root: Path) -> Result:
    """Whether the tests catch a fault in the copy at `root`."""
    begin = time.perf_counter()
    try:
        with made(fault, root):
            status, output = run_tests(fault, root)
    except LookupError as error:
        return Result(fault.name, "error", str(error), 0.0)
    failed = _FAILED.search(output)
    # Only a test that fails is a catch: a file that cannot be imported any more would catch everything.
    verdict = "caught" if status == 1 and failed else "MISSED" if status == 0 else "error"
    by = failed[1].removeprefix("tests/") if failed else last_line(output)
    return Result(fault.name, verdict, by, time.perf_counter() - begin, (failed and failed[2]) or "")


def baselines(faults: Sequence[Fault], root: Path) -> Iterator[Result]:
    """Whether the tests of each fault pass without it; each selection of tests once."""
    for fault in {(fault.tests, fault.selected): fault for fault in faults}.values():
        begin = time.perf_counter()
        try:
            status, output = run_tests(fault, root)
        except LookupError as error:
            status, output = -1, str(error)
        verdict = "passed" if status == 0 else "error"
        yield Result(f"without {fault.name}", verdict, last_line(output), time.perf_counter() - begin)


def copied(root: Path, folder: Path) -> Path:
    """A copy of a checkout without what tests do not need."""
    caches = shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info")

    def ignored(place: str, names: list[str]) -> set[str]:
        return caches(place, names) | (LEFT_OUT & set(names) if Path(place) == root else set())

    return Path(shutil.copytree(root, folder / "checkout", symlinks=True, ignore=ignored))


def arguments() -> argparse.Namespace:
    """The command line's."""
    parser = argparse.ArgumentParser(description="Seeds faults in a copy of the package: do the tests catch them?")
    parser.add_argument("--root", type=Path, default=Path(__file__).parents[1], help="the checkout; it is not changed")
    parser.add_argument("--faults", nargs="+", metavar="NAME", choices=sorted(FAULTS), help="these alone; else all")
    parser.add_argument("--output", type=Path, help="write the results as JSON")
    parser.add_argument("--baseline", action="store_true", help="run the same tests without any fault instead")
    parser.add_argument("--find", action="store_true", help="look for texts and tests alone, and run nothing")
    return parser.parse_args()


def found(faults: Sequence[Fault], root: Path) -> Iterator[Result]:
    """Where each fault would be made."""
    for fault in faults:
        try:
            files = ", ".join(path.name for path in files_of(fault, root))
            yield Result(fault.name, "found", f"{place_of(fault, root)[0].relative_to(root)}, {files}", 0.0)
        except LookupError as error:
            yield Result(fault.name, "error", str(error), 0.0)


def results_of(options: argparse.Namespace, faults: Sequence[Fault]) -> Iterator[Result]:
    """One after the other, as they are found."""
    if options.find:
        yield from found(faults, options.root)
        return
    with tempfile.TemporaryDirectory(prefix="seeded_faults_") as folder:
        root = copied(options.root, Path(folder).resolve())
        yield from baselines(faults, root) if options.baseline else (tried(fault, root) for fault in faults)


def main() -> int:
    """Print a row for each fault, and write the results; 1 if a fault is missed or could not be tried."""
    options = arguments()
    faults = [FAULTS[name] for name in options.faults or FAULTS]
    results: list[Result] = []
    for result in results_of(options, faults):
        results.append(result)
        print(f"{result.verdict:7} {result.fault:36} {result.seconds:6.1f} s  {result.by}", flush=True)
        if options.output:
            content = [{**asdict(r), "wrong": FAULTS[r.fault].wrong if r.fault in FAULTS else ""} for r in results]
            options.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    counts = Counter(result.verdict for result in results)
    print(", ".join(f"{count} {verdict}" for verdict, count in counts.items()), "of", len(results))
    bad = [result.fault for result in results if result.verdict in ("MISSED", "error")]
    if bad:
        print("Look at", ", ".join(bad))
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
