"""Many callers at once through the spooler's socket while it is killed and started again every second: every message
whose sendmail ended with 0 arrives exactly once. As root, callers are of as many user ids; else they are all the
caller."""

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


def storm(program_file, messages, callers, kill):
    """The figures of a run, as text, and what went wrong."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="mailchute-spooler-"))
    folder.chmod(0o755)
    relay = Relay()
    program = folder / "sendmail"
    shutil.copy(program_file, program)
    program.chmod(0o755)
    serve = f'[serve]\nsocket = "{folder}/run/submit.sock"\nrate = 1000000\nqueued = 1000000\nconnections = 240\n'
    account = f'[accounts.relay]\nhost = "localhost"\nport = {relay.server_address[1]}\ntls = "none"\nfrom = "a@x.test"\n'
    (folder / "system.toml").write_text(account + f'[spool]\ndirectory = "{folder}/spool"\n' + serve)
    (folder / "user.toml").write_text(serve)
    environment = {"PATH": "/usr/bin:/bin", "MAILCHUTE_CONFIG": f"{folder}/system.toml"}
    left, lock, tally, acknowledged, over = messages, threading.Lock(), collections.Counter(), [], threading.Event()

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
                    print(f"exit {done.returncode}: {done.stderr!r}", flush=True)
                    return

    def killer():
        running = spooler()
        while not over.wait(1.0):
            running.send_signal(getattr(signal, f"SIG{kill}"))
            tally["kills"] += 1
            if kill == "KILL":
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
    threads = [threading.Thread(target=caller, args=(number,)) for number in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.monotonic() - begun
    over.set()
    killing.join()
    lost = [name for name in acknowledged if relay.arrived[name] == 0]
    twice = [name for name, count in relay.arrived.items() if count > 1]
    waiting = len(list((folder / "spool/queue").iterdir()))
    figures = (
        f"acknowledged {len(acknowledged)} of {callers} callers in {taken:.1f} s, {tally['kills']} kills, "
        f"{tally['exit 75']} told to try again, slowest {tally['slowest']} s; arrived {len(relay.arrived)}, "
        f"lost {len(lost)}, arrived more than once {len(twice)}, left in the queue {waiting}"
    )
    problems = [f"lost: {lost[:10]}"] if lost else []
    problems += [f"more than once: {twice[:10]}"] if twice else []
    problems += [f"only {len(acknowledged)} acknowledged"] if len(acknowledged) != messages else []
    if problems:
        problems.append(f"see {folder}: {figures}")
    else:
        shutil.rmtree(folder)
    return figures, problems
