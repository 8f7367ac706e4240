"""Cuts the power at every block write: the writes and flushes of a real file system under the mailer are recorded, the
disk is rebuilt as it may have been left at each point, the file system recovers, a queue run delivers what is there.

At each point three kinds of disk: everything written so far; only what was flushed; what was flushed and a random part
of the rest, in any order (a disk may write in any order between flushes)."""

import collections
import concurrent.futures
import pathlib
import random
import subprocess
import time

from disk import Recorder
from relay import Relay
from subject import Home, Message

RECIPIENTS = ["bob@web.example", "carol@web.example"]
EXT4 = ["mkfs.ext4", "-q", "-F", "-J", "size=4"]
# name: (megabytes, how it is made, how it is mounted). With data=writeback a length can be on the disk before what
# it is the length of: only there a checksum is all that tells.
SYSTEMS = {
    "ext4": (24, EXT4, "loop"),
    "ext4 data=writeback": (24, EXT4, "loop,data=writeback,nodelalloc"),
    "xfs": (48, ["mkfs.xfs", "-q", "-f", "--unsupported"], "loop,nouuid"),
    "btrfs": (128, ["mkfs.btrfs", "-q", "-f", "--mixed"], "loop"),
}

# Keeps a deposit between its name and its durability while others are made durable, and take it along half-written.
SLOWLY = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:delay_enter=60000:when=1"]


def sh(*argv):
    subprocess.run([str(word) for word in argv], check=True, stdout=subprocess.DEVNULL)


class Cut:
    def __init__(self, subject, folder, system):
        self.subject, self.folder, self.system = subject, pathlib.Path(folder), system
        self.folder.mkdir()
        self.megabytes, self.mkfs, self.options = SYSTEMS[system]
        self.mounted = self.folder / "mounted"
        self.mounted.mkdir()
        self.tally = collections.Counter()
        self.violations = []

    def record(self, workload):
        """Runs a workload on the recording disk; returns the empty disk and the log."""
        image = self.folder / "image"
        with open(image, "wb") as file:
            file.truncate(self.megabytes << 20)
        sh(*self.mkfs, image)
        self.empty = image.read_bytes()
        recorder = Recorder(self.folder / "recorder", image)
        sh("mount", "-o", self.options, recorder.folder / "disk", self.mounted)
        try:
            recorder.mark("begin")
            workload(self.mounted / "home", recorder.mark)
            recorder.mark("end")
        finally:
            sh("umount", self.mounted)
            self.events = recorder.close()

    def deposits(self, messages, at_once):
        """A workload: deposits, so many at a time, then a queue run that delivers half a dozen of them."""

        def work(path, mark):
            relay = Relay(lambda message_id, recipient: mark(f"took {message_id} {recipient}"))
            home = Home(self.subject, path, relay.port)

            def put(message):
                slowly = SLOWLY if at_once > 1 and len(message.body) > 200_000 else []
                if home.put(message, RECIPIENTS, slowly) == 0:
                    mark(f"acked {message.id}")
                else:
                    self.violations.append(f"{self.system}: refused with nothing wrong: {message.id}")

            with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
                list(pool.map(put, messages[: len(messages) * 3 // 4]))
            mark("run")
            home.flush()
            mark("ran")
            with concurrent.futures.ThreadPoolExecutor(at_once) as pool:
                list(pool.map(put, messages[len(messages) * 3 // 4 :]))

        self.messages = {message.id: message for message in messages}
        self.record(work)

    def flushes_per_deposit(self):
        """Behind the first one, which has also made the spool."""
        flushes = acked = 0
        for kind, _, octets in self.events:
            if octets == b"run":
                break
            acked += octets.startswith(b"acked")
            flushes += acked > 0 and kind == "flush"
        return flushes / max(acked - 1, 1)

    def states(self, limit, seed):
        """(point, how, writes) of each disk to look at, spread over the whole log."""
        chance = random.Random(seed)
        begin = next(n for n, event in enumerate(self.events) if event[2] == b"begin")
        end = next(n for n, event in enumerate(self.events) if event[2] == b"end")
        candidates = []
        flushed = begin
        for point in range(begin, end + 1):
            kind = self.events[point][0]
            if kind == "flush":
                flushed = point
            if kind == "mark":
                continue
            candidates.append((point, "all", None))
            if kind == "write":
                candidates.append((point, "flushed", flushed))
                candidates.append((point, "part", flushed))
                candidates.append((point, "part", flushed))
        # A point just behind an acknowledgement is where a lie shows.
        behind = [(n, how, max((m for m in range(n) if self.events[m][0] == "flush"), default=0))
                  for n, event in enumerate(self.events) if begin < n <= end and event[2].startswith(b"acked")
                  for how in ("flushed", "part")]
        candidates = behind + candidates
        if len(candidates) > limit:
            candidates = sorted(chance.sample(candidates[len(behind):], max(limit - len(behind), 0)) + behind[:limit])
        return [(point, how, flushed, chance.random()) for point, how, flushed in candidates]

    def rebuild(self, point, how, flushed, seed):
        disk = bytearray(self.empty)
        chance = random.Random(seed)
        late = []
        for number, (kind, offset, octets) in enumerate(self.events[: point + 1]):
            if kind != "write":
                continue
            if how == "all" or number <= flushed:
                disk[offset : offset + len(octets)] = octets
            else:
                late.append((offset, octets))
        if how == "part":
            kept = [write for write in late if chance.random() < 0.6]
            chance.shuffle(kept)
            for offset, octets in kept:
                disk[offset : offset + len(octets)] = octets
        return disk

    def check_all(self, limit, seed=1, until=None):
        relay = Relay()
        for number, state in enumerate(self.states(limit, seed)):
            # A name of its own: a loop device that somebody still holds open would show the disk before.
            image = self.folder / f"rebuilt{number}"
            if until is not None and time.monotonic() > until:
                break
            point, how, _, _ = state
            image.write_bytes(self.rebuild(*state))
            name = f"{self.system} {how}@{point}"
            mounting = ["mount", "-o", self.options, image, self.mounted]
            if subprocess.run(mounting, stderr=subprocess.DEVNULL).returncode != 0:
                # The file system does not survive its own log: nothing to say about the mailer.
                self.tally["unmountable"] += 1
                image.unlink()
                continue
            try:
                self.check(name, point, relay)
            finally:
                sh("umount", self.mounted)
                image.unlink()
            self.tally["states"] += 1

    def check(self, name, point, relay):
        marks = [octets.decode() for kind, _, octets in self.events[: point + 1] if kind == "mark"]
        acked = {mark.split()[1] for mark in marks if mark.startswith("acked ")}
        took = {tuple(mark.split()[1:]) for mark in marks if mark.startswith("took ")}
        path = self.mounted / "home"
        arrived = []
        if path.exists():
            (path / "config.toml").unlink(missing_ok=True)
            home = Home(self.subject, path, relay.port)
            home.flush()
            home.flush()
            arrived = relay.take()
            corrupt = path / "spool/corrupt"
            self.tally["set aside"] += len(list(corrupt.iterdir())) if corrupt.exists() else 0
        got = {(message_id, recipient) for message_id, recipient, _ in arrived}
        lost = [i for i in acked if any((i, to) not in got | took for to in RECIPIENTS)]
        changed = [i for i, _, found in arrived if i not in self.messages or self.messages[i].digest != found]
        if lost:
            self.tally["states with loss"] += 1
            self.violations.append(f"{name}: acknowledged and lost: {sorted(lost)}")
        if changed:
            self.tally["states with damage"] += 1
            self.violations.append(f"{name}: delivered damaged: {sorted(set(changed))}")
        if len(arrived) > len(got):
            self.violations.append(f"{name}: delivered twice by one run")
        self.tally["delivered again"] += bool(got & took)


def campaign(subject, folder, system, states, at_once=1, until=None):
    sizes = [1_000] if at_once == 1 else [15_000, 120_000, 500_000]
    short = system.replace(" data=", "-")
    messages = [Message(f"{short}{at_once}.{n}", sizes[n % len(sizes)]) for n in range(8 if at_once == 1 else 16)]
    cut = Cut(subject, pathlib.Path(folder) / f"{short}{at_once}", system)
    cut.deposits(messages, at_once)
    cut.check_all(states, until=until)
    return dict(cut.tally, flushes=round(cut.flushes_per_deposit(), 2)), cut.violations
