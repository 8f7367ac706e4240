"""Dies, or is refused, at every system call: one run for each call that the undisturbed run makes, then an undisturbed
queue run, then the books are balanced."""

import collections
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

from relay import Relay
from subject import Home, Message

RECIPIENTS = ["bob@web.example", "carol@web.example"]
ERRORS = "ENOSPC EDQUOT EIO EROFS EMFILE ENFILE EACCES EFBIG ENOMEM ESTALE EINTR".split()
FALLIBLE = (
    "openat read pread64 write pwrite64 fsync fdatasync link linkat rename renameat renameat2 unlink unlinkat flock close "
    "fstat newfstatat statx statfs fstatfs getrandom socket connect sendto recvfrom mkdir mkdirat getdents64 fcntl poll ppoll"
).split()


def points(home, argv, octets):
    """Every system call of an undisturbed run, as (name, which of its kind); strace counts in each process anew."""
    with tempfile.NamedTemporaryFile() as trace:
        subprocess.run(
            ["strace", "-f", "-qq", "-o", trace.name, *argv], input=octets, env=home.environment, capture_output=True
        )
        counts = collections.Counter()
        for line in open(trace.name, errors="replace"):
            call = re.match(r"(\d+) +([a-z0-9_]+)\(", line)
            if call:
                counts[call[1], call[2]] += 1
    most = collections.Counter()
    for (_, call), count in counts.items():
        most[call] = max(most[call], count)
    most["execve"] -= 1  # the first one is strace's own
    return [(call, n) for call in sorted(most) for n in range(1, most[call] + 1)]


def wrapper(call, n, what):
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:{what}:when={n}"]


class Sweep:
    def __init__(self, subject, folder, chunking=False):
        self.subject, self.folder, self.relay = subject, pathlib.Path(folder), Relay(chunking=chunking)
        self.violations = []
        self.tally = collections.Counter()

    def home(self, template=None):
        path = self.folder / "home"
        shutil.rmtree(path, ignore_errors=True)
        if template:
            shutil.copytree(template, path, symlinks=True)
        return Home(self.subject, path, self.relay.port)

    def complain(self, point, text):
        self.violations.append(f"{point}: {text}")

    def complain_of_leftovers(self, point, home, status):
        """Nothing stays behind, but for the copy that is kept when the configuration could not be read (EX_CONFIG)."""
        left = [name for name in home.leftovers() if not (status == os.EX_CONFIG and name.startswith("dead/"))]
        if left:
            self.complain(point, f"left behind: {left}")

    def balance(self, point, home, message, status, recipients=RECIPIENTS):
        """A deposit: told "accepted" exactly when one whole entry is there, and nothing is left behind."""
        for _ in range(2):
            home.flush()
        arrived = self.relay.take()
        counts = collections.Counter(recipient for _, recipient, _ in arrived)
        if any(found != message.digest for _, _, found in arrived):
            self.complain(point, "changed on the way")
        if status == 0 and set(counts) != set(recipients):
            self.complain(point, f"acknowledged, arrived at {sorted(counts)}")
        if counts and set(counts) != set(recipients):
            self.complain(point, f"only arrived at {sorted(counts)}")
        if max(counts.values(), default=0) > 1:
            self.complain(point, "arrived twice")
        self.complain_of_leftovers(point, home, status)
        self.tally["arrived" if counts else "nothing"] += 1
        return bool(counts)

    def deposits_killed(self, full):
        """Two recipients by arguments; in full also one and fifty by header, of messages that are smaller and larger."""
        total = self.killed_while(self.subject.put, Message("kill", 15_000), RECIPIENTS)
        if full and hasattr(self.subject, "put_by_header"):
            for size, count in ((1_000, 1), (5_000_000, 50)):
                recipients = [f"r{number}@web.example" for number in range(count)]
                total += self.killed_while(self.subject.put_by_header, Message("kill", size, to=recipients), recipients)
        return total

    def killed_while(self, put, message, recipients):
        home = self.home()
        todo = points(home, put(home.path, self.relay.port, recipients), message.octets)
        for call, n in todo:
            home = self.home()
            argv = put(home.path, self.relay.port, recipients)
            status = home.run(argv, message.octets, wrapper(call, n, "signal=KILL"))
            self.balance(f"kill put {call}#{n} for {len(recipients)}", home, message, status, recipients)
        return len(todo)

    def sends(self, whats):
        """In the foreground: told "accepted" only when everyone has it, or gets it from the next queue run."""
        message = Message("send", 15_000)
        home = self.home()
        todo = points(home, self.subject.send(home.path, self.relay.port, RECIPIENTS), message.octets)
        self.relay.take()
        todo = [(what, call, n) for what in whats for call, n in todo if "KILL" in what or call in FALLIBLE]
        duplicates = []
        for what, call, n in todo:
            home = self.home()
            status = home.send(message, RECIPIENTS, wrapper(call, n, what))
            point = f"{what} send {call}#{n}"
            for _ in range(2):
                home.flush()
            arrived = self.relay.take()
            counts = collections.Counter(recipient for _, recipient, _ in arrived)
            if any(found != message.digest for _, _, found in arrived):
                self.complain(point, "changed on the way")
            if (status == 0 or counts) and set(counts) != set(RECIPIENTS):
                self.complain(point, f"exit {status}, arrived at {sorted(counts)}")
            if status > 0 and counts and "KILL" not in what:
                self.complain(point, f"exit {status}, and yet it arrived: the caller sends again")
            self.complain_of_leftovers(point, home, status)
            if max(counts.values(), default=0) > 1:
                duplicates.append(f"{what} {call}#{n}")
        return len(todo), duplicates

    def deposits_refused(self, errors, every=1):
        message = Message("errno", 15_000)
        home = self.home()
        todo = points(home, self.subject.put(home.path, self.relay.port, RECIPIENTS), message.octets)
        todo = [(e, call, n) for e in errors for call, n in todo if call in FALLIBLE][::every]
        for error, call, n in todo:
            for which in (n, f"{n}+"):
                if which != n and error in ("EINTR", "ENOMEM"):
                    continue  # for ever interrupted is not an error but a hang
                home = self.home()
                status = home.put(message, RECIPIENTS, wrapper(call, which, f"error={error}"))
                point = f"{error} put {call}#{which}"
                # A message that no disk takes may still be submitted at once; then it is not in the queue.
                queued = any(name.startswith("queue/") for name in home.leftovers())
                arrived = self.balance(point, home, message, status)
                self.tally[f"exit {status}"] += 1
                if call == "fsync" and error != "EINTR" and status == 0 and queued:
                    self.complain(point, "acknowledged although it may not be on the disk")
                if arrived != (status == 0):
                    self.complain(point, f"exit {status} but {'arrived' if arrived else 'nothing arrived'}")
        return len(todo)

    def queue_runs(self, what, todo_of):
        """Three messages for two each, one recipient refused for good: everyone gets it, the sender one bounce."""
        template = self.folder / "template"
        shutil.rmtree(template, ignore_errors=True)
        home = Home(self.subject, template, self.relay.port)
        messages = [Message(f"run{n}", 3_000) for n in range(3)]
        recipients = [RECIPIENTS, RECIPIENTS, ["bob@web.example", "reject@web.example"]]
        for message, to in zip(messages, recipients):
            assert home.put(message, to) == 0
        wanted = {(m.id, to) for m, tos in zip(messages, recipients) for to in tos if not to.startswith("reject")}
        home = self.home(template)
        todo = todo_of(points(home, self.subject.flush(home.path, self.relay.port), b""))
        self.relay.take()
        duplicates = []
        for what, call, n in todo:
            home = self.home(template)
            home.flush(wrapper(call, n, what))
            home.flush()
            home.flush()
            arrived = self.relay.take()
            counts = collections.Counter((i, to) for i, to, _ in arrived if to != "alice@example.com")
            bounces = collections.Counter(i for i, to, _ in arrived if to == "alice@example.com")
            point = f"{what} flush {call}#{n}"
            for name in wanted - set(counts):
                self.complain(point, f"never arrived: {name}")
            if sum(bounces.values()) < 1:
                self.complain(point, "no bounce")
            digests = {m.id: m.digest for m in messages}
            if any(digests.get(i, found) != found for i, _, found in arrived):
                self.complain(point, "changed on the way")
            if home.leftovers():
                self.complain(point, f"left behind: {home.leftovers()}")
            twice = [name for name, count in counts.items() if count > 1] + [i for i, c in bounces.items() if c > 1]
            if twice or len(bounces) > 1:
                duplicates.append(f"{call}#{n}")
            self.tally["once" if not twice else "twice"] += 1
        return len(todo), duplicates

    def runs_killed(self):
        return self.queue_runs("kill", lambda todo: [("signal=KILL", call, n) for call, n in todo])

    def runs_refused(self, errors, every=1):
        choose = lambda todo: [(f"error={e}", call, n) for e in errors for call, n in todo if call in FALLIBLE][::every]
        return self.queue_runs("errno", choose)
