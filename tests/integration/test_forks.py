"""A forked process is what a new interpreter is; the processes that tests start rely on it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from helpers.forks import Forks, environment, interpreter, run_ranks
from lightning_nas.__main__ import USAGE

SHOW = """
import atexit, os, sys, threading
atexit.register(print, "at exit")
threading.Timer(0.2, print, ["in a thread"]).start()
import beside
print(sys.argv, sys.path[:3], os.getcwd(), os.environ["GIVEN"], __name__, beside.__file__, sys.stdin.read())
print("said", file=sys.stderr)
"""
ENDS = {
    "well": "",
    "a status": "raise SystemExit(3)",
    "a text": "raise SystemExit('ends here')",
    "an error": "1 / 0",
    "a signal": "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
    "at once": "import os; os._exit(7)",
}


@pytest.mark.slow
@pytest.mark.parametrize("words", [["shown.py", "a", "b c"], ["-m", "shown", "a"]], ids=["script", "module"])
@pytest.mark.parametrize("end", ENDS)
def test_a_fork_is_as_a_new_interpreter(words: list[str], end: str, forks: Forks, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "beside.py").write_text("")
    (tmp_path / "shown.py").write_text(SHOW + ENDS[end])
    variables = environment(tmp_path / "other", GIVEN="value")
    found = forks.run(words, tmp_path, variables)
    expected = subprocess.run(
        [sys.executable, *words], cwd=tmp_path, env=variables, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert found.returncode == expected.returncode
    assert found.stdout == expected.stdout
    # Without the frames of runpy.
    assert found.stderr.splitlines()[:1] == expected.stderr.splitlines()[:1]
    assert found.stderr.splitlines()[-1:] == expected.stderr.splitlines()[-1:]


@pytest.mark.slow
def test_backward_passes_work_in_a_fork(forks: Forks, tmp_path: Path) -> None:
    text = "import torch\nx = torch.ones(3, requires_grad=True)\n(x * x).sum().backward()\nprint(x.grad.tolist())"
    (tmp_path / "backward.py").write_text(text)
    assert forks.run(["backward.py"], tmp_path, environment()).stdout == "[2.0, 2.0, 2.0]\n"


@pytest.mark.slow
def test_a_process_that_hangs_is_killed(forks: Forks, tmp_path: Path) -> None:
    (tmp_path / "hangs.py").write_text("import time\nprint('begun', flush=True)\ntime.sleep(60)")
    with pytest.raises(subprocess.TimeoutExpired) as caught:
        forks.run(["hangs.py"], tmp_path, environment(), timeout=1)
    assert caught.value.output == "begun\n"


@pytest.mark.slow
@pytest.mark.ddp
def test_a_rank_that_fails_is_named_and_the_other_ends(forks: Forks, tmp_path: Path) -> None:
    text = "import os, time\nassert os.environ['LOCAL_RANK'] == '0', 'broken on purpose'\ntime.sleep(60)"
    (tmp_path / "one.py").write_text(text)
    with pytest.raises(AssertionError, match=r"(?s)rank 0: None.*rank 1: 1.*broken on purpose"):
        run_ranks(forks, ["one.py"], tmp_path, environment())


@pytest.mark.slow
@pytest.mark.long
def test_after_its_end_the_server_is_started_anew(tmp_path: Path) -> None:
    (tmp_path / "well.py").write_text("print('well')")
    forks = Forks(tmp_path)
    forks.run(["well.py"], tmp_path, environment())
    forks.close()
    assert forks.run(["well.py"], tmp_path, environment()).stdout == "well\n"
    forks.close()


@pytest.mark.slow
def test_the_installed_command_starts(tmp_path: Path) -> None:
    """The console script, in a new interpreter."""
    script = Path(sys.executable).with_name("lightning-nas")
    done = interpreter([script, "--help"], tmp_path, environment())
    assert (done.returncode, done.stdout) == (0, USAGE), done.stderr
