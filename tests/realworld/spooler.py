#!/usr/bin/env python3
"""Many callers at once through the spooler's socket while it is killed and started again every second: every message
whose sendmail ended with 0 arrives exactly once.

    tests/realworld/spooler.py [--program target/release/mailchute] [--messages 10000] [--callers 50] [--kill KILL|TERM]

As root, callers are of 50 user ids; else they are all the caller. Prints figures; ends with 1 when one was lost or came
twice."""

import argparse
import collections
import os
import pathlib
import shutil
import signal
import socketserver
import subprocess
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Relay(socketserver.ThreadingTCPServer):
    """An SMTP server that takes everything and counts Message-IDs."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 128

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Session)
        self.arrived, self.lock = collections.Counter(), threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        def say(line):
            self.wfile.write(line.encode() + b"\r\n")

        say("220 relay ESMTP")
        while line := self.rfile.readline():
            verb = line[:4].upper()
            if verb == b"EHLO":
                say("250-relay\r\n250-PIPELINING\r\n250 8BITMIME")
            elif verb == b"DATA":
                say("354 go")
                text = []
                while (part := self.rfile.readline()) != b".\r\n":
                    if not part:
                        return
                    text.append(part)
                name = next(part for part in text if part.lower().startswith(b"message-id:"))
                with self.server.lock:
                    self.server.arrived[name.split(b":", 1)[1].strip().decode()] += 1
                say("250 2.0.0 ok")
            elif verb == b"QUIT":
                say("221 bye")
                return
            else:
                say("250 ok")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/mailchute")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=50)
    parser.add_argument("--kill", default="KILL", choices=["KILL", "TERM"])
    asked = parser.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mailchute-spooler-"))
    folder.chmod(0o755)
    relay = Relay()
    program = folder / "sendmail"
    shutil.copy(asked.program, program)
    program.chmod(0o755)
    serve = f'[serve]\nsocket = "{folder}/run/submit.sock"\nrate = 1000000\nqueued = 1000000\nconnections = 240\n'
    account = f'[accounts.relay]\nhost = "localhost"\nport = {relay.server_address[1]}\ntls = "none"\nfrom = "a@x.test"\n'
    (folder / "system.toml").write_text(account + f'[spool]\ndirectory = "{folder}/spool"\n' + serve)
    (folder / "user.toml").write_text(serve)
    environment = {"PATH": "/usr/bin:/bin", "MAILCHUTE_CONFIG": f"{folder}/system.toml"}
    left, lock, tally, acknowledged, over = asked.messages, threading.Lock(), collections.Counter(), [], threading.Event()

    def spooler():
        return subprocess.Popen(
            ["mailchute", "serve"], executable=program, stdin=subprocess.PIPE, env=environment, cwd="/"
        )

    def caller(number):
        nonlocal left
        who = {"user": 20_000 + number, "group": 20_000 + number, "extra_groups": []} if os.geteuid() == 0 else {}
        world = {**environment, "MAILCHUTE_CONFIG": f"{folder}/user.toml"}
        count = 0
        while True:
            with lock:
                if left <= 0:
                    return
                left -= 1
            # A caller that is told to try again does: with a new message, as nobody knows what became of the old one.
            while True:
                count += 1
                name = f"<{number}.{count}@caller.test>"
                text = f"Subject: s\nMessage-ID: {name}\n\n{'line ' * 12}\n".encode()
                begun = time.monotonic()
                done = subprocess.run(
                    [program, "-i", "b@x.test"], input=text, env=world, cwd="/", capture_output=True, **who
                )
                with lock:
                    tally[f"exit {done.returncode}"] += 1
                    tally["slowest"] = max(tally["slowest"], round(time.monotonic() - begun, 2))
                    if done.returncode == 0:
                        acknowledged.append(name)
                        break
                if done.returncode != 75:
                    raise SystemExit(f"{done.returncode} {done.stderr!r}")

    def killer():
        running = spooler()
        while not over.wait(1.0):
            running.send_signal(getattr(signal, f"SIG{asked.kill}"))
            tally["kills"] += 1
            if asked.kill == "KILL":
                running.wait()
            running.stdin.close()
            running = spooler()
        queue = folder / "spool/queue"
        end = time.monotonic() + 300
        while any(queue.iterdir()) and time.monotonic() < end:
            time.sleep(0.1)
        running.send_signal(signal.SIGTERM)
        running.wait(90)

    killing = threading.Thread(target=killer)
    killing.start()
    while not (folder / "run/submit.sock").exists():
        time.sleep(0.01)
    begun = time.monotonic()
    callers = [threading.Thread(target=caller, args=(number,)) for number in range(asked.callers)]
    for thread in callers:
        thread.start()
    for thread in callers:
        thread.join()
    taken = time.monotonic() - begun
    over.set()
    killing.join()
    lost = [name for name in acknowledged if relay.arrived[name] == 0]
    twice = [name for name, count in relay.arrived.items() if count > 1]
    print(dict(tally), f"acknowledged {len(acknowledged)} in {taken:.1f} s, arrived {len(relay.arrived)}")
    print(f"lost {len(lost)}, arrived more than once {len(twice)}, left in the queue {len(list((folder / 'spool/queue').iterdir()))}")
    good = not lost and not twice and len(acknowledged) == asked.messages
    if good:
        shutil.rmtree(folder)
    raise SystemExit(0 if good else f"see {folder}")


main()
