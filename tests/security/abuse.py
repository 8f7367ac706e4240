"""The spooler's socket in the hands of somebody who means harm: clients that say nonsense, or stop anywhere, by the
thousand; all the connections one user may have, dripping, while another user sends. Nothing is queued that was not said
to its end, no process ends, none grows."""

import os
import pathlib
import random
import socket
import subprocess
import threading
import time

from relay import Relay

PIECES = [
    b"EHLO x\r\n", b"MAIL FROM:<a@x.org>\r\n", b"RCPT TO:<eve@example.org>\r\n", b"DATA\r\n", b"Subject: s\r\n\r\ntext\r\n",
    b"BDAT 18446744073709551615 LAST\r\n", b"BDAT 100000\r\n", b"BDAT -1 LAST\r\n", b"XQUEUE\r\n", b"XQUEUE JSON\r\n", b"ETRN x\r\n",
    b"MAIL FROM:<" + b"a" * 5000 + b"@x.org>\r\n", b"\0" * 100, b"\xff\xfe\xfd\r\n", b"RSET\r\n", b"VRFY x\r\n", b"A" * 70_000,
    b"MAIL FROM:<> XACCOUNT=../../x XNAME=" + b"+" * 50 + b"\r\n", b"RCPT TO:<|id>\r\n" * 50, b"STARTTLS\r\n\x16\x03\x01\x02", b"\n" * 5000,
]
# One uid may have this many connections.
CONNECTIONS = 8
# Clients before the memory is looked at.
WARM = 2000


def children(process):
    found = [process]
    for task in pathlib.Path(f"/proc/{process}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += children(int(child))
    return found


def resident(processes):
    """Kilobytes."""
    pages = sum(int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1]) for process in processes)
    return pages * os.sysconf("SC_PAGE_SIZE") // 1024


def as_uid(uid, work):
    """Does it in a child of that user; whether it went well."""
    child = os.fork()
    if child == 0:
        try:
            if os.getuid() == 0:
                os.setgroups([])
                os.setgid(uid)
                os.setuid(uid)
            work()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    return os.waitpid(child, 0)[1] == 0


def nonsense(path, count, seed):
    chance = random.Random(seed)
    for _ in range(count):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(5)
            try:
                client.connect(str(path))
                said = b"".join(chance.choice(PIECES) for _ in range(chance.randint(0, 8)))
                if chance.random() < 0.6:
                    said = b"".join(PIECES[:5])[:chance.randint(0, 90)] + said[:chance.randint(0, 200)]
                # Its end never comes: neither a dot, nor a chunk that is as long as it was said to be.
                client.sendall(said.replace(b"\r\n.\r\n", b""))
                if chance.random() < 0.3:
                    client.recv(4096)
            except OSError:
                pass


def campaign(binary, folder, full):
    folder = pathlib.Path(folder)
    folder.chmod(0o755)
    relay = Relay()
    program, path = folder / "sendmail", folder / "run/submit.sock"
    program.write_bytes(binary.read_bytes())
    program.chmod(0o755)
    serve = f'[serve]\nsocket = "{path}"\nconnections = {CONNECTIONS}\nrate = 1000000\n'
    (folder / "user.toml").write_text(serve)
    (folder / "system.toml").write_text(
        f'[accounts.relay]\nhost = "127.0.0.1"\nport = {relay.port}\ntls = "none"\nfrom = "a@x.test"\n'
        f'[spool]\ndirectory = "{folder}/spool"\n{serve}')
    (folder / "system.toml").chmod(0o600)
    # One arena for all threads, so that what grows is ours and not the C library's.
    environment = {"PATH": "/usr/bin:/bin", "MAILCHUTE_CONFIG": f"{folder}/system.toml", "MALLOC_ARENA_MAX": "1"}
    spooler = subprocess.Popen(["mailchute", "serve"], executable=program, stdin=subprocess.DEVNULL, env=environment, cwd="/",
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(500):
            if path.exists():
                break
            time.sleep(0.02)
        count, violations = 100_000 if full else 3_000, []
        # What is allocated once is allocated now.
        as_uid(20_001, lambda: nonsense(path, WARM, 1))
        time.sleep(1)
        before, small = children(spooler.pid), resident(children(spooler.pid))
        as_uid(20_001, lambda: nonsense(path, count, 2))
        time.sleep(1)
        after = children(spooler.pid)
        grown = resident(after) - small
        if before != after:
            violations.append(f"processes {before} became {after}")
        if grown > 1024:
            violations.append(f"grown by {grown} kB")
        queue = list((folder / "spool/queue").iterdir()) if (folder / "spool/queue").is_dir() else []
        if queue or relay.take():
            violations.append(f"queued or sent: {queue}")

        # All the connections of one user, dripping; another user sends beside them.
        ready, over = os.pipe(), os.pipe()

        def drip():
            clients = []
            for _ in range(CONNECTIONS):
                client = socket.socket(socket.AF_UNIX)
                client.connect(str(path))
                clients.append(client)
            os.write(ready[1], b"x")
            os.set_blocking(over[0], False)
            while True:
                for client in clients:
                    try:
                        client.sendall(b"N")
                    except OSError:
                        pass
                time.sleep(0.05)
                try:
                    if os.read(over[0], 1):
                        return
                except BlockingIOError:
                    pass

        dripping = threading.Thread(target=as_uid, args=(20_001, drip))
        dripping.start()
        os.read(ready[0], 1)
        slowest, sent = 0.0, 20
        for number in range(sent):
            begun = time.monotonic()
            who = {"user": 20_002, "group": 20_002, "extra_groups": []} if os.getuid() == 0 else {}
            done = subprocess.run([program, "-i", "bob@example.org"], input=f"Subject: {number}\n\nx\n".encode(), cwd="/",
                                  env={**environment, "MAILCHUTE_CONFIG": f"{folder}/user.toml"}, capture_output=True, **who)
            slowest = max(slowest, time.monotonic() - begun)
            if done.returncode != 0 and os.getuid() == 0:
                violations.append(f"another user is not served: {done.returncode} {done.stderr!r}")
        os.write(over[1], b"x")
        dripping.join()
        arrived, end = 0, time.monotonic() + 30
        while arrived < sent and time.monotonic() < end:
            arrived += len(relay.take())
            time.sleep(0.1)
        if arrived != sent:
            violations.append(f"{sent} handed in beside a dripping neighbour, {arrived} arrived")
        return {"clients that stop anywhere": count + WARM, "grown by, kB": grown,
                "slowest send beside a dripping neighbour": f"{slowest:.2f} s"}, violations
    finally:
        spooler.terminate()
        spooler.wait(60)
