"""A process that holds a password, seen from beside it: what the same user can read of it, what is left in its memory once
the login is over, and what the journal hears."""

import base64
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading

import journal

SECRET = b"CANARY-5up3r-s3cret-of-the-memory"
USER = b"alice"


class Relay:
    """Plain SMTP on loopback that takes PLAIN and then stops, until told to go on."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.logged_in, self.go_on = threading.Event(), threading.Event()
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        connection, _ = self.listener.accept()
        with connection, connection.makefile("rb") as lines:
            say = lambda text: connection.sendall(text + b"\r\n")
            say(b"220 relay.example")
            for line in lines:
                verb = line[:4].upper()
                if verb == b"EHLO":
                    say(b"250-relay.example\r\n250 AUTH PLAIN")
                elif verb == b"AUTH":
                    say(b"235 2.7.0 in")
                elif verb == b"MAIL":
                    self.logged_in.set()
                    self.go_on.wait(20)
                    say(b"451 4.3.0 later")
                else:
                    say(b"221 bye")


def memory(process):
    """All that can be read of a process's memory."""
    with open(f"/proc/{process}/maps") as maps, open(f"/proc/{process}/mem", "rb", 0) as octets:
        for line in maps:
            match = re.match(r"([0-9a-f]+)-([0-9a-f]+) r", line)
            if match and "[v" not in line:
                start, end = (int(text, 16) for text in match.groups())
                try:
                    octets.seek(start)
                    yield octets.read(end - start)
                except (OSError, ValueError):
                    pass


def spellings():
    yield SECRET
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + SECRET)[4:-4]
    yield base64.b64encode(b"\0" + USER + b"\0" + SECRET)


def seen_by_the_same_user(process, uid):
    """What another process of that user can open."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        opened = []
        os.setgroups([])
        os.setgid(uid)
        os.setuid(uid)
        for name in ("mem", "environ", "maps"):
            try:
                with open(f"/proc/{process}/{name}", "rb") as file:
                    if name != "maps" or file.read(1):
                        opened.append(name)
            except OSError:
                pass
        os.write(write, " ".join(opened).encode())
        os._exit(0)
    os.close(write)
    os.waitpid(child, 0)
    with os.fdopen(read, "rb") as pipe:
        return pipe.read().decode().split()


def campaign(binary, folder, _full):
    if os.getuid() != 0:
        return "only root sees the memory of a process that hides it", []
    folder = pathlib.Path(folder)
    os.chown(folder, 65534, 65534)
    sendmail = folder / "sendmail"
    sendmail.symlink_to(binary)
    figures, violations = {}, []
    sources = {
        "password": f"password = '{SECRET.decode()}'",
        "password-file": "password-file = 'secret'",
        "password-command": f"password-command = ['/bin/cat', '{folder}/secret']",
    }
    for source, line in sources.items():
        relay = Relay()
        config, secret = folder / "config.toml", folder / "secret"
        config.write_text(
            f'[accounts.test]\nhost = "127.0.0.1"\nport = {relay.port}\ntls = "none"\nfrom = "a@example.com"\n'
            f'user = "{USER.decode()}"\n{line}\n[spool]\ndirectory = "{folder}/spool"\n')
        secret.write_bytes(SECRET + b"\n")
        for file in (config, secret):
            file.chmod(0o600)
            os.chown(file, 65534, 65534)
        process = subprocess.Popen(
            [sendmail, "-i", "bob@example.org"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, cwd=folder,
            stderr=subprocess.DEVNULL, env={"HOME": str(folder), "MAILCHUTE_CONFIG": str(config)}, user=65534, group=65534,
            extra_groups=[])
        process.stdin.write(b"Subject: s\n\ntext\n")
        process.stdin.close()
        if not relay.logged_in.wait(20):
            violations.append(f"{source}: no login")
            process.send_signal(signal.SIGKILL)
            continue
        opened = seen_by_the_same_user(process.pid, 65534)
        if opened:
            violations.append(f"{source}: the same user reads {opened} of the process")
        whole = b"".join(memory(process.pid))
        found = {spelling[:20].decode(): whole.count(spelling) for spelling in spellings()}
        figures[f"copies in memory behind the login, {source}"] = sum(found.values())
        # What stands in the configuration is held for the next connection; anything else is gone.
        if source != "password" and any(found.values()):
            violations.append(f"{source}: left in memory: {found}")
        relay.go_on.set()
        process.wait(30)
    figures["lines in the journal"], wrong = journal.campaign(binary, folder)
    return figures, violations + wrong
