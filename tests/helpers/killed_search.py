"""A search of children in other processes: started, killed at random moments, and compared with the unbroken one.

    python tests/integration/killed_search.py --kills 20

kills it twenty times (SIGKILL), starts it again each time, and says whether every child stands in the trials file once
and whether controller and search ended bit for bit as without kills.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

WORKER = Path(__file__).with_name("search_worker.py")


def start(folder: Path, trials: int = 12, devices: int = 1, precision: str = "32-true") -> subprocess.Popen[str]:
    """The search in a new process, past its imports."""
    folder.mkdir(exist_ok=True, parents=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    for name in ("PL_GLOBAL_SEED", "LOCAL_RANK", "WORLD_SIZE", "MASTER_PORT"):
        environment.pop(name, None)
    words = [sys.executable, str(WORKER), str(folder), str(trials), str(devices), precision]
    process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n", process.communicate()[1][-3000:]
    return process


def finish(process: subprocess.Popen[str]) -> str:
    """What the process has said, once it has ended well."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err[-3000:]
    return out + err


def finished_trials(folder: Path) -> list[dict[str, Any]]:
    """The lines of the trials file but for the time that children took, in the order of their numbers."""
    found = [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]
    return sorted(({k: v for k, v in trial.items() if k != "seconds"} for trial in found), key=lambda t: t["id"])


def end(folder: Path, rank: int = 0) -> dict[str, Any]:
    """The state that a rank has ended in."""
    content: dict[str, Any] = torch.load(folder / f"rank{rank}.pt", weights_only=True)
    return content


def equal(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two searches ended in the same state, bit for bit."""
    one, other = one["state"], other["state"]
    return one.keys() == other.keys() and all(torch.equal(other[key], value) for key, value in one.items())


def run_unbroken(folder: Path, trials: int) -> float:
    """Seconds that the search takes without kills, its imports left out."""
    process = start(folder, trials)
    begin = time.perf_counter()
    finish(process)
    return time.perf_counter() - begin


def run_killed(folder: Path, trials: int, kills: int, seconds: float, seed: int = 0) -> list[int]:
    """Kill the search at random moments that together are two thirds of its time, then let it end.

    Returns:
        how many trials were finished at each kill.
    """
    draws = random.Random(seed)
    shares = [draws.random() for _ in range(kills)]
    counts = []
    for share in shares:
        process = start(folder, trials)
        time.sleep(share / sum(shares) * seconds * 2 / 3)
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "The search was faster than expected, and ended before the kill."
        file = folder / "trials.jsonl"
        counts.append(len(file.read_text().splitlines()) if file.exists() else 0)
    finish(start(folder, trials))
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        unbroken, killed = Path(folder, "unbroken"), Path(folder, "killed")
        seconds = run_unbroken(unbroken, arguments.trials)
        counts = run_killed(killed, arguments.trials, arguments.kills, seconds, arguments.seed)
        print(f"{len(counts)} kills, after {', '.join(map(str, counts))} of {arguments.trials} trials")
        once = [trial["id"] for trial in finished_trials(killed)] == list(range(arguments.trials))
        same = finished_trials(killed) == finished_trials(unbroken)
        state = equal(end(unbroken), end(killed))
    print(f"every trial once: {once}; trials equal: {same}; controller equal bit for bit: {state}")
    sys.exit(not (once and same and state))


if __name__ == "__main__":
    main()
