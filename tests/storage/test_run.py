"""A run that is ended at any moment resumes from its last save to bitwise the files of an undisturbed run."""

import json
import os
import re
import shlex
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from running import (
    PACKAGES,
    TINY,
    NumpyLearner,
    is_one_sentence,
    numbers,
    run,
    same_files,
    small_world,
    start,
    write_rows,
)
from safetensors.numpy import load_file

from numpy_ref import files
from numpy_ref.data import world
from numpy_ref.storage import run as runs
from numpy_ref.storage.checkpoint import load_model
from numpy_ref.storage.checksums import seal
from numpy_ref.tree import flatten
from torch_impl.engine.learner import Engine

BOTH = pytest.mark.parametrize("package", PACKAGES)
LEARNER = {"numpy_ref": NumpyLearner, "torch_impl": Engine}  # the learner of each package's command `train`


@pytest.fixture
def options(tmp_path, monkeypatch):
    """30 pairs in batches of 8; log and saves fall on different steps; the working directory is empty"""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        os, "fsync", lambda _: None
    )  # it guards against a power cut, which no test can make, so save the time
    data = write_rows(tmp_path / "rows.jsonl", numbers(30))
    held = write_rows(tmp_path / "held.jsonl", numbers(7, seed=1))
    files = ["--data", data, "--eval-data", held]
    return [*TINY, *files, "--max-length", "32", "--max-steps", "11", "--save-steps", "3", "--logging-steps", "2"]


class Killed(BaseException):
    """Ends a run on the spot, like SIGKILL: nothing catches it"""


def contents(directory):
    """{path: bytes} of everything in a run's directory"""
    directory = Path(directory)
    return {str(p.relative_to(directory)): p.read_bytes() for p in sorted(directory.rglob("*")) if p.is_file()}


def assert_same_run(left, right, old_saves=False):
    """Every file is equal, byte for byte; with old_saves the second may have further saves, to which nothing points"""
    left, right = contents(left), contents(right)
    if old_saves:
        right = {name: content for name, content in right.items() if name in left or "checkpoint-" not in name}
    assert left.keys() == right.keys()
    for name, content in left.items():
        assert right[name] == content, name


def at_call(n, function, action):
    """The function, which runs the action before its n-th call (from 1)"""
    calls = []

    def counted(*arguments, **options):
        calls.append(1)
        if len(calls) == n:
            action()
        return function(*arguments, **options)

    return counted


def kill():
    raise Killed


def train_until_killed(patches, package, step, *arguments):
    """Runs `train` and kills it at the start of this step"""
    with patches.context() as patch:
        patch.setattr(LEARNER[package], "step", at_call(step, LEARNER[package].step, kill))
        with pytest.raises(Killed):
            run(package, "train", *arguments)


@BOTH
def test_a_killed_run_goes_on_to_the_same_bits(package, options, monkeypatch, capsys):
    """Killed in step 8, saved after step 6: weights, both moments, every line of the log"""
    assert run(package, "train", *options, "--eval-steps", "4", "--output-dir", "whole") == 0
    train_until_killed(monkeypatch, package, 8, *options, "--eval-steps", "4", "--output-dir", "killed")
    assert not same_files("whole", "killed", ["metrics.jsonl"])
    capsys.readouterr()
    assert run(package, "train", "--resume", "killed") == 0
    screen = capsys.readouterr().out
    assert "resumed   killed after step 6 of 11\n" in screen
    assert "warning" not in screen
    assert_same_run("whole", "killed")
    lines = [json.loads(line) for line in Path("whole", "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 4, 6, 8, 8, 10, 11, 11]
    names = ["README.md", "config.json", "latest", "metrics.jsonl", "model.safetensors"]
    names += ["tokenizer.json", "tokenizer_config.json", "SHA256SUMS"]
    inside = {"config.json", "model.safetensors", "state.json", "state.safetensors", *names[-3:]}
    assert contents("whole").keys() == {".lock", *names, *(f"checkpoint-11/{name}" for name in inside)}


@BOTH
def test_a_run_ended_again_and_again(package, options, monkeypatch):
    """Every process makes four steps and is killed in the fifth, so each gets one save further"""
    assert run(package, "train", *options, "--output-dir", "whole") == 0
    arguments = [*options, "--output-dir", "killed"]
    for save in (3, 6, 9):
        train_until_killed(monkeypatch, package, 5, *arguments)
        assert Path("killed", "latest").read_text() == f"checkpoint-{save}"
        arguments = ["--resume", "killed"]
    assert run(package, "train", *arguments) == 0
    assert_same_run("whole", "killed")


WRITING = ["save_model", "write_arrays", "write_json", "seal", "write_text", "log", "cut_back"]


def counting(patch, n=None):
    """Counts every operation of run.py on the disk, and kills the run instead of the n-th (from 1)"""
    calls = []

    def before(function):
        def counted(*arguments, **options):
            calls.append(function.__name__)
            if len(calls) == n:
                raise Killed
            return function(*arguments, **options)

        return counted

    for name in WRITING:
        patch.setattr(runs, name, before(getattr(runs, name)))
    names = [(os, "rename"), (os, "replace"), (os, "fsync"), (runs.shutil, "rmtree"), (Path, "mkdir"), (Path, "unlink")]
    for module, name in names:
        patch.setattr(module, name, before(getattr(module, name)))
    return calls


@pytest.mark.parametrize(
    ("package", "every"),
    [
        ("numpy_ref", 13),  # every 13th operation; all of them in the slow tier
        ("torch_impl", 29),
        pytest.param("numpy_ref", 1, marks=pytest.mark.slow),
        pytest.param("torch_impl", 1, marks=pytest.mark.slow),
    ],
)
def test_a_kill_between_any_two_operations_on_the_disk(package, every, options, monkeypatch):
    """From the first save to the last line of the log, whatever is half written, the run resumes to the same files"""
    options[options.index("--max-steps") + 1] = "5"
    options[options.index("--save-steps") + 1] = "2"
    with monkeypatch.context() as patch:
        calls = counting(patch)
        assert run(package, "train", *options, "--output-dir", "whole") == 0
    first = calls.index("write_text") + 4
    assert len(calls) > first + 40
    for n in range(first, len(calls) + 1, every):
        name = f"killed-{n}"
        with monkeypatch.context() as patch:
            counting(patch, n)
            with pytest.raises(Killed):
                run(package, "train", *options, "--output-dir", name)
        files.UNFINISHED.clear()  # a killed process loses this list
        assert run(package, "train", "--resume", name) == 0, calls[n - 1]
        assert_same_run("whole", name, old_saves=True)


@BOTH
def test_ctrl_c_saves_and_the_printed_line_goes_on(package, options, monkeypatch, capsys):
    """Ctrl-C in step 5, between saves: the step is finished first"""
    before = signal.getsignal(signal.SIGINT)
    assert run(package, "train", *options, "--output-dir", "whole") == 0
    capsys.readouterr()
    with monkeypatch.context() as patch:
        interrupt = at_call(5, LEARNER[package].step, lambda: signal.raise_signal(signal.SIGINT))
        patch.setattr(LEARNER[package], "step", interrupt)
        assert run(package, "train", *options, "--output-dir", "stopped") == 130
    printed = capsys.readouterr().out
    assert Path("stopped", "latest").read_text() == "checkpoint-5"
    command = shlex.split(re.search(r"go on with:  python -m (.*)", printed)[1])
    assert command[0] == package
    assert run(*command) == 0
    assert_same_run("whole", "stopped")
    assert signal.getsignal(signal.SIGINT) is before, "the handler is put back"


def test_a_second_ctrl_c_ends_the_run_at_once(options, monkeypatch, capsys):
    def twice():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(LEARNER["numpy_ref"], "step", at_call(5, LEARNER["numpy_ref"].step, twice))
    assert run("numpy_ref", "train", *options, "--output-dir", "stopped") == 130
    assert capsys.readouterr().err.endswith("python -m numpy_ref train: interrupted\n")
    assert Path("stopped", "latest").read_text() == "checkpoint-3"


def test_ctrl_c_in_the_last_step_is_the_end_of_the_run(options, monkeypatch):
    interrupt = at_call(11, LEARNER["numpy_ref"].step, lambda: signal.raise_signal(signal.SIGINT))
    monkeypatch.setattr(LEARNER["numpy_ref"], "step", interrupt)
    assert run("numpy_ref", "train", *options, "--output-dir", "done") == 0
    assert Path("done", "model.safetensors").is_file()


@BOTH
def test_the_worlds_run_resumes_too(package, options, monkeypatch):
    monkeypatch.setattr(world, "make_world", small_world)
    arguments = [*TINY, "--max-steps", "6", "--save-steps", "4", "--center-rewards-coefficient", "0.01", "--seed", "3"]
    assert run(package, "train", *arguments, "--output-dir", "whole") == 0
    train_until_killed(monkeypatch, package, 6, *arguments, "--output-dir", "killed")
    assert run(package, "train", "--resume", "killed") == 0
    assert_same_run("whole", "killed")
    assert options


@pytest.fixture
def killed(options, monkeypatch):
    """A run of numpy_ref that was saved after step 6 and killed in step 8"""
    train_until_killed(monkeypatch, "numpy_ref", 8, *options, "--output-dir", "killed")
    return Path("killed")


def refused(capsys, *arguments, package="numpy_ref"):
    """What `train` says in one line before it does anything; its status is 2"""
    capsys.readouterr()
    before = {name: content for name, content in contents(".").items() if not name.startswith("state")}
    assert run(package, "train", *arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert is_one_sentence(err)
    assert contents(".") == before, "nothing is written"
    return err.removeprefix(f"python -m {package} train: error: ").removesuffix("\n")


@pytest.mark.parametrize(
    ("option", "value", "had"),
    [
        ("--seed", "7", "0"),
        ("--learning-rate", "0.1", "0.005"),
        ("--n-embd", "32", "8"),  # giving the default is a contradiction too
        ("--max-steps", "12", "11"),
        ("--dtype", "float64", "float32"),
        ("--label-smoothing", "0.1", "0.0"),
        ("--max-length", "1024", "32"),
        ("--per-device-train-batch-size", "64", "8"),
        ("--data", "held.jsonl", "/rows.jsonl"),
    ],
)
def test_an_option_that_contradicts_the_run_is_refused(option, value, had, killed, capsys):
    for arguments in ([option, value], [f"{option}={value}"]):
        sentence = refused(capsys, "--resume", str(killed), *arguments)
        assert sentence.startswith(option + " ")
        assert f"{value}: the run that is resumed was started with " in sentence
        assert had in sentence


def test_a_resumed_run_stays_where_it_is(killed, capsys):
    sentence = refused(capsys, "--resume", str(killed), "--output-dir", "elsewhere")
    assert sentence == "--output-dir elsewhere: the run goes on in killed: leave it out"
    assert run("numpy_ref", "train", "--resume", str(killed), "--output-dir", f"./{killed}") == 0


def test_options_given_again_and_those_that_change_no_model_are_taken(killed, options, capsys):
    capsys.readouterr()
    again = [*TINY, "--data", "rows.jsonl", "--max-steps", "11", "--save-steps", "1", "--logging-steps", "1"]
    assert run("numpy_ref", "train", "--resume", str(killed), *again) == 0
    steps = [json.loads(line)["step"] for line in (killed / "metrics.jsonl").read_text().splitlines()]
    assert steps == [2, 4, 6, 7, 8, 9, 10, 11, 11]
    assert run("numpy_ref", "train", *options, "--output-dir", "whole") == 0
    assert same_files("whole", killed, ["model.safetensors", "checkpoint-11/state.safetensors"])


NEW_IN_0_2 = ["weight_decay", "lr_scheduler_type", "load_best_model_at_end", "metric_for_best_model"]
NEW_IN_0_2 += ["early_stopping_patience"]


def test_a_save_of_version_0_1_0_goes_on(killed, options):
    """Options that are new since then get the value that was built in"""
    path = killed / "checkpoint-6" / "state.json"
    state = json.loads(path.read_text())
    state.pop("best", None)
    for name in NEW_IN_0_2:
        del state["options"][name]
    path.write_text(json.dumps(state))
    seal(path.parent)
    assert run("numpy_ref", "train", "--resume", str(killed)) == 0
    assert run("numpy_ref", "train", *options, "--output-dir", "whole") == 0
    assert_same_run("whole", killed)


@pytest.mark.parametrize("name", ["rows.jsonl", "held.jsonl"])
def test_a_data_file_that_has_changed_or_is_gone_is_refused(name, killed, capsys):
    with open(name, "a", encoding="utf-8") as file:
        file.write("\n")
    assert f"{name}: has changed since the run began" in refused(capsys, "--resume", str(killed))
    os.remove(name)
    assert f"{name}: the file that the run was trained on is gone" in refused(capsys, "--resume", str(killed))


def test_the_other_packages_run_is_refused(killed, capsys):
    sentence = refused(capsys, "--resume", str(killed), package="torch_impl")
    assert sentence == "--resume killed: was trained by numpy_ref: resume it with that package"


def test_a_run_without_a_save_is_refused(options, monkeypatch, capsys):
    train_until_killed(monkeypatch, "numpy_ref", 2, *options, "--output-dir", "early")
    for place in ("early", "nowhere", "."):
        assert "holds no save to go on from" in refused(capsys, "--resume", place)


STATE = "checkpoint-6/state.json"


def replace(path, content):
    """Writes a file of a save with its checksum, as only a deliberate change would"""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    seal(path.parent)


@pytest.mark.parametrize("missing", ["step", "options", "machine", "unlogged"])
def test_a_state_that_lacks_something_is_refused(missing, killed, capsys):
    state = json.loads((killed / STATE).read_text())
    replace(killed / STATE, json.dumps({name: value for name, value in state.items() if name != missing}))
    assert "state.json: does not hold" in refused(capsys, "--resume", str(killed))
    replace(killed / STATE, "[1]")
    assert "state.json: does not hold" in refused(capsys, "--resume", str(killed))
    replace(killed / STATE, "{")
    assert "state.json: not readable JSON" in refused(capsys, "--resume", str(killed))


def test_a_state_that_does_not_fit_the_weights_is_refused(killed, capsys):
    path = killed / "checkpoint-6" / "state.safetensors"
    replace(path, path.read_bytes()[:-8])
    assert "state.safetensors: not a readable safetensors file" in refused(capsys, "--resume", str(killed))
    replace(path, (killed / "checkpoint-6" / "model.safetensors").read_bytes())
    assert "does not fit model.safetensors" in refused(capsys, "--resume", str(killed))
    path.unlink()
    assert "the checkpoint is not whole" in refused(capsys, "--resume", str(killed))


DAMAGED_LOGS = {
    "cut": lambda content: content[:100],
    "without its first line": lambda content: content.split(b"\n", 1)[1],
    "with a flipped bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
    "empty": lambda _: b"",
}


@pytest.mark.parametrize("damage", [*DAMAGED_LOGS, "gone"])
def test_a_log_that_is_not_what_the_save_saw_is_refused(damage, killed, capsys):
    path = killed / "metrics.jsonl"
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(DAMAGED_LOGS[damage](path.read_bytes()))
    sentence = refused(capsys, "--resume", str(killed))
    assert sentence.startswith("killed/metrics.jsonl: " + ("is gone" if damage == "gone" else "begins otherwise"))
    assert sentence.endswith("put the old file back, or train anew")


@pytest.mark.parametrize("logged", [7, {}, {"bytes": "7", "sha256": ""}, {"bytes": 7}])
def test_a_state_that_does_not_say_what_was_logged_is_refused(logged, killed, capsys):
    state = json.loads((killed / STATE).read_text())
    replace(killed / STATE, json.dumps(state | {"logged": logged}))
    assert "does not say what was logged" in refused(capsys, "--resume", str(killed))


def test_what_a_kill_left_behind_is_harmless(killed, options):
    """A torn last line of the log, half-written folders, and a half-written new pointer"""
    with open(killed / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 7, "loss": 0.6\xc3')
    for name in (".checkpoint-9.new", ".checkpoint-11.new", ".model.new"):
        (killed / name).mkdir()
        (killed / name / "model.safetensors").write_bytes(b"half")
    (killed / "checkpoint-9").mkdir()
    (killed / ".latest.new").write_text("chec")
    assert run("numpy_ref", "train", "--resume", str(killed)) == 0
    assert run("numpy_ref", "train", *options, "--output-dir", "whole") == 0
    assert_same_run("whole", killed)


def test_a_finished_run_resumed_ends_as_it_was(killed, capsys):
    assert run("numpy_ref", "train", "--resume", str(killed)) == 0
    before = contents(killed)
    assert run("numpy_ref", "train", "--resume", str(killed)) == 0
    assert contents(killed) == before
    assert "after step 11 of 11" in capsys.readouterr().out


def test_another_machine_is_warned_about(killed, capsys):
    state = json.loads((killed / STATE).read_text())
    state["machine"] |= {"numpy": "1.0", "threads": "64"}
    replace(killed / STATE, json.dumps(state))
    capsys.readouterr()
    assert run("numpy_ref", "train", "--resume", str(killed)) == 0
    warning = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("warning"))
    assert "numpy 1.0 -> " + np.__version__ in warning
    assert "threads 64 -> " in warning


def test_the_moments_of_both_packages_have_the_same_names(options):
    for package in PACKAGES:
        assert run(package, "train", *options, "--output-dir", package) == 0
    here, there = (load_file(f"{package}/checkpoint-11/state.safetensors") for package in PACKAGES)
    assert {k: (v.shape, v.dtype) for k, v in here.items()} == {k: (v.shape, v.dtype) for k, v in there.items()}
    assert [name for name, array in here.items() if (array == 0).all()] == [  # the slopes of a pair cancel there
        "first.body.ln.bias",
        "second.body.ln.bias",
    ]


def test_run_directories_count_up(options):
    for name in ("train", "train-2", "train-3"):
        assert run("numpy_ref", "train", *options) == 0
        assert Path("runs", name, "model.safetensors").is_file()
    first = flatten(load_model("runs/train")[0])
    for name, array in flatten(load_model("runs/train-3")[0]).items():
        np.testing.assert_array_equal(first[name], array)


def test_an_output_directory_that_holds_something_is_refused(options, capsys):
    Path("full").mkdir()
    Path("full", "thesis.txt").write_text("do not touch")
    Path("file").write_text("x")
    Path("empty").mkdir()
    for place in ("full", "file", "file/below"):
        assert run("numpy_ref", "train", *options, "--output-dir", place) == 2
        err = capsys.readouterr().err
        assert err.startswith(f"python -m numpy_ref train: error: --output-dir {place}: ")
        assert is_one_sentence(err)
    assert contents("full") == {"thesis.txt": b"do not touch"}
    assert run("numpy_ref", "train", *options, "--output-dir", "empty") == 0


def wait_for_lines(process, path, n):
    """Waits until the run has logged n lines"""
    for _ in range(3000):
        if path.is_file() and path.read_bytes().count(b"\n") >= n:
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("the run logs nothing")


def finish(process):
    """Waits until the run has ended, which must be with status 0"""
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, (out, err)


def long(options, steps, save_steps):
    places = {"--max-steps": str(steps), "--save-steps": str(save_steps), "--logging-steps": "3"}
    for option, value in places.items():
        options[options.index(option) + 1] = value
    return options


@pytest.mark.parametrize("package", ["numpy_ref", pytest.param("torch_impl", marks=pytest.mark.slow)])
def test_ctrl_c_in_a_process_of_its_own(package, options, tmp_path):
    """The status is 130, the run is saved, and the printed command resumes to bitwise the same files"""
    options = long(options, 120, 40)
    process = start(package, "train", *options, "--output-dir", "stopped")
    wait_for_lines(process, tmp_path / "stopped" / "metrics.jsonl", 2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    command = shlex.split(re.search(r"go on with:  python -m (.*)", out)[1])
    finish(start(*command))
    finish(start(package, "train", *options, "--output-dir", "whole"))
    assert_same_run("whole", "stopped")


@pytest.mark.slow
@BOTH
def test_killed_at_random_moments(package, options, tmp_path):
    """SIGKILL again and again, at random moments; then the run goes on to its end"""
    options = long(options, 400, 7)
    finish(start(package, "train", *options, "--output-dir", "whole"))
    rng, arguments, reached = np.random.default_rng(), [*options, "--output-dir", "killed"], []
    for _ in range(5):
        process = start(package, "train", *arguments)
        seen = tmp_path / "killed" / "metrics.jsonl"
        wait_for_lines(process, seen, 1 + (seen.read_bytes().count(b"\n") if seen.is_file() else 6))
        time.sleep(rng.uniform(0, 0.15))
        process.kill()
        process.communicate()
        pointer = tmp_path / "killed" / "latest"
        reached.append(int(pointer.read_text().removeprefix("checkpoint-")))
        arguments = ["--resume", "killed"]
    assert reached == sorted(reached)
    assert len(set(reached)) > 2, f"the kills came too early or too late to say anything: {reached}"
    finish(start(package, "train", *arguments))
    assert_same_run("whole", "killed")
