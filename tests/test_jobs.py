import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jobs

ROOT = Path(__file__).resolve().parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")])}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=8)


# Jobs: module-level, so that workers can import them.

def draw(seed):
    return [random.Random(seed).random() for _ in range(5)]


def echo(value):
    return value


def structure(seed):
    return {"pair": (seed, None), 3: 0.1 + 0.2}


def log_run(folder):
    """Leaves one file in ``folder`` a call, and returns how many there are."""
    Path(tempfile.mkstemp(dir=folder)[1])
    return len(list(Path(folder).iterdir()))


def die(folder, times):
    """Kills its process the first ``times`` times."""
    if log_run(folder) <= times:
        os.kill(os.getpid(), signal.SIGKILL)
    return "alive"


def fail(kind, log, store):
    """Raises as soon as a result is stored; without a ``kind`` succeeds."""
    if kind is None:
        return log_run(log)
    deadline = time.monotonic() + 20
    while not list(Path(store).glob("*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    raise kind("no such layer")


def log_slowly(log, kind):
    time.sleep(0.1)
    log_run(log)
    if kind is not None:
        raise kind("no such layer")


def threads():
    import torch
    return torch.get_num_threads()


def hang(folder):
    """Never ends, nor does the process that it starts."""
    child = subprocess.Popen(["sleep", "60"])
    scratch = Path(folder) / f".{os.getpid()}"
    scratch.write_text(f"{os.getpid()} {child.pid}")
    scratch.rename(Path(folder) / f"{os.getpid()}.pids")
    time.sleep(60)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "store"


@pytest.fixture
def log(tmp_path):
    folder = tmp_path / "log"
    folder.mkdir()
    return folder


def count(folder):
    return len(list(folder.iterdir()))


class TestEveryExecutor:
    def test_results_are_those_of_plain_calls_in_order(self, any_executor):
        seeds = {f"seed {seed}": (seed,) for seed in (3, 1, 2, 5, 4)}
        results = any_executor.run(draw, seeds)
        assert results == {key: draw(*arguments) for key, arguments in seeds.items()}
        assert list(results) == list(seeds)

    def test_results_went_through_json(self, any_executor, store):
        expected = {"a": {"pair": [1, None], "3": 0.1 + 0.2}}
        assert any_executor.run(structure, {"a": (1,)}, store=store) == expected
        assert any_executor.run(structure, {"a": (1,)}, store=store) == expected

    def test_no_jobs(self, any_executor):
        assert any_executor.run(draw, {}) == {}

    def test_progress(self, any_executor):
        calls = []
        any_executor.run(draw, {"a": (1,), "b": (2,)},
                         progress=lambda done, total: calls.append((done, total)))
        assert calls == [(0, 2), (1, 2), (2, 2)]

    def test_stored_results_are_not_run_again(self, any_executor, store, log):
        first = any_executor.run(log_run, {"a": (log,), "b": (log,)}, store=store)
        calls = []
        second = any_executor.run(log_run, {"c": (log,), "b": (log,), "a": (log,)}, store=store,
                                  progress=lambda *call: calls.append(call))
        assert count(log) == 3
        assert second == {"c": 3, "b": first["b"], "a": first["a"]}
        assert list(second) == ["c", "b", "a"]
        assert calls == [(2, 3), (3, 3)]

    @pytest.mark.parametrize(("kind", "raised", "message"), [
        (ValueError, ValueError, r"^job 'bad': no such layer$"),
        (UnicodeError, ValueError, r"^job 'bad': no such layer$"),
        (FileNotFoundError, OSError, r"^job 'bad': no such layer$"),
        (KeyError, RuntimeError, r"(?s)^job 'bad': Traceback.*in fail.*KeyError: 'no such layer'"),
    ])
    def test_failing_job(self, any_executor, store, log, kind, raised, message):
        run = {"good": (None, log, store), "bad": (kind, log, store)}
        with pytest.raises(raised, match=message):
            any_executor.run(fail, run, store=store)
        del run["bad"]
        assert any_executor.run(fail, run, store=store) == {"good": 1}
        assert count(log) == 1

    def test_failing_job_ends_the_run(self, any_executor, log):
        run = {str(index): (log, ValueError if index == 0 else None) for index in range(40)}
        with pytest.raises(ValueError, match=r"^job '0': no such layer$"):
            any_executor.run(log_slowly, run)
        time.sleep(0.3)
        started = count(log)
        time.sleep(0.3)
        assert count(log) == started < len(run)

    def test_result_is_not_finite(self, any_executor):
        with pytest.raises(ValueError, match=r"^job 'a': Out of range float values are not JSON"):
            any_executor.run(echo, {"a": (float("nan"),)})


class TestWorkers:
    """What only other processes can do."""

    @pytest.fixture(autouse=True)
    def _other_processes(self, any_executor):
        if any_executor.kind == "inline":
            pytest.skip("inline jobs have no worker")

    def test_killed_worker_is_replaced(self, any_executor, store, log):
        assert any_executor.run(die, {"a": (log, 1)}, store=store) == {"a": "alive"}
        assert count(log) == 2

    def test_killed_worker_loses_nothing_finished(self, any_executor, store, log, tmp_path):
        other = tmp_path / "other"
        other.mkdir()
        run = {"good": (other, 0), "bad": (log, 99)}
        with pytest.raises(ValueError, match=r"^job 'bad': its worker died 3 times; is there "
                                             r"enough memory\?$"):
            any_executor.run(die, run, store=store)
        assert count(log) == 1 + jobs.RETRIES
        runs = count(other)
        assert any_executor.run(die, {"good": (other, 0)}, store=store) == {"good": "alive"}
        assert count(other) == runs

    def test_function_without_a_name(self, any_executor):
        with pytest.raises(ValueError, match=r"^job 'a' cannot be sent to a worker: .*lambda"):
            any_executor.run(lambda: 1, {"a": ()})


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_share_the_cores(workers):
    with jobs.executor("processes", workers=workers) as executor:
        assert executor.run(threads, {"a": ()}) == {"a": max(1, jobs._cores() // workers)}


@pytest.mark.parametrize("value", ["7", None])
def test_workers_leave_the_environment_alone(monkeypatch, value):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if value is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    with jobs.executor("processes", workers=1) as executor:
        executor.run(echo, {"a": (1,)})
    assert os.environ.get("OMP_NUM_THREADS") == value


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_interruption_leaves_no_process(log, sent):
    script = ("import sys, jobs, test_jobs\n"
              "with jobs.executor('processes', workers=2) as executor:\n"
              "    executor.run(test_jobs.hang, {'a': sys.argv[1:], 'b': sys.argv[1:]})")
    process = subprocess.Popen(
        [sys.executable, "-c", script, log], stderr=subprocess.PIPE, env=ENVIRONMENT,
        start_new_session=True,
        # Where the tests run in the background, Ctrl-C is ignored, also by what they start.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    try:
        deadline = time.monotonic() + 30
        while len(found := list(log.glob("*.pids"))) < 2:
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.02)
        pids = [int(pid) for file in found for pid in file.read_text().split()]
        assert len(pids) == 4 and all(map(alive, pids))
        os.killpg(process.pid, sent)  # as Ctrl-C does
        errors = process.communicate(timeout=5)[1].decode()
        assert process.returncode == -sent
        deadline = time.monotonic() + 5
        while any(map(alive, pids)):
            assert time.monotonic() < deadline, [pid for pid in pids if alive(pid)]
            time.sleep(0.02)
        assert errors.count("Traceback") == (sent == signal.SIGINT)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def test_interruption_of_a_run_keeps_the_executor(log, store):
    def interrupt(done, total):
        if done == 1:
            raise KeyboardInterrupt

    run = {str(index): (log,) for index in range(6)}
    with jobs.executor("processes", workers=2) as executor:
        with pytest.raises(KeyboardInterrupt):
            executor.run(log_run, run, store=store, progress=interrupt)
        stored = count(store)
        assert stored == 1
        assert list(executor.run(log_run, run, store=store)) == list(run)


def test_results_that_come_with_an_error_are_stored(log, store):
    def wait(done, total):
        if done == 1:
            while count(log) < 2:
                time.sleep(0.02)
            time.sleep(0.3)

    run = {"bad": (ValueError, log, store), "a": (None, log, store), "b": (None, log, store)}
    with (jobs.executor("processes", workers=3) as executor,
          pytest.raises(ValueError, match=r"^job 'bad': no such layer$")):
        executor.run(fail, run, store=store, progress=wait)
    assert count(store) == 2


@settings(max_examples=30, deadline=None)
@given(values=st.dictionaries(st.text(), JSON, max_size=4))
def test_stored_values_are_the_results(values):
    with tempfile.TemporaryDirectory() as store, jobs.executor() as executor:
        run = {key: (value,) for key, value in values.items()}
        assert executor.run(echo, run, store=Path(store)) == values
        assert executor.run(echo, run, store=Path(store)) == values
        assert count(Path(store)) == len(values)


@pytest.mark.parametrize("change", ["function", "key", "version"])
def test_name_of_a_stored_result(store, change):
    with jobs.executor() as executor:
        executor.run(echo, {"a": (1,)}, store=store, version="1")
        executor.run(draw if change == "function" else echo,
                     {"b" if change == "key" else "a": (1,)}, store=store,
                     version="2" if change == "version" else "1")
    assert count(store) == 2


@pytest.mark.parametrize(("damage", "message"), [
    (lambda text: text[:-10], r"damaged result of job 'a': .*"),
    (lambda text: "", r"damaged result of job 'a': Expecting value.*"),
    (lambda text: "[]", r"not a result of job 'a' of test_jobs\.echo, version '7'"),
    (lambda text: text.replace('"7"', '"8"'),
     r"not a result of job 'a' of test_jobs\.echo, version '7'"),
    (lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "result"}),
     r"not a result of job 'a' of test_jobs\.echo, version '7'"),
])
def test_damaged_store(store, damage, message):
    with jobs.executor() as executor:
        executor.run(echo, {"a": (1,)}, store=store, version="7")
        path, = store.iterdir()
        path.write_text(damage(path.read_text()))
        with pytest.raises(ValueError, match=rf"^{path}: {message}$"):
            executor.run(echo, {"a": (1,)}, store=store, version="7")


@pytest.mark.parametrize(("kind", "options", "message"), [
    ("threads", {}, "executor must be one of inline, processes, dask, not 'threads'"),
    ("inline", {"workers": 2}, "executor inline takes no workers, found 2"),
    ("dask", {"workers": 2}, "executor dask takes no workers, found 2"),
    ("processes", {"workers": 0}, "workers must be a positive integer, not 0"),
    ("processes", {"workers": 1.5}, "workers must be a positive integer, not 1.5"),
    ("inline", {"scheduler": "tcp://a:1"}, "executor inline takes no scheduler, found 'tcp://a:1'"),
    ("processes", {"scheduler": "tcp://a:1"},
     "executor processes takes no scheduler, found 'tcp://a:1'"),
    ("dask", {}, "executor dask needs a scheduler, tcp://host:port, found None"),
])
def test_wrong_options(kind, options, message):
    with pytest.raises(ValueError, match=f"^{message}$"), jobs.executor(kind, **options):
        pass


@pytest.fixture
def web_server():
    """Address of a server that answers, but not as Dask does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        def serve():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                connection.close()

        threading.Thread(target=serve, daemon=True).start()
        yield f"tcp://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.parametrize("scheduler", ["tcp://127.0.0.1:9", "nonsense://a:1", "web server"])
def test_scheduler_does_not_answer(scheduler, monkeypatch, web_server):
    monkeypatch.setattr(jobs, "CONNECT_SECONDS", 0.3)
    scheduler = web_server if scheduler == "web server" else scheduler
    with (pytest.raises(ValueError, match=rf"^no Dask scheduler answers at {scheduler}: .+$"),
          jobs.executor("dask", scheduler=scheduler)):
        pass


def test_without_distributed(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (pytest.raises(ValueError, match=r"^executor dask needs the package distributed: "
                                          r"pip install doubleq\[dask\]$"),
          jobs.executor("dask", scheduler="tcp://127.0.0.1:9")):
        pass


def test_importing_jobs_needs_the_standard_library_only():
    code = "import sys, jobs; print({'numpy', 'torch', 'distributed'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, text=True,
                          capture_output=True).stdout == "set()\n"
