"""Files are whole or absent, whatever ends their writer; input that would fill memory or never end is refused."""

import errno
import gzip
import io
import json
import os
import signal
import stat
import subprocess
import sys
import threading
import time
import tracemalloc
from pathlib import Path

import pytest
from running import ROOT, is_one_sentence

from numpy_ref import files
from numpy_ref.errors import InputError


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def there():
    return sorted(path.name for path in Path().iterdir())


def refusal(function, *arguments, **options):
    """What InputError says"""
    with pytest.raises(InputError) as raised:
        function(*arguments, **options)
    assert is_one_sentence(str(raised.value))
    return str(raised.value)


def write(path, content, mode="w"):
    with files.written_whole(path, mode) as file:
        file.write(content)


def fail_after(writing, raised):
    writing()
    raise raised


# Whole or not at all


@pytest.mark.parametrize("mode", ["w", "x", "wb", "xb"])
def test_a_file_has_its_name_when_it_is_whole(mode):
    if "w" in mode:
        Path("out").write_text("old")
    with files.written_whole("out", mode) as file:
        file.write("σ\n".encode() if "b" in mode else "σ\n")
        file.flush()
        assert not Path("out").exists() if "x" in mode else Path("out").read_text() == "old"
    assert Path("out").read_bytes() == b"\xcf\x83\n"
    assert there() == ["out"]


@pytest.mark.parametrize("raised", [ValueError(), KeyboardInterrupt(), OSError(errno.ENOSPC, "full")], ids=repr)
@pytest.mark.parametrize("name", ["out", "out.gz"])
def test_an_exception_leaves_the_old_file_and_nothing_beside_it(name, raised):
    write(name, "old")
    before = Path(name).read_bytes()
    for writing, half in [
        (files.written_whole(name), lambda file: file.write("half")),
        (files.written_directory("folder"), lambda building: (building / "half").write_text("half")),
    ]:
        with pytest.raises(type(raised)), writing as made:
            fail_after(lambda half=half, made=made: half(made), raised)
    assert there() == [name]
    assert Path(name).read_bytes() == before


WRITER = """
import sys, time
from pathlib import Path
from numpy_ref import files
with files.claimed("out"), getattr(files, sys.argv[1])("out") as made:
    if sys.argv[1] == "written_directory":
        (made / "inside").write_text("half")
    else:
        made.write("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("what", ["written_whole", "written_directory"])
def test_a_signal_leaves_nothing_and_what_sigkill_leaves_goes_with_the_next_writer(what, number):
    command, environment = [sys.executable, "-c", WRITER, what], os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment) as process:
        assert process.stdout.readline() == b"ready\n"
        assert len(there()) == 2  # a temporary name, and the lock
        assert "another process is writing it" in refusal(files.claimed("out").__enter__)
        process.send_signal(number)
        assert process.wait() == -number
    assert len(there()) == (2 if number == signal.SIGKILL else 0)
    with files.claimed("out"):
        assert there() == [".out.lock"]
    assert there() == []


def test_a_handler_of_somebody_else_stays_and_ours_goes():
    def theirs(*_):
        raise TimeoutError

    before = signal.signal(signal.SIGTERM, theirs)
    try:
        with pytest.raises(TimeoutError), files.written_whole("out"):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) is theirs
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        with files.written_whole("out"), files.written_whole("other"):
            assert signal.getsignal(signal.SIGTERM) is files._terminated
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
    assert there() == ["other", "out"]


@pytest.fixture
def default_sigterm():
    """Sets the default handler of SIGTERM, whichever another test has left"""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


@pytest.mark.usefixtures("default_sigterm")
def test_sigterm_removes_what_this_process_began_and_then_ends_it(monkeypatch):
    ended = []
    monkeypatch.setattr(signal, "raise_signal", lambda number: ended.append((number, signal.getsignal(number))))
    Path("theirs").write_text("of a process that has forked us")
    monkeypatch.setitem(files.UNFINISHED, Path("theirs"), os.getppid())
    with files._unfinished(Path("ours")):
        Path("ours").write_text("half")
        os.kill(os.getpid(), signal.SIGTERM)
        assert there() == ["theirs"]
        assert ended == [(signal.SIGTERM, signal.SIG_DFL)]


@pytest.mark.usefixtures("default_sigterm")
def test_a_fork_does_not_remove_what_its_parent_writes():
    with files.written_whole("out") as file:
        file.write("whole")
        if (child := os.fork()) == 0:
            signal.raise_signal(signal.SIGTERM)
            os._exit(99)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
    assert Path("out").read_text() == "whole"


def test_threads_write_too():
    thread = threading.Thread(target=write, args=("out", "whole"))
    thread.start()
    thread.join()
    assert Path("out").read_text() == "whole"


def test_an_error_of_the_disk_names_the_file_that_was_meant(monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    for writing in (files.written_whole("out"), files.written_directory("out")):
        with pytest.raises(OSError, match="No space left on device: 'out'"), writing:
            pass
    assert there() == []


@pytest.fixture
def on_the_disk(monkeypatch):
    """Operations on the disk in the order of the calls: "flush", or the new name of a file"""
    calls, flush, replace, rename = [], os.fsync, os.replace, os.rename
    monkeypatch.setattr(os, "fsync", lambda descriptor: calls.append("flush") or flush(descriptor))
    for name, original in (("replace", replace), ("rename", rename)):
        record = lambda old, new, original=original: calls.append(Path(new).name) or original(old, new)  # noqa: E731
        monkeypatch.setattr(os, name, record)
    return calls


def test_the_content_is_on_the_disk_before_it_has_its_name(on_the_disk):
    files.write_text("out", "whole")
    assert on_the_disk == ["flush", "out", "flush"]  # the content, the name, the directory
    on_the_disk.clear()
    with files.written_directory("folder") as building:
        (building / "inside").write_text("whole")
    assert on_the_disk == ["flush", "flush", "folder", "flush"]


def test_a_directory_gets_files_in_the_order_that_readers_need(on_the_disk):
    """The files that `last` names come at the end; older files stay or are replaced"""
    Path("there/deep").mkdir(parents=True)
    Path("there/deep/other").write_text("old")
    for text in ("one", "two"):
        on_the_disk.clear()
        with files.written_into("there/deep", last=("b", "a")) as building:
            for name in ("a", "b", "c", "d"):
                (building / name).write_text(text)
        names = [call for call in on_the_disk if call != "flush"]
        assert sorted(names[:2]) == ["c", "d"]
        assert names[2:] == ["b", "a"]
        assert on_the_disk[:5] == ["flush"] * 5, "four files and their directory, before the first has its name"
        assert on_the_disk[-1] == "flush", "the names too"
    found = {path.name: path.read_text() for path in Path("there/deep").iterdir()}
    assert found == {"other": "old", "a": "two", "b": "two", "c": "two", "d": "two"}
    with files.written_into("new/deeper"):
        pass
    assert list(Path("new/deeper").iterdir()) == []


def test_a_directory_gets_no_file_where_one_could_not_be_written():
    Path("there").mkdir()
    with pytest.raises(OSError, match="full"), files.written_into("there") as building:
        fail_after(lambda: (building / "a").write_text("half"), OSError(errno.ENOSPC, "full"))
    assert list(Path("there").iterdir()) == []


def test_no_descriptor_stays_open():
    files.write_text("out", "whole")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        files.write_text("out", "whole")
    assert len(os.listdir("/proc/self/fd")) == before


# Names, links, permissions


def test_the_temporary_name_cannot_be_guessed_and_fits_whatever_the_name():
    names = {files._beside(Path("out")).name for _ in range(100)}
    assert len(names) == 100
    for name in ("x" * 255, "é" * 127, "😀" * 63, os.fsdecode(b"\xe9" * 255)):
        write(name, "whole")
        with files.claimed(name):
            assert Path(name).read_text() == "whole"
        assert there() == [name]
        Path(name).unlink()


def test_a_link_planted_under_the_temporary_name_is_not_followed(monkeypatch):
    """Even if somebody could guess the name"""
    monkeypatch.setattr(files.secrets, "token_hex", lambda _: "0" * 16)
    Path("victim").write_text("precious")
    planted = files._beside(Path("out"))
    planted.symlink_to("victim")
    with pytest.raises(FileExistsError):
        write("out", "new")
    assert Path("victim").read_text() == "precious"


def test_a_link_stays_and_its_target_is_replaced():
    Path("folder").mkdir()
    Path("folder/target").write_text("old")
    Path("out").symlink_to("folder/target")
    with files.written_whole("out") as file:
        assert there() == ["folder", "out"]
        file.write("new")
    assert Path("out").is_symlink()
    assert Path("folder/target").read_text() == "new"
    assert [path.name for path in Path("folder").iterdir()] == ["target"]
    Path("out").unlink()
    Path("out").symlink_to("nowhere/target")
    assert refusal(write, "out", "new") == f"out: there is no directory {Path('nowhere').resolve()}: make it first"


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
def test_permissions_are_the_masks_and_an_existing_files_own(mask):
    before = os.umask(mask)
    try:
        write("new", "")
        write("old", "")
        Path("old").chmod(0o640)
        write("old", "")
        with files.written_directory("folder"):
            pass
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(Path(name).stat().st_mode) for name in ("new", "old", "folder")]
    assert modes == [0o666 & ~mask, 0o640, 0o777 & ~mask]


def test_a_device_and_a_pipe_are_written_to_directly():
    ours, theirs = os.openpty()  # not /dev/null, which a mutant of files.py could replace
    write(os.ttyname(theirs), "whole")
    assert os.read(ours, 100) == b"whole"
    assert stat.S_ISCHR(os.stat(os.ttyname(theirs)).st_mode)
    os.close(ours)
    os.close(theirs)
    os.mkfifo("pipe")
    found = []
    reader = threading.Thread(target=lambda: found.append(Path("pipe").read_text()))
    reader.start()
    write("pipe", "whole")
    reader.join()
    assert found == ["whole"]
    assert stat.S_ISFIFO(os.stat("pipe").st_mode)


def test_a_pipe_behind_a_link_without_a_target_is_written_to():
    """/dev/stdout and /dev/fd/N are links to pipe:[N], which is nowhere"""
    read, write_end = os.pipe()
    path = f"/dev/fd/{write_end}"
    files.check_output(path, new=True)  # nothing is lost, so it may exist
    write(path, "whole")
    os.close(write_end)
    assert os.read(read, 100) == b"whole"
    os.close(read)


def test_a_dash_is_the_standard_output(capsys):
    write("-", "text\n")
    files.write_json("-", {"σ": 1})
    with files.claimed("-"):
        assert there() == []
    assert capsys.readouterr().out == 'text\n{\n  "σ": 1\n}\n'


def test_a_packed_file_is_the_same_bytes_each_time():
    write("a.gz", "σ\n" * 100)
    write("b.gz", "σ\n" * 100)
    assert gzip.decompress(Path("a.gz").read_bytes()).decode() == "σ\n" * 100
    assert Path("a.gz").read_bytes() == Path("b.gz").read_bytes()
    assert Path("a.gz").read_bytes()[4:8] == bytes(4), "no time of writing"


def test_what_utf_8_cannot_hold_is_a_json_escape():
    files.write_json("out", {"name": os.fsdecode(b"caf\xe9")})
    assert Path("out").read_bytes() == b'{\n  "name": "caf\\udce9"\n}\n'
    assert files.read_json("out") == {"name": "caf\udce9"}


# What is refused before anything is written


def test_where_no_file_can_be_written():
    Path("file").write_text("old")
    Path("folder").mkdir()
    assert refusal(files.check_output, "nowhere/out") == "nowhere/out: there is no directory nowhere: make it first"
    assert refusal(files.check_output, "file/out").endswith("there is no directory file: make it first")
    assert refusal(files.check_output, "folder") == "folder: is a directory: give the name of a file in it"
    files.check_output("file")
    for name in ("file", "folder"):
        assert "exists already" in refusal(files.check_output, name, new=True)
        assert "exists already" in refusal(write, name, "new", "x")
    Path("dangling").symlink_to("nothing")
    assert "exists already" in refusal(files.check_output, "dangling", new=True)
    assert Path("file").read_text() == "old"


def test_an_output_is_not_another_file_of_the_command():
    for name in ("data", "model/config.json", "model/notes", "model/SHA256SUMS"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text("")
    Path("model/SHA256SUMS").write_text(f"{'0' * 64}  config.json\n")
    Path("link").symlink_to("data")
    os.link("data", "hard")
    for name in ("data", "./data", "link", "hard", Path("data").resolve()):
        found = refusal(files.check_only_written, [name], ["model", "data"])
        assert found == f"{name}: is the same file as data, which this command uses too: give another name"
    for outputs in (["new", "./new"], ["link", "hard"]):
        assert "is the same file as" in refusal(files.check_only_written, outputs, [])
    for name in ("config.json", "SHA256SUMS"):
        assert "belongs to the saved model" in refusal(files.check_only_written, [f"model/{name}"], [])
    Path("model/SHA256SUMS").unlink()
    assert "is a file of model, which this" in refusal(files.check_only_written, ["model/config.json"], ["model"])
    for name in ("model/sub/config.json", "other/config.json"):
        Path(name).parent.mkdir()
        Path(name).write_text("")
    assert "is a file of model, which" in refusal(files.check_only_written, ["model/sub/config.json"], ["model"])
    files.check_only_written(["other/config.json"], ["model"])
    files.check_only_written(["model/notes"], ["model"])  # the result of an earlier command
    files.check_only_written(["model/config.json"], ["data"])
    files.check_only_written(["-", "-", "/dev/null", "/dev/null", "model/new", "new"], ["-", "model", "data"])


@pytest.mark.parametrize("protected", ["file", "folder"])
def test_what_is_protected_is_not_replaced(protected, monkeypatch):
    Path("folder").mkdir()
    Path("folder/file").write_text("old")
    refused = {"file": "folder/file", "folder": "folder"}[protected]
    monkeypatch.setattr(
        os, "access", lambda path, _: str(path) != str(Path(refused)) and not str(path).endswith(refused)
    )
    assert "may not be written" in refusal(write, "folder/file" if protected == "file" else "folder/new", "new")
    assert Path("folder/file").read_text() == "old"


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_came_meanwhile_is_not_replaced(links, monkeypatch):
    def without(*_):
        raise OSError(errno.EPERM, "no hard links here")

    if not links:
        monkeypatch.setattr(os, "link", without)
    for name, writing in (("a", files.written_whole("a", "x")), ("b", files.written_directory("b"))):
        with pytest.raises(InputError, match=r"meanwhile|exists already"), writing:
            Path(name).write_text("theirs")
        assert Path(name).read_text() == "theirs"
    write("c", "new", "x")
    assert Path("c").read_text() == "new"
    assert there() == ["a", "b", "c"]


def test_a_directory_may_be_made_where_there_is_none_above_it():
    before = dict(files.UNFINISHED)
    with files.built("new/deep/folder") as building:
        building.mkdir()
    assert Path("new/deep/folder").is_dir()
    assert before == files.UNFINISHED
    with pytest.raises(InputError, match="exists already"), files.built("new/deep/folder") as building:
        building.mkdir()


def test_a_directory_may_be_replaced():
    for content in ("old", "new"):
        with files.written_directory("folder", replace=True) as building:
            (building / content).write_text(content)
    assert [path.name for path in Path("folder").iterdir()] == ["new"]
    assert there() == ["folder"]


# Locks


def test_a_lock_is_for_one_and_others_are_refused_or_wait():
    with files.lock("held", "busy") as alone:
        assert alone
        assert refusal(files.lock("held", "busy").__enter__) == ("busy (it holds held): wait for its end or end it")
        ours, waiting = [], threading.Event()

        def wait():
            waiting.set()
            with files.lock("held", "", wait=True) as alone:
                ours.append(alone)

        thread = threading.Thread(target=wait)
        thread.start()
        waiting.wait()
        thread.join(0.3)
        assert ours == []
    thread.join(10)
    assert ours == [True]


def test_whoever_is_refused_need_not_wait_and_an_error_that_is_kept_holds_no_lock():
    def refused_and_failing():
        with files.lock("held", "busy"):
            began = time.monotonic()
            refusal(files.lock("held", "busy").__enter__)
            raise KeyError(time.monotonic() - began)

    with pytest.raises(KeyError) as kept:
        refused_and_failing()
    assert kept.value.args[0] < 0.5
    with files.lock("held", "busy") as alone:
        assert alone


@pytest.mark.parametrize(
    ("number", "raised"), [(errno.ENOLCK, None), (errno.EOPNOTSUPP, None), (errno.EACCES, OSError)]
)
def test_a_file_system_without_locks(number, raised, monkeypatch):
    import filelock

    def without(_):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(filelock.FileLock, "acquire", without)
    if raised:
        with pytest.raises(raised):
            files.lock("held", "busy").__enter__()
        return
    Path(f".out.{'0' * 16}.new").write_text("somebody may be writing this")
    with files.claimed("out"):
        write("out", "whole", "x")
    assert len(there()) == 2, "nothing is removed that may be another's"


def test_only_what_a_writer_of_that_name_left_is_removed():
    left = [f".out.{'0' * 16}.new", f".out.1.{'0' * 16}.new", ".out.new", f".out.{'0' * 15}.new"]
    for name in (*left, files._beside(Path("out"))):
        Path(name).write_text("")
    files.remove_left(Path("out"))
    assert there() == sorted(left[1:])


def test_what_cannot_be_removed_stays_and_hides_no_other_error(monkeypatch):
    def refused(*_, **__):
        raise OSError(errno.EBUSY, "busy")

    Path("folder").mkdir()
    Path("file").write_text("")
    monkeypatch.setattr(os, "unlink", refused)
    monkeypatch.setattr(os, "rmdir", refused)
    for path in (Path("folder"), Path("file"), Path("nowhere")):
        files.remove(path)
    assert there() == ["file", "folder"]


# Reading


def test_lines_are_numbered_and_blank_ones_left_out():
    content = b"a\n\n \t\nb\r\nc"
    Path("plain").write_bytes(content)
    Path("packed.gz").write_bytes(gzip.compress(content))
    for name in ("plain", "packed.gz"):
        assert list(files.lines(name)) == [(1, b"a\n"), (4, b"b\r\n"), (5, b"c")]


def test_a_whole_file_is_read_within_the_same_bound(monkeypatch):
    Path("plain").write_bytes(b"\n" * 300)
    Path("packed.gz").write_bytes(gzip.compress(b"a" * 300))
    Path("cut.gz").write_bytes(gzip.compress(os.urandom(1000))[:-20])
    assert files.read_bytes("plain") == b"\n" * 300
    assert files.read_bytes("packed.gz") == b"a" * 300
    assert "end early" in refusal(files.read_bytes, "cut.gz")
    monkeypatch.setattr(files, "MAX_UNPACKED", 299)
    monkeypatch.setattr(files, "MAX_RATIO", 1)
    assert "unpacks to more than 299 bytes" in refusal(files.read_bytes, "packed.gz")
    monkeypatch.setattr(files, "MAX_UNPACKED", 300)
    assert files.read_bytes("packed.gz") == b"a" * 300
    assert files.read_bytes("plain") == b"\n" * 300


def test_lines_tell_how_far_they_are():
    Path("plain").write_bytes(b"12345\n" * 1000)
    told = []
    assert len(list(files.lines("plain", told.append))) == 1000
    assert told == sorted(told)
    assert 0 < told[0] <= 6000


@pytest.mark.parametrize("bound", ["MAX_LINE", "MAX_UNPACKED", "MAX_BLANK"])
def test_what_would_fill_the_memory_or_never_end_is_refused(bound, monkeypatch):
    monkeypatch.setattr(files, bound, 100)
    content = {"MAX_LINE": b"a" * 99, "MAX_UNPACKED": b"a" * 49 + b"\n", "MAX_BLANK": b"\n" * 50}[bound]
    Path("in.gz").write_bytes(gzip.compress(content))
    assert list(files.lines("in.gz")) == ([] if bound == "MAX_BLANK" else [(1, content)])
    monkeypatch.setattr(files, "MAX_RATIO", 1)
    Path("in.gz").write_bytes(gzip.compress(content * 3))
    said = {"MAX_LINE": "longer than 100", "MAX_UNPACKED": "more than 100 bytes", "MAX_BLANK": "100 blank lines"}[bound]
    assert said in refusal(list, files.lines("in.gz"))


def test_a_bound_is_what_is_still_allowed_and_the_sentence_names_the_one_that_was_met(monkeypatch):
    for bound, value in {
        "MAX_LINE": 100,
        "MAX_UNPACKED": 300,
        "MAX_BLANK": 100,
        "MAX_RATIO": 1,
        "MAX_JSON": 102,
    }.items():
        monkeypatch.setattr(files, bound, value)
    line = b"a" * 99 + b"\n"
    for content, said in [
        (line * 3, ""),
        (b"a" + line, "line is longer than 100 bytes"),
        (line * 4, "unpacks to more than 300 bytes"),
        (b"\n" * 100, ""),
        (b"\n" * 101, "more than 100 blank lines"),
        (b"  \n" * 99 + b" \n\n", "more than 100 blank lines"),  # the last of them is byte 300
    ]:
        Path("in.gz").write_bytes(gzip.compress(content))
        if said:
            assert said in refusal(list, files.lines("in.gz"))
        else:
            list(files.lines("in.gz"))
    Path("in.json").write_text(json.dumps("x" * 100))
    assert files.read_json("in.json") == "x" * 100


def test_what_is_too_large_is_not_unpacked_first(monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED", 2**16)
    monkeypatch.setattr(files, "MAX_RATIO", 1)
    Path("in.gz").write_bytes(gzip.compress(bytes(2**24)))
    tracemalloc.start()
    try:
        assert "unpacks to more than" in refusal(files.read_bytes, "in.gz")
        assert tracemalloc.get_traced_memory()[1] < 2**22
    finally:
        tracemalloc.stop()


def test_the_beginning_of_a_file_is_all_that_is_read_of_it():
    content = os.urandom(10_000)
    Path("plain").write_bytes(content)
    Path("packed.gz").write_bytes(gzip.compress(content))
    for name in ("plain", "packed.gz"):
        assert files.first_bytes(name) == content[:4096]
        assert files.first_bytes(name, 7) == content[:7]
    Path("packed.gz").write_bytes(b"plain")
    assert "damaged gzip data at its beginning" in refusal(files.first_bytes, "packed.gz")


def test_a_small_file_of_a_billion_newlines_is_refused_soon():
    Path("in.jsonl.gz").write_bytes(gzip.compress(bytes([10]) * 2**24) * 8)
    assert Path("in.jsonl.gz").stat().st_size < 300_000
    assert "1048576 blank lines" in refusal(list, files.lines("in.jsonl.gz"))


@pytest.mark.parametrize("read", [lambda path: list(files.lines(path)), files.read_json])
def test_a_pipe_or_a_device_is_refused_and_not_waited_for(read):
    os.mkfifo("pipe")
    for name in ("pipe", "/dev/zero"):
        assert refusal(read, name) == f"{name}: is a pipe or a device: write what it gives to a file, and name that"


def test_what_cannot_be_read_is_one_sentence():
    Path("folder").mkdir()
    Path("cut.gz").write_bytes(gzip.compress(os.urandom(1000))[:-20])
    Path("plain.gz").write_bytes(b"plain")
    Path("broken").write_bytes(b"\xff")
    Path("deep").write_bytes(b"[" * 100_000)
    Path("circle").symlink_to("circle")
    expected = {
        "nowhere": "no such",
        "folder": "directory",
        "cut.gz": "early",
        "plain.gz": "damaged",
        "circle": "levels",
    }
    for name, part in expected.items():
        assert part in refusal(list, files.lines(name))
    said = [refusal(files.read_json, name, of="the class") for name in ("nowhere", "folder", "broken", "deep")]
    assert all("the class is" in text for text in said)


def test_a_json_file_has_a_bound(monkeypatch):
    Path("out").write_text(json.dumps("x" * 100))
    assert files.read_json("out") == "x" * 100
    monkeypatch.setattr(files, "MAX_JSON", 100)
    assert "larger than 100 bytes" in refusal(files.read_json, "out")


def test_the_standard_output_takes_bytes_too(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), "utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    write("-", b"\xff", "wb")
    assert stream.buffer.getvalue() == b"\xff"
