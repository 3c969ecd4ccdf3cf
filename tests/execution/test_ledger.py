"""The ledger's file: what it keeps, what it refuses, and that many processes and crashes cannot confuse it.

One long file: all of it shares the fixtures of one ledger, which test modules cannot import from each other.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import random
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from qmlphys.execution import _ledger_schema, _locks, ledger
from qmlphys.execution.ledger import STATES, Ledger, LedgerError

COLUMNS = {
    "backend": "aer",
    "options": "{}",
    "shots": 10,
    "seed": None,
    "repeat": 0,
    "n_qubits": 2,
    "n_two_qubit_gates": 1,
    "depth": 3,
    "device_seconds": None,
    "layout": None,
}


def job_id(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def put(book: Ledger, number: int, *, kind: str = "local") -> ledger.Job:
    return book.insert(job_id(number), kind=kind, task=b"task %d" % number, **COLUMNS)[0]


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "home"))
    return Ledger()


# --- the file ---------------------------------------------------------------------------------------------------------


def test_only_the_user_can_read_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "a" / "home"))
    before = os.umask(0)
    try:
        book = Ledger()
        with book.reading():  # while it is open, its side files are there too
            put(book, 1)
            files = sorted(path.name for path in book.folder.glob("jobs.sqlite*"))
            assert files == ["jobs.sqlite", "jobs.sqlite-shm", "jobs.sqlite-wal"]
            modes = {stat.S_IMODE(path.stat().st_mode) for path in book.folder.glob("jobs.sqlite*")}
    finally:
        os.umask(before)
    assert modes == {0o600}
    assert book.folder == tmp_path / "a" / "home"
    folders = [book.folder, *(book.folder / name for name in ("results", "logs", "locks"))]
    assert {stat.S_IMODE(path.stat().st_mode) for path in folders} == {0o700}


def test_a_file_that_stands_open_is_closed(book: Ledger) -> None:
    book.path.chmod(0o644)
    book.select()
    assert stat.S_IMODE(book.path.stat().st_mode) == 0o600


def test_commits_are_on_the_disk(book: Ledger) -> None:
    with book.reading() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
        assert connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        assert connection.execute("PRAGMA busy_timeout").fetchone()[0] == 30_000
        assert connection.execute("PRAGMA user_version").fetchone()[0] == len(_ledger_schema.MIGRATIONS)


def test_a_home_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("QMLPHYS_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(LedgerError, match="QMLPHYS_HOME"):
        Ledger()
    with pytest.raises(LedgerError, match="There is no ledger"):
        Ledger(tmp_path, create=False)


@pytest.mark.parametrize("damage", ["empty", "text", "beginning", "middle", "foreign"])
def test_a_damaged_file_is_refused_and_left_alone(book: Ledger, damage: str) -> None:
    for number in range(20):
        book.insert(job_id(number), kind="local", task=bytes(5000), **COLUMNS)
    content = bytearray(book.path.read_bytes())
    if damage == "empty":
        content = bytearray()
    elif damage == "text":
        content = bytearray(b"no database at all, but long enough to be looked at" * 200)
    elif damage == "beginning":
        content[:100] = bytes(100)
    elif damage == "middle":
        content[4096:] = os.urandom(len(content) - 4096)
    book.path.unlink()
    if damage == "foreign":
        with contextlib.closing(sqlite3.connect(book.path)) as connection:
            connection.execute("CREATE TABLE jobs (id)")
    else:
        book.path.write_bytes(content)
    before = book.path.read_bytes()
    with pytest.raises(LedgerError, match=r"damaged|not a ledger") as caught:
        Ledger().select()
    assert str(book.path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert book.path.read_bytes() == before


def test_a_link_to_another_file_is_refused(book: Ledger, tmp_path: Path) -> None:
    book.path.rename(tmp_path / "elsewhere")
    book.path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(LedgerError, match="regular file of your own"):
        book.select()


# --- versions ---------------------------------------------------------------------------------------------------------


def old_version(path: Path) -> list[tuple[object, ...]]:
    """Write a ledger of version 1 with three jobs, and return its rows."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {0x716D6C70}")
        for statement in _ledger_schema.MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version = 1")
        for number in range(3):
            connection.execute(
                "INSERT INTO jobs (id, tag, kind, backend, state, task, options, shots, repeat, created, updated, "
                "n_qubits, n_two_qubit_gates, depth) "
                "VALUES (?, ?, 'ibm', 'ibm_x', 'prepared', ?, '{}', 1, 0, ?, 2, 3, 4, 5)",
                (job_id(number), f"tag-{number}", bytes([number]), 1.5 + number),
            )
        connection.execute("UPDATE jobs SET state = 'sending' WHERE row = 2")
        connection.execute("INSERT INTO history (row, time, after, why) VALUES (1, 1.0, 'prepared', 'submitted')")
        return connection.execute("SELECT * FROM jobs").fetchall()


def test_an_older_file_is_migrated_and_keeps_its_rows(tmp_path: Path) -> None:
    rows = old_version(tmp_path / "jobs.sqlite")
    book = Ledger(tmp_path)
    jobs = book.select()
    assert [job.id for job in jobs] == [job_id(number) for number in range(3)]
    assert [job.state for job in jobs] == ["prepared", "sending", "prepared"]
    assert [job.attempts for job in jobs] == [0, 0, 0]
    assert jobs[0].worker is None
    assert book.task(2) == b"\x01"
    assert [event.why for event in book.history(1)] == ["submitted"]
    with contextlib.closing(sqlite3.connect(book.path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 2
        assert [row[: len(rows[0])] for row in connection.execute("SELECT * FROM jobs")] == rows
    assert book.move(3, "prepared", "sending", why="goes on", note="new column")
    assert book.get(3).note == "new column"


def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_version(tmp_path / "jobs.sqlite")
    broken = [*_ledger_schema.MIGRATIONS, ["ALTER TABLE jobs ADD COLUMN good TEXT", "ALTER TABLE nothing ADD COLUMN x"]]
    with monkeypatch.context() as patch:
        patch.setattr(_ledger_schema, "MIGRATIONS", broken)
        with pytest.raises(LedgerError, match="could not be brought to version 3"):
            Ledger(tmp_path)
    with contextlib.closing(sqlite3.connect(tmp_path / "jobs.sqlite")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone()[0] == 1
        columns = [line[1] for line in connection.execute("PRAGMA table_info(jobs)")]
    assert "good" not in columns
    assert "worker" not in columns
    assert len(Ledger(tmp_path).select()) == 3


def test_a_newer_file_is_refused(book: Ledger) -> None:
    put(book, 1)
    with contextlib.closing(sqlite3.connect(book.path)) as connection:
        connection.execute("PRAGMA user_version = 99")
    before = book.path.read_bytes()
    with pytest.raises(LedgerError, match=r"has version 99, but this qmlphys knows versions up to 2: a newer qmlphys"):
        Ledger()
    assert book.path.read_bytes() == before


# --- jobs -------------------------------------------------------------------------------------------------------------


def test_a_job_is_written_once(book: Ledger) -> None:
    first, new = book.insert(job_id(1), kind="local", task=b"abc", **COLUMNS)
    second, again = book.insert(job_id(1), kind="local", task=b"other", **COLUMNS)
    assert (new, again) == (True, False)
    assert second == first
    assert first.state == "prepared"
    assert first.tag.startswith(f"qmlphys-{job_id(1)[:16]}-")
    assert book.task(first.row) == b"abc"
    assert book.tags(first.row) == [first.tag]
    assert [(event.before, event.after) for event in book.history(first.row)] == [(None, "prepared")]
    assert book.by_id(job_id(2)) is None


def test_tags_are_never_the_same() -> None:
    assert len({ledger.new_tag(job_id(1)) for _ in range(1000)}) == 1000


def test_jobs_are_found_by_the_beginning_of_their_id(book: Ledger) -> None:
    ids = [job_id(number) for number in range(300)]
    starts = [name[:4] for name in ids]
    first = next(number for number, start in enumerate(starts) if starts.count(start) == 2)
    second = starts.index(starts[first], first + 1)
    jobs = {number: put(book, number) for number in (first, second, 7)}
    target = ids[7]
    assert book.find(target) == jobs[7]
    assert book.find(target[:12].upper()) == jobs[7]
    with pytest.raises(ValueError, match="2 jobs begin like this"):
        book.find(ids[first][:4])
    assert book.find(ids[first][:9]) == jobs[first]
    assert book.find(ids[second][:9]) == jobs[second]
    with pytest.raises(ValueError, match="there is no such job"):
        book.find("f" * 64)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "abc",
        "../" * 4,
        "/etc/passwd",
        "%%%%",
        "____",
        "abcd*",
        "abcd\n",
        "abcd ",
        "0x1234",
        "g" * 64,
        "a" * 65,
        "\uff11" * 4,
        "\u0661" * 8,
        "abcd\x00",
        "a' OR '1'='1",
        None,
        1234,
        b"abcd",
        "a" * 100_000,
    ],
)
def test_anything_else_is_no_id(book: Ledger, name: object) -> None:
    put(book, 1)
    with pytest.raises(ValueError, match="4 to 64 hexadecimal digits") as caught:
        book.find(name)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 250


LEGAL = {
    "ibm": {
        ("prepared", "sending"),
        ("prepared", "cancelled"),
        ("sending", "prepared"),
        ("sending", "sending"),
        ("sending", "sent"),
        ("sent", "done"),
        ("sent", "failed"),
        ("sent", "cancelled"),
        ("failed", "sending"),
        ("cancelled", "sending"),
        ("failed", "sent"),
        ("cancelled", "sent"),
        ("done", "sent"),
    },
    "local": {
        ("prepared", "sent"),
        ("prepared", "failed"),
        ("prepared", "cancelled"),
        ("sent", "done"),
        ("sent", "failed"),
        ("sent", "cancelled"),
        ("failed", "prepared"),
        ("cancelled", "prepared"),
        ("done", "prepared"),
    },
}


@pytest.mark.parametrize("kind", ["local", "ibm"])
def test_only_legal_transitions_even_by_foreign_hands(book: Ledger, kind: str) -> None:
    n_refused = 0
    job = put(book, 1, kind=kind)
    for before in STATES:
        for after in STATES:
            with contextlib.closing(sqlite3.connect(book.path, isolation_level=None)) as connection:
                connection.execute("BEGIN")
                # Get into the state `before` without the rules, which are put back in the same transaction.
                rule = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'legal_transitions'").fetchone()[
                    0
                ]
                connection.execute("DROP TRIGGER legal_transitions")
                connection.execute("UPDATE jobs SET state = ?", (before,))
                connection.execute(rule)
                connection.execute("COMMIT")
                try:
                    connection.execute("UPDATE jobs SET state = ?", (after,))
                    allowed = True
                except sqlite3.IntegrityError:
                    allowed = False
                    n_refused += 1
            assert allowed == ((before, after) in LEGAL[kind]), (before, after)
    assert n_refused == 36 - len(LEGAL[kind])
    with pytest.raises(sqlite3.IntegrityError):
        book.move(job.row, book.get(job.row).state, "no state", why="")


def test_what_a_job_is_never_changes(book: Ledger) -> None:
    put(book, 1)
    for column in ("id", "task", "backend", "kind", "options"):
        with book.reading() as connection, pytest.raises(sqlite3.IntegrityError, match="never changes"):
            connection.execute(f"UPDATE jobs SET {column} = 'x'")  # noqa: S608
    with book.reading() as connection:
        connection.execute("CREATE TEMP TABLE copy AS SELECT * FROM jobs")
        connection.execute("UPDATE copy SET row = 2, tag = 'other', state = 'done', id = ?", (job_id(2),))
        with pytest.raises(sqlite3.IntegrityError, match="begins as prepared"):
            connection.execute("INSERT INTO jobs SELECT * FROM copy")


def test_compare_and_set(book: Ledger) -> None:
    row = put(book, 1).row
    assert not book.move(row, "sent", "done", why="too early")
    assert book.get(row).state == "prepared"
    assert book.move(row, "prepared", "sent", why="a worker begins")
    assert not book.move(row, "prepared", "sent", why="another one is late")
    assert [(event.before, event.after, event.why) for event in book.history(row)] == [
        (None, "prepared", "submitted"),
        ("prepared", "sent", "a worker begins"),
    ]
    times = [event.time for event in book.history(row)]
    assert times == sorted(times)


# --- secrets ----------------------------------------------------------------------------------------------------------


def test_secrets_are_removed_from_texts(book: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "s3cr3t+with/odd=signs"  # noqa: S105 (made up)
    monkeypatch.setenv("QISKIT_IBM_TOKEN", secret)
    monkeypatch.setenv("OTHER_API_KEY", "another-one-99")
    for text in (f"401 for {secret}", f"x{secret}y", "key another-one-99", "Authorization: Bearer abc.def-ghi"):
        cleaned = ledger.scrub(text)
        assert secret not in cleaned
        assert "another-one-99" not in cleaned
        assert "abc.def" not in cleaned
        assert "***" in cleaned
    assert ledger.scrub("nothing to hide") == "nothing to hide"
    row = put(book, 1).row
    book.move(row, "prepared", "failed", why=f"the service said {secret}")
    assert secret not in book.history(row)[-1].why
    assert secret not in str(ledger.JobError(f"no {secret}"))


# --- locks ------------------------------------------------------------------------------------------------------------


def test_a_lock_excludes_threads_and_names_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert not _locks.is_held(path)
    with _locks.hold(path, what="a test runs"):
        assert _locks.is_held(path)
        seen: list[bool] = []
        thread = threading.Thread(target=lambda: seen.append(_locks.is_held(path)))
        thread.start()
        thread.join()
        assert seen == [True]
        with pytest.raises(TimeoutError, match=rf"Process {os.getpid()} .* \(a test runs\)"):  # noqa: SIM117
            with _locks.hold(path, what="a test runs", timeout=0.1):
                pass
    assert not _locks.is_held(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


HOLDER = """
import os, sys, time
from pathlib import Path
from qmlphys.execution import _locks
with _locks.hold(Path(sys.argv[1]), what="the child holds it"):
    if os.fork() == 0:  # must not keep the lock when its parent has died
        print("held", flush=True)
        time.sleep(60)
    time.sleep(60)
"""


def test_a_killed_holder_leaves_no_lock_nor_do_its_children(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert _locks.is_held(path)
        child.kill()
        child.wait()
        with _locks.hold(path, what="the test takes over", timeout=5.0):
            pass
    finally:
        os.killpg(child.pid, signal.SIGKILL)  # the grandchild, still there, is what the test was about
        child.stdout.close()


def test_a_process_is_recognised() -> None:
    own = _locks.Process.current()
    assert own.alive() is True
    assert _locks.Process(own.pid, "1", own.machine).alive() is False  # the number was given to another process
    assert _locks.Process(own.pid, own.started, "another machine").alive() is None
    child = subprocess.Popen([sys.executable, "-S", "-c", "input()"], stdin=subprocess.PIPE)
    seen = _locks.Process.of(child.pid)
    assert seen.alive() is True
    child.kill()
    end = time.monotonic() + 20
    while seen.alive() and time.monotonic() < end:
        time.sleep(0.01)
    assert seen.alive() is False  # a zombie, which its parent has not heard of yet
    child.communicate()
    assert _locks.Process.of(child.pid).alive() is False


# --- many processes ---------------------------------------------------------------------------------------------------

# One start of Python, which takes long, and then a fork for each process: none has used the ledger before.
INSERTER = """
import hashlib, json, os, sys
from pathlib import Path
from qmlphys.execution.ledger import Ledger
columns = json.loads(sys.argv[2])
go, ready = os.pipe()
for _ in range(4):
    if os.fork() == 0:
        os.close(ready)
        os.read(go, 1)  # returns in all of them when the parent closes the other end
        book, new, won = Ledger(Path(sys.argv[1])), [], []
        for number in range(20):
            job, fresh = book.insert(hashlib.sha256(str(number).encode()).hexdigest(), kind="ibm", task=b"", **columns)
            if fresh:
                new.append(number)
            if book.move(job.row, "prepared", "sending", why="mine"):
                won.append(number)
        os.write(1, (json.dumps([new, won]) + "\\n").encode())
        os._exit(0)
os.close(ready)
assert [os.wait()[1] for _ in range(4)] == [0] * 4
"""


@pytest.mark.parametrize("old", [False, True], ids=["new file", "file to migrate"])
def test_many_processes_at_once(tmp_path: Path, old: bool) -> None:
    # The file is made, or migrated, by all of them at the same moment, too.
    if old:
        old_version(tmp_path / "jobs.sqlite")
    command = [sys.executable, "-c", INSERTER, str(tmp_path), json.dumps(COLUMNS)]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    answers = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(answers) == 4
    first = 3 if old else 0
    assert sorted(number for new, _ in answers for number in new) == list(range(first, 20))
    wins = sorted(number for _, won in answers for number in won)
    assert wins == [number for number in range(20) if not (old and number == 1)]  # each exactly once
    assert len(Ledger(tmp_path).select()) == 20


WRITER = """
import hashlib, json, os, sys
from pathlib import Path
from qmlphys.execution.ledger import Ledger
columns = json.loads(sys.argv[2])
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        book, number = Ledger(Path(sys.argv[1])), 0
        while True:
            name = hashlib.sha256(f"{line} {number}".encode()).hexdigest()
            row = book.insert(name, kind="ibm", task=bytes(5000), **columns)[0].row
            book.move(row, "prepared", "sending", why="going")
            book.move(row, "sending", "sent", why="gone", remote_id=name[:8])
            os.write(1, f"{name}\\n".encode())  # said after the commit: it must be there whatever comes
            number += 1
    os.write(1, f"{child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"ended\\n")
"""


@pytest.mark.parametrize("n_kills", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_a_killed_writer_leaves_whole_transactions(tmp_path: Path, n_kills: int) -> None:
    rng = random.Random(5)  # noqa: S311
    said: list[str] = []
    command = [sys.executable, "-c", WRITER, str(tmp_path), json.dumps(COLUMNS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(n_kills):
            process.stdin.write(f"{number}\n")
            process.stdin.flush()
            lines: list[str] = []
            wanted = rng.randint(1, 5)
            # The child may speak before its parent has told its number.
            while len(lines) < wanted or not any(line.isdigit() and len(line) < 64 for line in lines):
                lines.append(process.stdout.readline().strip())
            time.sleep(rng.uniform(0.0, 0.03))
            os.kill(next(int(line) for line in lines if len(line) < 64), signal.SIGKILL)
            while lines[-1] != "ended":
                lines.append(process.stdout.readline().strip())
            said += [line for line in lines if len(line) == 64]
        process.stdin.close()
    book = Ledger(tmp_path)
    with book.reading() as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    jobs = {job.id: job for job in book.select()}
    assert len(said) >= n_kills  # otherwise nothing was tested
    assert all(jobs[name].state == "sent" for name in said)
    for job in jobs.values():
        events = book.history(job.row)
        assert events[-1].after == job.state
        assert len(events) == 1 + ("prepared", "sending", "sent").index(job.state)
        assert (job.remote_id is not None) == (job.state == "sent")
