"""What is tested: the mailer's commands, and the messages it is given."""

import os
import pathlib
import random
import subprocess

from relay import digest

ROOT = pathlib.Path(__file__).resolve().parents[2]


class StandIn:
    """The one-page mailer of stand_in.rs."""

    name = "stand_in"
    at_once = 1  # messages that a run has under way

    def __init__(self, binary=None):
        self.binary = binary or ROOT / "target/release/examples/stand_in"

    def put(self, home, port, recipients):
        return [self.binary, "put", home / "spool", *recipients]

    def flush(self, home, port):
        return [self.binary, "flush", home / "spool", str(port)]

    def environment(self, home, port):
        return {"PATH": "/usr/bin:/bin", "HOME": str(home)}


class Mailchute:
    """The program itself, as sendmail, against a relay without TLS on this host."""

    name = "mailchute"
    connections = 2
    at_once = connections * 8  # small messages share a flight

    def __init__(self, binary=None):
        self.binary = binary or ROOT / "target/release/mailchute"

    def put(self, home, port, recipients):
        return [home / "sendmail", "-odq", "-i", "-f", "alice@example.com", "--", *recipients]

    def put_by_header(self, home, port, recipients):
        """Recipients are in the message."""
        return [home / "sendmail", "-odq", "-i", "-t", "-f", "alice@example.com"]

    def send(self, home, port, recipients):
        """In the foreground: deposited and submitted by one process."""
        return [home / "sendmail", "-odi", "-i", "-f", "alice@example.com", "--", *recipients]

    def flush(self, home, port):
        return [home / "sendmail", "-q"]

    def environment(self, home, port):
        program = home / "sendmail"
        if not program.is_symlink():
            program.symlink_to(self.binary.absolute())
        config = home / "config.toml"
        if not config.exists():
            config.write_text(
                f'[accounts.test]\nhost = "127.0.0.1"\nport = {port}\ntls = "none"\nfrom = "alice@example.com"\n'
                f"connections = {self.connections}\n"
                '[spool]\ndirectory = "spool"\n'
            )
            config.chmod(0o600)
        # Where an instrumented program counts what it reaches.
        profile = {name: value for name, value in os.environ.items() if name == "LLVM_PROFILE_FILE"}
        return {"PATH": "/usr/bin:/bin", "HOME": str(home), "MAILCHUTE_CONFIG": str(config), **profile}


class Message:
    def __init__(self, name, size, seed=0, to=()):
        line = random.Random(f"{name}{seed}").randbytes(36).hex().encode() + b"\r\n"
        self.id = f"{name}@example.com"
        self.body = (b".dot\r\n" + line * (size // len(line) + 1))[:size].rstrip(b"\r\n") + b"\r\n"
        addressed = f"To: {', '.join(to)}\r\n" if to else ""
        self.octets = (
            f"{addressed}From: alice@example.com\r\nDate: Tue, 24 Nov 2026 14:04:05 +0000\r\n"
            f"Subject: {name}\r\nMessage-ID: <{self.id}>\r\n\r\n"
        ).encode() + self.body
        self.digest = digest(self.body)


class Home:
    """A home directory with a spool, and the mailer's commands in it."""

    def __init__(self, subject, path, port):
        self.subject, self.path, self.port = subject, pathlib.Path(path), port
        self.path.mkdir(exist_ok=True)
        self.environment = subject.environment(self.path, port)

    def run(self, argv, octets=b"", wrapper=(), within=120, **more):
        done = subprocess.run(
            [*wrapper, *argv], input=octets, env=self.environment, capture_output=True, timeout=within, **more
        )
        return done.returncode

    def put(self, message, recipients, wrapper=()):
        return self.run(self.subject.put(self.path, self.port, recipients), message.octets, wrapper)

    def send(self, message, recipients, wrapper=()):
        return self.run(self.subject.send(self.path, self.port, recipients), message.octets, wrapper)

    def flush(self, wrapper=(), **more):
        return self.run(self.subject.flush(self.path, self.port), b"", wrapper, **more)

    def leftovers(self):
        """Names in the spool that should not be there once everything is delivered."""
        found = []
        if not (self.path / "spool").is_dir():
            return found
        for folder in ("queue", "corrupt", "dead"):
            folder = self.path / "spool" / folder
            found += [f"{folder.name}/{name}" for name in (os.listdir(folder) if folder.is_dir() else [])]
        found += [name for name in os.listdir(self.path / "spool") if name.startswith(".tmp.")]
        return found
