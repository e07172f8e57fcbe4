"""HumanEval's programs run, and a program that would do harm is stopped.

Each harmful program is run twice: behind all barriers, and behind the kernel's alone.
"""

from __future__ import annotations

import gzip
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from harness.cli import invoke
from harness.codec import to_json
from harness.errors import DataError, UsageError
from harness.plugins import PluginInfo, Registered, Registry
from harness.testing import check_task
from harness.types import Generate, ModelInfo, ModelSpec, Request, Response, TaskSettings
from harness_code import OPTIONS, harness_tasks, sandbox
from harness_code.sandbox import Limits, Outcome, prove, run_program
from harness_code.task import CodeTask, build

QUICK = Limits(seconds=2.0)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="these barriers are Linux' kernel's")


@pytest.fixture(params=[True, False], ids=["all-barriers", "kernel-alone"])
def hook(request: pytest.FixtureRequest) -> bool:
    """Whether the interpreter's own barriers stand, too."""
    outcome = run_program("pass")
    if not request.param and outcome.missing:
        pytest.skip(f"this kernel does not confine {', '.join(outcome.missing)}")
    return bool(request.param)


def run(program: str, hook: bool = True, limits: Limits = QUICK) -> Outcome:
    return run_program(program, limits, hook=hook)


def test_a_program_that_ends_has_passed() -> None:
    assert run("import math, re, collections\nassert math.sqrt(4) == 2").passed


@pytest.mark.parametrize(
    ("program", "detail"),
    [
        ("assert 1 == 2, 'not equal'", "AssertionError: not equal"),
        ("def broken(", "SyntaxError"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("import os; os._exit(0)", "it ended without a word"),
        ("input('a number?')", "EOFError"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("def f(): f()\nf()", "RecursionError"),
    ],
)
def test_a_program_that_does_not_come_to_its_end_has_failed(program: str, detail: str) -> None:
    outcome = run(program)
    assert outcome.status == "failed"
    assert detail in outcome.detail


def test_claiming_to_have_passed_is_not_passing() -> None:
    claim = (
        "import os\nfor number in range(3, 64):\n    try:\n"
        '        os.write(number, b\'{"passed": "yes", "process": 1}\\n\')\n'
        "    except OSError:\n        pass\nos._exit(0)\n"
    )
    assert run(claim).status == "failed"


STEAL = (
    "import json, os, sys\n"
    "frame = sys._getframe()\n"
    "while 'token' not in frame.f_locals:\n"
    "    frame = frame.f_back\n"
    "said = json.dumps({'passed': frame.f_locals['token']}).encode()\n"
    "os.write(frame.f_locals['result'], said + b'\\n')\n"
    "os._exit(0)\n"
)
"""Finds how the child reports, and reports."""
PATCH = (
    "import __main__\n"
    "say = __main__._say\n"
    "__main__._say = lambda result, what: say(result, {'passed': 'yes', **what})\n"
    "raise ValueError('wrong')\n"
)
LISTEN = "import sys\nraise SystemExit(str(sys.orig_argv))\n"


@pytest.mark.parametrize(
    "program",
    [
        STEAL,
        PATCH,
        "import os\nos._exit(0)\n",
        "import sys\nsys.exit(0)\n",
        "print('passed')\nraise SystemExit\n",
        "import atexit, os\natexit.register(os._exit, 0)\nraise ValueError\n",
        "import signal, os\nos.kill(os.getpid(), signal.SIGKILL)\n",
    ],
    ids=["token", "patch", "_exit", "exit", "print", "atexit", "killed"],
)
def test_a_pass_is_not_forged(program: str) -> None:
    assert prove(f"{program}\nassert False", QUICK).status == "failed"


def test_what_steals_the_token_passes_a_single_run() -> None:
    # So the second run is needed: without it the test above would fail.
    assert run(STEAL).passed
    assert prove("assert True", QUICK).passed


def test_neither_the_token_nor_the_tests_lie_about() -> None:
    assert "token" not in run("import sys\nraise SystemExit(str(sys.orig_argv))").detail
    assert run("import os\nraise SystemExit(str(os.listdir()))").detail == "SystemExit: []"


def test_an_endless_loop_is_ended() -> None:
    started = time.monotonic()
    assert run("while True: pass").status == "timeout"
    assert time.monotonic() - started < 30


def test_sleep_is_ended_with_all_that_was_started() -> None:
    # The child leaves its session, so that no signal to the group reaches it.
    program = (
        "import os, time\n"
        "for _ in range(3):\n"
        "    if os.fork() == 0:\n"
        "        os.setsid()\n"
        f"        os.execv('/bin/sleep', ['sleep', '{SLEEP}'])\n"
        "time.sleep(987)\n"
    )
    assert run(program).status == "timeout"
    time.sleep(0.2)
    assert not _sleeping()


SLEEP = f"987.{os.getpid()}"
"""Seconds that no other process sleeps."""


def _sleeping() -> set[str]:
    """Processes that sleep so long."""
    found = set()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if command.split(b"\0")[:2] == [b"sleep", SLEEP.encode()]:
            found.add(folder.name)
    return found


@LINUX
def test_a_child_that_keeps_spawning_is_stopped_by_a_small_limit(hook: bool) -> None:
    # It tries 24 times and no more, so that a missing limit costs 24 processes.
    program = (
        "import os, time\n"
        "started = 0\n"
        "for _ in range(24):\n"
        "    try:\n"
        "        if os.fork() == 0:\n"
        "            time.sleep(30)\n"
        "            os._exit(0)\n"
        "    except OSError:\n"
        "        break\n"
        "    started += 1\n"
        "raise SystemExit(f'started {started}')\n"
    )
    outcome = run(program, hook)
    assert outcome.status == "failed"
    assert outcome.detail.startswith("SystemExit: started ")
    assert int(outcome.detail.split()[-1]) < QUICK.processes


def test_output_without_end_is_ended() -> None:
    assert run("while True: print('x' * 1000)").status == "output"
    assert run("import os\nwhile True: os.write(2, bytes(1000))").status == "output"


@LINUX
def test_memory_without_end_is_refused() -> None:
    limits = Limits(seconds=20, memory=1 << 28)
    outcome = run("taken = []\nwhile True: taken.append(bytearray(10_000_000))", True, limits)
    assert outcome.status == "failed"
    assert outcome.detail.startswith("MemoryError") or outcome.detail == "it ended without a word"


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder of this user's that every user can reach, read and write: no owner's rights keep a
    program out, the confinement alone does."""
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        folder.chmod(0o777)
        (folder / "there").write_text("kept hunter2")
        (folder / "there").chmod(0o666)
        yield folder


def test_files_are_written_in_its_own_folder_alone(hook: bool, open_folder: Path) -> None:
    tmp_path = open_folder
    for attempt in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"open({str(tmp_path / 'there')!r}, 'a').write('x')",
        f"os.remove({str(tmp_path / 'there')!r})",
        f"os.mkdir({str(tmp_path / 'folder')!r})",
        f"open('own', 'w').close(); os.rename('own', {str(tmp_path / 'moved')!r})",
        f"open('own', 'w').close(); os.link('own', {str(tmp_path / 'linked')!r})",
        f"os.symlink({str(tmp_path)!r}, 'way'); open('way/new', 'w')",
        f"os.chmod({str(tmp_path / 'there')!r}, 0)",
        "open('/dev/shm/harness-test', 'w')",
        "open('/tmp/harness-test', 'w')",
        "open('/var/tmp/harness-test', 'w')",
        f"os.symlink('/', {str(tmp_path / 'link')!r})",
        f"os.truncate({str(tmp_path / 'there')!r}, 0)",
        "open('../beside', 'w')",
    ):
        outcome = run(f"import os\n{attempt}", hook)
        assert outcome.status == "failed", attempt
        assert "Error" in outcome.detail
    assert [path.name for path in tmp_path.iterdir()] == ["there"]
    assert (tmp_path / "there").read_text() == "kept hunter2"
    assert not [p for p in ("/dev/shm", "/tmp", "/var/tmp") if (Path(p) / "harness-test").exists()]


def test_its_own_folder_is_its_own_and_is_gone_afterwards(hook: bool) -> None:
    outcome = run(
        "import os\nopen('a', 'w').write('x')\nos.mkdir('b')\nos.rename('a', 'b/a')\n"
        "assert open('b/a').read() == 'x'\nraise SystemExit(os.getcwd())",
        hook,
    )
    folder = outcome.detail.removeprefix("SystemExit: ")
    assert "harness-code-" in folder and not Path(folder).exists()


def test_a_large_file_is_refused() -> None:
    limits = Limits(seconds=5, file_bytes=1 << 20)
    assert run("open('f', 'wb').write(bytes(1 << 22))", True, limits).status == "failed"


@pytest.fixture
def listener() -> Iterator[tuple[int, list[object]]]:
    """A port of this machine, and who came to it."""
    visitors: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(20)

        def accept() -> None:
            try:
                connection, address = server.accept()
            except OSError:
                return
            visitors.append(address)
            connection.close()

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1], visitors
        # A connection that does get through frees the thread, and is no visitor of the program.
        seen = len(visitors)
        if not seen:
            socket.create_connection(("127.0.0.1", server.getsockname()[1])).close()
        thread.join()


def test_no_socket_reaches_anything(hook: bool, listener: tuple[int, list[object]]) -> None:
    port, visitors = listener
    tcp = f"socket.create_connection(('127.0.0.1', {port}), 1)"
    udp = "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 53))"
    for attempt in (tcp, udp):
        outcome = run(f"import socket\n{attempt}", hook)
        assert outcome.status == "failed" and "Error" in outcome.detail
    assert visitors == []


def test_secrets_of_the_environment_are_out_of_reach(
    hook: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    outcome = run("import os\nraise SystemExit(sorted(os.environ))", hook)
    assert outcome.detail == "SystemExit: ['HOME', 'LANG', 'PATH', 'TMPDIR']"
    for number in ("self", os.getpid(), "1", "{os.getppid()}"):
        program = f"import os\nraise SystemExit(open(f'/proc/{number}/environ').read())"
        assert "hunter2" not in run(program, hook).detail


@LINUX
def test_files_of_others_are_not_read(hook: bool, open_folder: Path) -> None:
    if "files" in run("pass").missing:
        pytest.skip("this kernel does not confine files")
    secret = str(open_folder / "there")
    for attempt in (
        f"found = open({secret!r}).read()",
        f"os.symlink({secret!r}, 'way'); found = open('way').read()",
        f"os.link({secret!r}, 'way'); found = open('way').read()",
        f"found = subprocess.run(['/bin/cat', {secret!r}], capture_output=True).stdout",
        f"found = 'hunter2' if os.listdir({str(open_folder)!r}) else ''",
        "found = 'hunter2' if os.listdir(os.path.expanduser('~root')) else ''",
        "found = 'hunter2' if 'root' in open('/etc/passwd').read() else ''",
    ):
        outcome = run(f"import os, subprocess\n{attempt}\nraise SystemExit(str(found))", hook)
        assert outcome.status == "failed" and "hunter2" not in outcome.detail, attempt


@LINUX
def test_processes_of_others_are_out_of_reach(hook: bool) -> None:
    before = os.getppid()
    program = (
        "import os, signal\n"
        f"for number in ({os.getpid()}, -1, -{os.getpgid(0)}):\n"
        "    try:\n"
        "        os.kill(number, 0)\n"
        "    except ProcessLookupError:\n"
        "        continue\n"
        "    raise SystemExit(f'{number} is there')\n"
        "raise SystemExit(f'alone {os.getppid()}')\n"
    )
    assert run(program, hook).detail == "SystemExit: alone 0"
    assert os.getppid() == before


@LINUX
def test_nothing_goes_on_after_a_program_that_passed() -> None:
    if "processes" in run("pass").missing:
        pytest.skip("this kernel does not confine processes")
    daemon = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        f"        os.execv('/bin/sleep', ['sleep', '{SLEEP}'])\n"
        "    os._exit(0)\n"
        "time.sleep(0.3)\n"
    )
    assert run(daemon).passed
    time.sleep(0.2)
    assert not _sleeping()


@LINUX
def test_an_abstract_socket_is_not_reached(hook: bool) -> None:
    name = f"\0harness-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(name)
        server.listen()
        outcome = run(
            f"import socket\nsocket.socket(socket.AF_UNIX).connect({name!r})\n"
            "raise SystemExit('connected')",
            hook,
        )
    assert "Error" in outcome.detail


def test_the_interpreters_own_barriers_hold_alone(
    tmp_path: Path, listener: tuple[int, list[object]]
) -> None:
    # What stands where a kernel has none: here nothing but the hook, in a process of its own.
    own = tmp_path / "own"
    own.mkdir()
    port, visitors = listener
    for attempt in (
        f"open({str(tmp_path / 'new')!r}, 'w')",
        f"os.mkdir({str(tmp_path / 'folder')!r})",
        f"os.rename('program.py', {str(tmp_path / 'moved')!r})",
        f"os.open({str(tmp_path / 'new')!r}, os.O_CREAT)",
        f"socket.create_connection(('127.0.0.1', {port}), 1)",
    ):
        program = (
            "import os, socket, sys\nimport confine\n"
            "open('program.py', 'w').close()\n"
            f"sys.addaudithook(confine.audit({str(own)!r}))\n"
            f"open('inside', 'w').close()\n{attempt}\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", program],
            cwd=own,
            env={"PYTHONPATH": str(Path(sandbox.__file__).parent)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert "PermissionError: " in done.stderr, attempt
    assert {path.name for path in tmp_path.iterdir()} == {"own"} and visitors == []


PROBLEM = {
    "task_id": "one/0",
    "prompt": "def one():\n",
    "canonical_solution": "    return 1\n",
    "test": "def check(candidate):\n    assert candidate() == 1\n",
    "entry_point": "one",
}


def problems(folder: Path, *changes: dict[str, object]) -> str:
    path = folder / "problems.jsonl"
    path.write_text("".join(json.dumps(PROBLEM | change) + "\n" for change in changes or ({},)))
    return str(path)


def task(path: str, **options: str) -> CodeTask:
    settings = TaskSettings(argument=path, options={"allow_code_execution": "yes", **options})
    return build(settings, OPTIONS)


def test_nothing_is_built_without_permission(tmp_path: Path) -> None:
    for options in ({}, {"allow_code_execution": "no"}):
        with pytest.raises(UsageError, match=r"nobody allowed that.\n.*allow_code_execution=yes"):
            build(TaskSettings(argument=problems(tmp_path), options=options), OPTIONS)


def test_what_is_only_shown_needs_no_permission(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert invoke(["tasks", f"humaneval:{problems(tmp_path)}", "--sample", "1"]) == 0
    assert PROBLEM["entry_point"] in capsys.readouterr().out


def test_the_task_keeps_the_contract(tmp_path: Path) -> None:
    plugin = PluginInfo(name="code", target="", distribution="harness", version="0")
    (spec,) = harness_tasks()
    registry = Registry(
        plugins=(plugin,),
        models={},
        tasks={spec.name: Registered(spec=spec, plugin=plugin)},
        clashes={},
    )
    path = problems(tmp_path)
    results = check_task(f"humaneval:{path},allow_code_execution=yes,timeout=10", registry)
    assert results and not [one.line for one in results if one.status == "failed"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"task_id": "one/0"}, "id 'one/0' is given to items 1 and 2"),
        ({"entry_point": "one()"}, "not a function's name"),
        ({"test": None}, "line 2: 'test' is missing"),
        ({"prompt": " "}, "line 2: 'prompt' is empty"),
    ],
)
def test_a_malformed_problem_is_named(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    with pytest.raises(DataError, match=words.replace("(", r"\(")):
        task(problems(tmp_path, {}, {"task_id": "one/1"} | change))


def test_pass_at_10_needs_ten_attempts(tmp_path: Path) -> None:
    made = task(problems(tmp_path), attempts="10", k="5")
    assert [metric.name for metric in made.metrics] == ["pass@1", "pass@5", "pass@10"]
    (sample,) = made.samples()
    right, wrong = Response(text="    return 1"), Response(text="    return 2")
    stats = made.grade(sample, [right, *[wrong] * 9])
    assert stats["pass@1"][0] == pytest.approx(10.0)
    assert stats["pass@5"][0] == pytest.approx(50.0)
    assert stats["pass@10"][0] == 100.0


def test_several_answers_are_drawn_each_by_a_request_of_its_own(tmp_path: Path) -> None:
    (sample,) = task(problems(tmp_path), attempts="10").samples()
    assert len(set(sample.requests)) == 10
    asked = [request for request in sample.requests if isinstance(request, Generate)]
    assert {(one.temperature, one.top_p, one.seed) for one in asked} == {(0.8, 0.95, 0)}
    (one,) = task(problems(tmp_path)).samples()
    # stored answers are found by what a request says: a greedy one says nothing of drawing
    assert to_json(one.requests[0]).keys() == {"kind", "prompt", "max_tokens", "stop"}
    (cool,) = task(problems(tmp_path), temperature="0.2", top_p="1").samples()
    assert cool.requests == (replace(asked[0], temperature=0.2, top_p=1.0),)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"attempts": "3", "temperature": "0"}, "the same answer at each of 3 attempts"),
        ({"attempts": "1001"}, "attempts=1001 is not possible"),
        ({"temperature": "-1"}, "temperature=-1 is not possible"),
        ({"temperature": "nan"}, "temperature=nan is not possible"),
        ({"temperature": "hot"}, "temperature=hot is not possible"),
        ({"attempts": "2", "top_p": "0"}, "top_p=0 leaves nothing"),
        ({"attempts": "2", "top_p": "1.5"}, "top_p=1.5 is not possible"),
        ({"top_p": "0.9"}, "top_p=0.9 needs a temperature"),
        ({"k": "2"}, "pass@2 needs at least 2 attempts at each problem, and attempts=1"),
    ],
)
def test_attempts_that_cannot_be_are_refused(
    tmp_path: Path, options: dict[str, str], words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        task(problems(tmp_path), **options)


class Fixed:
    """Answers ``1`` or ``2`` by the attempt's number; a model that draws."""

    info = ModelInfo(name="fixed", family="fixed", identity="fixed-1")

    def check_drawing(self) -> None:
        pass

    def respond(self, requests: Sequence[Request]) -> Iterator[tuple[int, Response]]:
        for index, request in enumerate(requests):
            assert isinstance(request, Generate)
            yield index, Response(text=f"    return {1 + min(request.attempt, 1)}\n")


class Greedy(Fixed):
    """The same, and says nothing of drawing."""

    check_drawing = None  # type: ignore[assignment]


def test_a_run_draws_its_attempts_and_gives_pass_at_k(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = PluginInfo(name="code", target="", distribution="harness", version="0")
    models = {
        name: Registered(
            spec=ModelSpec(
                name=name,
                build=lambda settings, made=made: made(),  # type: ignore[misc]
                kinds=frozenset({"generate"}),
                family="fixed",
            ),
            plugin=plugin,
        )
        for name, made in (("fixed", Fixed), ("greedy", Greedy))
    }
    (spec,) = harness_tasks()
    tasks = {spec.name: Registered(spec=spec, plugin=plugin)}
    registry = Registry(plugins=(plugin,), models=models, tasks=tasks, clashes={})
    monkeypatch.setattr("harness.cli.running.load_registry", lambda: registry)
    monkeypatch.chdir(tmp_path)
    name = f"humaneval:{problems(tmp_path)},attempts=4,k=2,timeout=20"
    command = ["run", "-t", name, "--allow-code-execution", "--json"]
    assert invoke([*command, "-m", "fixed"]) == 0
    scores = {s["metric"]: s["value"] for s in json.loads(capsys.readouterr().out)["scores"]}
    assert scores == {"pass@1": pytest.approx(25.0), "pass@2": pytest.approx(50.0)}
    assert invoke([*command, "-m", "fixed,greedy"]) == 2
    said = capsys.readouterr().err
    assert "Model 'greedy' gives its most probable answer alone" in said


def test_the_solutions_of_humaneval_pass(shared: Path, tmp_path: Path) -> None:
    raw = (shared / "data" / "humaneval" / "HumanEval.0-81.jsonl.gz").read_bytes()
    lines = gzip.decompress(raw).decode().splitlines()
    assert len(lines) == 82
    lines = lines[::3]  # all of them pass, and take their time
    path = tmp_path / "problems.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    made = task(str(path), timeout="20")
    failed = [
        sample.id
        for sample in made.samples()
        if made.grade(sample, made.oracle(sample)) != {"pass@1": (100.0, 1.0)}
    ]
    assert failed == []


def test_the_example_of_humaneval_scores_a_half(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared / "data" / "humaneval"
    expected = json.loads((folder / "example.expected.json").read_text())["pass@1"]
    code = invoke(
        [
            *("score", "pass@1", "--json"),
            *("--task", "humaneval,attempts=6", "--allow-code-execution"),
            *("--hyp", str(folder / "example_samples.jsonl")),
            *("--ref", str(folder / "example_problem.jsonl")),
        ]
    )
    document = json.loads(capsys.readouterr().out)
    assert code == 0
    assert document["value"] == pytest.approx(100 * expected)
