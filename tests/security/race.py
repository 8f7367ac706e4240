"""A neighbour that renames while the queue is run: names in the spool change between entries, links, pipes and forgeries
faster than they can be looked at. Only what was handed in is sent; nothing outside is touched; nothing is lost."""

import ctypes
import os
import pathlib
import shutil
import subprocess
import threading
import time

from relay import Relay

LIBRARY = ctypes.CDLL(None, use_errno=True)
AT_FDCWD, EXCHANGE = -100, 2


def exchange(one, other):
    """Swaps two names in one step, renameat2(2); whether both were there."""
    return LIBRARY.renameat2(AT_FDCWD, os.fsencode(one), AT_FDCWD, os.fsencode(other), EXCHANGE) == 0


class Neighbour:
    """Swaps every entry with a planted object and back, over and over."""

    def __init__(self, queue, planted):
        self.queue, self.planted, self.swaps, self.ended = queue, planted, 0, False
        self.thread = threading.Thread(target=self.work)
        self.thread.start()

    def work(self):
        turn = 0
        while not self.ended:
            for name in os.listdir(self.queue):
                turn += 1
                place, (path, make) = self.queue / name, self.planted[turn % len(self.planted)]
                if not exchange(place, path):
                    continue
                time.sleep(0.0002 * (turn % 5))
                self.swaps += 1
                if not exchange(place, path):
                    # The object was removed or set aside. The entry goes back; another object takes the free place.
                    os.rename(path, place)
                    make(path)

    def stop(self):
        self.ended = True
        self.thread.join()


def campaign(binary, folder, full):
    folder = pathlib.Path(folder)
    relay = Relay()
    spool, config, sendmail = folder / "spool", folder / "config.toml", folder / "sendmail"
    sendmail.symlink_to(binary)
    config.write_text(
        f'[accounts.test]\nhost = "127.0.0.1"\nport = {relay.port}\ntls = "none"\nfrom = "alice@example.com"\n'
        f'[spool]\ndirectory = "{spool}"\n')
    config.chmod(0o600)
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "MAILCHUTE_CONFIG": str(config)}

    def run(*words, text=b""):
        return subprocess.run([sendmail, *words], input=text, env=environment, capture_output=True, timeout=120).returncode

    def put(number, recipient):
        text = f"Message-ID: <{number}@example.com>\nSubject: s\n\nmessage {number}\n".encode()
        return run("-odq", "-i", recipient, text=text)

    # Forgeries: whole entries to somebody else, one of them damaged, and as root one of another user's.
    put("evil", "eve@example.org")
    forged = next((spool / "queue").iterdir()).read_bytes()
    shutil.rmtree(spool)
    outside = folder / "outside"
    outside.mkdir()
    (outside / "secret").write_text("root:x:0:0")
    planted = []

    def plant(make):
        path = folder / f"planted{len(planted)}"
        make(path)
        planted.append((path, make))

    def written(octets, mode, owner=None):
        def make(path):
            path.write_bytes(octets)
            path.chmod(mode)
            if owner:
                os.chown(path, owner, owner)
        return make

    plant(lambda path: path.symlink_to(outside / "secret"))
    plant(lambda path: path.symlink_to(outside))
    plant(lambda path: path.mkdir())
    plant(os.mkfifo)
    plant(written(forged, 0o644))
    plant(written(forged.replace(b"eve@", b"evi@"), 0o600))
    plant(lambda path: os.link(outside / "secret", path))
    if os.getuid() == 0:
        plant(written(forged, 0o600, 4711))
    (outside / "secret").chmod(0o644)
    before = sorted((path.name, path.read_bytes()) for path in outside.iterdir())

    violations, handed_in, runs = [], set(), 0
    put("first", "bob@example.org")
    handed_in.add("first@example.com")
    neighbour = Neighbour(spool / "queue", planted)
    end = time.monotonic() + (60 if full else 8)
    while time.monotonic() < end:
        for _ in range(3):
            number = len(handed_in)
            if put(number, "bob@example.org") == 0:
                handed_in.add(f"{number}@example.com")
        runs += 1
        status = run("-q")
        if status != 0:
            violations.append(f"a queue run ends with {status}")
    neighbour.stop()
    for _ in range(3):
        run("-q")
    accepted = relay.take()
    for identity, recipient, _ in accepted:
        if recipient != "bob@example.org" or identity.strip("<>") not in handed_in:
            violations.append(f"sent to {recipient}: {identity}")
    seen = [identity.strip("<>") for identity, _, _ in accepted]
    elsewhere = b"".join(path.read_bytes() for where in ("queue", "corrupt", "dead")
                         for path in ((spool / where).iterdir() if (spool / where).is_dir() else [])
                         if path.is_file() and not path.is_symlink())
    lost = [one for one in handed_in if one not in seen and one.encode() not in elsewhere]
    violations += [f"lost: {one}" for one in lost]
    twice = len(seen) - len(set(seen))
    if sorted((path.name, path.read_bytes()) for path in outside.iterdir()) != before:
        violations.append("something outside was changed")
    figures = {"swaps": neighbour.swaps, "queue runs": runs, "handed in": len(handed_in), "accepted": len(set(seen)),
               "sent twice": twice}
    return figures, violations
