"""Turns of the client's benchmark: every library runs every case in a process of its own."""

import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Self

from .broker import BrokerConnection
from .cases import Case
from .environments import ROOT, Environment, Library
from .result import Results

TIME_LIMIT = 120.0
"""Seconds in which a worker must finish a case."""

WARM_UP = 5
"""A case is run once before it is measured, with a fraction of its messages: one of so many."""

IMPORT = """
import json, time
cpu, wall = time.process_time(), time.perf_counter()
import {module}
print(json.dumps({{"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}}))
"""


class Worker:
    """A process that runs cases with one library."""

    def __init__(self, library: Library, environment: Environment) -> None:
        self.library = library
        self._environment = environment
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End the process."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.communicate()

    def run(self, case: Case, url: str, queue: str, count: int) -> dict[str, Any]:
        """Run a case; return its result, or what went wrong."""
        if self._process is None:
            self._process = self._start()
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = {"case": case.name, "url": url, "queue": queue, "count": count}
        timer = threading.Timer(TIME_LIMIT, self._process.kill)
        timer.start()
        try:
            self._process.stdin.write(json.dumps(job) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        finally:
            timer.cancel()
        if not line.endswith("\n"):  # nothing, or a part of it
            self.stop()
            return {
                "error": f"did not finish within {TIME_LIMIT:.0f} seconds, or its process ended"
            }
        result: dict[str, Any] = json.loads(line)
        return result

    def run_import(self) -> dict[str, Any]:
        """Measure the import of the library in a process of its own."""
        program = IMPORT.format(module=self.library.module)
        command = [self._environment.python, "-c", program]
        done = subprocess.run(
            command, env=self._variables(), capture_output=True, text=True, check=False
        )
        if done.returncode:
            return {"error": done.stderr.strip().rpartition("\n")[2]}
        result: dict[str, Any] = json.loads(done.stdout)
        return result

    def _start(self) -> "subprocess.Popen[str]":
        command = [self._environment.python, "-m", "benchmarks.clients", self.library.client]
        if self.library.uvloop:
            command.append("--uvloop")
        return subprocess.Popen(
            command,
            cwd=ROOT,
            env=self._variables(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def _variables(self) -> dict[str, str]:
        variables = {**os.environ, **self._environment.variables}
        variables.pop("PYTHONDONTWRITEBYTECODE", None)
        return variables


class Bench:
    """Measures the cases on one broker.

    Args:
        url: of the broker.
        environments: of the libraries.
        results: to which everything is added.
        progress: called with what is measured next.
    """

    def __init__(
        self,
        url: str,
        environments: dict[Library, Environment],
        results: Results,
        progress: Callable[[str], None],
    ) -> None:
        self.url = url
        self.results = results
        self._environments = environments
        self._progress = progress

    def turn(self, number: int, cases: Sequence[Case], counts: dict[str, int]) -> None:
        """Measure every case with every library, in new processes.

        The libraries alternate case by case, and begin with another one in each turn.
        """
        with ExitStack() as stack:
            broker = stack.enter_context(BrokerConnection(self.url))
            silent_url = ""
            if any(case.is_silent for case in cases):
                port = stack.enter_context(partner("silent"))
                silent_url = f"amqp://guest:guest@127.0.0.1:{port}/"
            requests = queue_name()
            if any(case.kind == "call" for case in cases):
                broker.declare(requests)
                stack.callback(broker.delete, requests)
                stack.enter_context(partner("echo", self.url, requests))
            workers = [
                stack.enter_context(Worker(library, environment))
                for library, environment in self._environments.items()
            ]
            for case in cases:
                if case.is_memory and number:
                    continue
                begin = number % len(workers)
                for worker in workers[begin:] + workers[:begin]:
                    self._progress(f"{case.name}: {worker.library.name}")
                    if worker.library.is_floor and not is_floor_of(worker.library, case):
                        continue
                    count, queue = counts[case.name], requests if case.kind == "call" else ""
                    if case.kind == "import":
                        result = worker.run_import()
                    elif case.is_silent:
                        result = warmed(case, worker, silent_url, "nowhere", count)
                    elif queue:
                        result = warmed(case, worker, self.url, queue, count)
                    else:
                        result = self._on_queue(case, worker, broker, count)
                    self.results.add(case.name, worker.library.name, outcome(result))

    def _on_queue(
        self, case: Case, worker: Worker, broker: BrokerConnection, count: int
    ) -> dict[str, Any]:
        """Run a case with a queue of its own, in which the broker counts the messages."""
        result: dict[str, Any] = {}
        for number in rounds(case, count):
            queue = queue_name()
            broker.declare(queue)
            if case.consumes:
                broker.publish(queue, case.size, number)
                broker.count(queue, number)
            result = worker.run(case, self.url, queue, number)
            expected = number if case.publishes else 0
            found = expected if is_failed(result) else broker.count(queue, expected)
            broker.delete(queue)
            if is_failed(result):
                break
            if found != expected:
                text = f"the queue has {found} messages afterwards instead of {expected}"
                result = {"error": text}
                break
        return result


def warmed(case: Case, worker: Worker, url: str, queue: str, count: int) -> dict[str, Any]:
    """Run a case that needs no queue of its own."""
    result: dict[str, Any] = {}
    for number in rounds(case, count):
        result = worker.run(case, url, queue, number)
        if is_failed(result):
            break
    return result


def rounds(case: Case, count: int) -> list[int]:
    """Return the numbers of messages of the warm-up, if there is one, and the measurement."""
    if case.is_memory or case.channels > 1:  # opening many channels is a warm-up, and takes long
        return [count]
    return [max(1, count // WARM_UP), count]


def is_floor_of(library: Library, case: Case) -> bool:
    """Return whether a floor has the same bytes as a case, in the same direction."""
    if case.channels > 1 or case.ack:
        return False
    kinds = {
        "one write a message": case.kind == "publish" and case.size < 1_000_000,
        "frame by frame": case.kind == "publish" and case.size >= 1_000_000,
        "reading alone": case.kind == "consume",
        "one copy": case.kind == "consume",
    }
    return kinds[library.name]


def is_failed(result: dict[str, Any]) -> bool:
    """Return whether there is nothing measured."""
    return "cannot" in result or "error" in result


def outcome(result: dict[str, Any]) -> dict[str, float | str]:
    """Return a result as it is kept: numbers, or one text."""
    if is_failed(result):
        return {"reason": result.get("cannot") or result["error"]}
    return result


def queue_name() -> str:
    """Return a new name for a queue."""
    return f"bench-{uuid.uuid4().hex[:12]}"


@contextmanager
def partner(program: str, *arguments: str) -> Generator[str]:
    """Run a program of partners.py; yield the first line that it prints."""
    command = [sys.executable, "-m", "benchmarks.partners", program, *arguments]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline().strip()
        if not line:
            raise RuntimeError(f"benchmarks.partners {program} did not start")
        yield line
    finally:
        process.kill()
        process.communicate()
