"""Runs independent jobs in this process, in processes of its own, or on a Dask cluster.

A *job* is one call of a function that returns a JSON value; jobs share nothing and may run in any
order. Wherever they run, results, messages and stored files are the same.
"""

import contextlib
import hashlib
import json
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import files

__all__ = ["EXECUTORS", "Executor", "executor"]

EXECUTORS = ("inline", "processes", "dask")

RETRIES = 2
CONNECT_SECONDS = 5
THREAD_POOLS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

Jobs = Mapping[str, tuple]
# The class of the error, and its message; or None, and the result as JSON.
Outcome = tuple[type[Exception] | None, str]
Outcomes = Generator[tuple[str, Outcome], None, None]


def _outcome(function: Callable, *arguments: Any) -> Outcome:
    """Calls ``function``; an error becomes text, because exceptions need not survive pickling."""
    try:
        return None, json.dumps(function(*arguments), allow_nan=False)
    except (ValueError, OSError) as error:
        return ValueError if isinstance(error, ValueError) else OSError, str(error)
    except Exception:
        return RuntimeError, traceback.format_exc()


def _packed(function: Callable, key: str, arguments: tuple) -> bytes:
    try:
        return pickle.dumps((function, arguments))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(f"job {key!r} cannot be sent to a worker: {error}") from error


def _call_packed(packed: bytes) -> Any:
    function, arguments = pickle.loads(packed)
    return function(*arguments)


def _died(times: int) -> Outcome:
    return ValueError, f"its worker died {times} times; is there enough memory?"


def _run_inline(function: Callable, jobs: Jobs) -> Outcomes:
    for key, arguments in jobs.items():
        yield key, _outcome(function, *arguments)


def _serve(connection: Connection) -> None:
    """The main function of a worker: runs packed jobs until it is killed."""
    # In a group of its own a worker never sees the terminal's Ctrl-C, and whatever its jobs
    # have started can be killed with it.
    os.setpgrp()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(EOFError, OSError):
        while True:
            connection.send(_outcome(_call_packed, connection.recv_bytes()))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.killpg(0, signal.SIGKILL)


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Worker:
    """One process, which runs one job after another."""

    def __init__(self, *, threads: int):
        # Forking a process in which torch has started threads can deadlock.
        context = multiprocessing.get_context("spawn")
        self.connection, other_end = context.Pipe()
        self.process = context.Process(target=_serve, args=(other_end,), daemon=True)
        # Thread pools read these when they are loaded, which may be before any line of ours runs.
        with _environment(**dict.fromkeys(THREAD_POOLS, str(threads))):
            self.process.start()
        other_end.close()

    def send(self, packed: bytes) -> None:
        # A dead worker is noticed where its result is awaited.
        with contextlib.suppress(OSError):
            self.connection.send_bytes(packed)

    def kill(self) -> None:
        assert self.process.pid is not None
        # The group is missing where the worker is still starting or all of it has ended.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.kill()
        self.process.join()
        self.connection.close()


class _Pool:
    """Workers that are started when there is a job for them, and stay for the next one."""

    def __init__(self, workers: int):
        self.size = workers
        self.threads = max(1, _cores() // workers)
        self.idle: list[_Worker] = []

    def run(self, function: Callable, jobs: Jobs) -> Outcomes:
        waiting, deaths = deque(jobs), Counter[str]()
        busy: dict[Connection, tuple[_Worker, str]] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < self.size:
                    key = waiting.popleft()
                    packed = _packed(function, key, jobs[key])
                    worker = self.idle.pop() if self.idle else _Worker(threads=self.threads)
                    busy[worker.connection] = worker, key
                    worker.send(packed)
                outcomes: list[tuple[str, Outcome]] = []
                for connection in wait(list(busy)):
                    assert isinstance(connection, Connection)
                    worker, key = busy[connection]
                    try:
                        outcomes.append((key, connection.recv()))
                        self.idle.append(worker)
                    except (EOFError, OSError):
                        worker.kill()
                        deaths[key] += 1
                        if deaths[key] > RETRIES:
                            outcomes.append((key, _died(deaths[key])))
                        else:
                            waiting.append(key)
                    del busy[connection]
                # The first error ends the run: results that came with it go first.
                yield from sorted(outcomes, key=lambda outcome: outcome[1][0] is not None)
        finally:
            for worker, _ in busy.values():
                worker.kill()

    def close(self) -> None:
        for worker in self.idle:
            worker.kill()


def _run_on_cluster(client: Any, function: Callable, jobs: Jobs) -> Outcomes:
    """Runs jobs through a ``distributed.Client``; the cluster itself repeats jobs of lost workers,
    up to its setting ``distributed.scheduler.allowed-failures``."""
    from distributed import KilledWorker, as_completed

    keys = {client.submit(_outcome, _call_packed, _packed(function, key, arguments), pure=False):
            key for key, arguments in jobs.items()}
    try:
        for future in as_completed(keys, loop=client.loop):
            try:
                outcome = future.result()
            except KilledWorker as error:
                outcome = _died(error.allowed_failures + 1)
            except Exception as error:
                outcome = ValueError, "the cluster gave no result: " + " ".join(str(error).split())
            yield keys[future], outcome
    finally:
        client.cancel(list(keys))


def _connect(scheduler: str) -> Any:
    import asyncio
    try:
        from distributed import Client
        from distributed.comm import connect
    except ImportError:
        raise ValueError("executor dask needs the package distributed: "
                         "pip install doubleq[dask]") from None

    async def probe() -> None:
        await (await connect(scheduler, timeout=CONNECT_SECONDS)).close()

    # A Client that fails to start may hang when it is garbage: only one that will start is made.
    try:
        asyncio.run(probe())
    # The answer of another kind of server, such as Dask's own dashboard, is misread in any way.
    except Exception as error:
        raise ValueError(f"no Dask scheduler answers at {scheduler}: {error}") from error
    return Client(scheduler, timeout=CONNECT_SECONDS, set_as_default=False)


@dataclass(frozen=True, kw_only=True)
class _Store:
    """Results of one function, a file each."""
    folder: Path
    function: str
    version: str

    def identity(self, key: str) -> dict[str, str]:
        return {"function": self.function, "version": self.version, "job": key}

    def path(self, key: str) -> Path:
        name = hashlib.sha256(json.dumps(self.identity(key)).encode()).hexdigest()
        return self.folder / f"{name}.json"

    def save(self, key: str, result: Any) -> None:
        files.write_json(self.path(key), {**self.identity(key), "result": result})

    def load(self, key: str) -> Any:
        path, identity = self.path(key), self.identity(key)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path}: damaged result of job {key!r}: {error}") from None
        if not isinstance(content, dict) or content.keys() != {*identity, "result"} or any(
                content[name] != value for name, value in identity.items()):
            raise ValueError(f"{path}: not a result of job {key!r} of {self.function}, "
                             f"version {self.version!r}")
        return content["result"]


def _quiet(done: int, total: int) -> None:
    pass


class Executor:
    """Runs jobs where :func:`executor` has said."""

    def __init__(self, run: Callable[[Callable, Jobs], Outcomes]):
        self._run = run

    def run(self, function: Callable, jobs: Jobs, *, store: Path | None = None, version: str = "",
            progress: Callable[[int, int], None] = _quiet) -> dict[str, Any]:
        """Calls ``function(*arguments)`` for every job.

        The first job that fails ends the run: jobs under way are abandoned, and what has finished
        stays in ``store``. A job whose worker process dies is given to another one, twice at most.

        Parameters
        ----------
        function
            Returns a JSON value. Outside this process it must be importable by its name, and its
            arguments are pickled for every job: pass paths, not networks.
        jobs
            Arguments by key.
        store
            A folder that keeps every result from the moment it is there, in a file of its own.
            Jobs with a stored result are not run again.
        version
            Results are stored by function, key and version: it must change with everything else
            that changes results.
        progress
            Called with the number of finished jobs, stored ones included, and of all jobs, at the
            start and after each job.

        Returns
        -------
        dict
            Results by key, in the order of ``jobs``. Each went through JSON: tuples are lists.

        Raises
        ------
        :exc:`ValueError`, :exc:`OSError`
            If a job raises one; the message starts with the job's key.
        :exc:`ValueError`
            If a job kills its workers or cannot be sent to one, its result is not finite, or
            a file of ``store`` is damaged.
        :exc:`RuntimeError`
            If a job raises anything else; the message holds the job's traceback.
        """
        results: dict[str, Any] = {}
        kept = None
        if store is not None:
            name = f"{function.__module__}.{function.__qualname__}"
            kept = _Store(folder=Path(store), function=name, version=version)
            results = {key: kept.load(key) for key in jobs if kept.path(key).exists()}
        progress(len(results), len(jobs))
        rest = {key: arguments for key, arguments in jobs.items() if key not in results}
        # Closing the generator is what abandons the jobs under way.
        with contextlib.closing(self._run(function, rest)) as outcomes:
            for key, (error, text) in outcomes:
                if error is not None:
                    raise error(f"job {key!r}: {text}")
                results[key] = json.loads(text)
                if kept is not None:
                    kept.save(key, results[key])
                progress(len(results), len(jobs))
        return {key: results[key] for key in jobs}


def _cores() -> int:
    return len(os.sched_getaffinity(0))


@contextlib.contextmanager
def executor(kind: str = "inline", *, workers: int | None = None,
             scheduler: str | None = None) -> Iterator[Executor]:
    """Yields an :class:`Executor`; its processes end with the block.

    Parameters
    ----------
    kind
        ``inline``: one job after another, in this process. ``processes``: in worker processes;
        they share the cores, that is, each computes with (cores / workers) threads, at least one.
        ``dask``: on a cluster whose workers can import the function.
    workers
        Number of worker processes; all cores that this process may use if not given.
    scheduler
        Address of the Dask scheduler.

    Raises
    ------
    :exc:`ValueError`
        If ``kind`` is unknown, an option does not belong to it or is missing, ``workers`` is not
        positive, the package ``distributed`` is missing, or the scheduler does not answer within
        5 s.
    """
    if kind not in EXECUTORS:
        raise ValueError(f"executor must be one of {', '.join(EXECUTORS)}, not {kind!r}")
    if workers is not None and kind != "processes":
        raise ValueError(f"executor {kind} takes no workers, found {workers!r}")
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise ValueError(f"workers must be a positive integer, not {workers!r}")
    if kind != "dask" and scheduler is not None:
        raise ValueError(f"executor {kind} takes no scheduler, found {scheduler!r}")
    if kind == "dask" and not scheduler:
        raise ValueError(f"executor dask needs a scheduler, tcp://host:port, found {scheduler!r}")

    if kind == "inline":
        yield Executor(_run_inline)
    elif kind == "processes":
        with contextlib.closing(_Pool(workers or _cores())) as pool:
            yield Executor(pool.run)
    else:
        with _connect(str(scheduler)) as client:
            yield Executor(partial(_run_on_cluster, client))
