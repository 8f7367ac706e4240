"""What every part of the run stands on: the report, private views of the Debian roots, commands inside them, certificates."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).parent
HOST = "lab.example.net"
ADDRESSES = {"postfix.test": "127.0.0.2", "exim.test": "127.0.0.3", "cyrus.test": "127.0.0.4", "autoconfig.corp.example.net": "127.0.0.6", "sink.test": "127.0.0.9", "sink-of-git.test": "127.0.0.13", "sink-of-mailchute.test": "127.0.0.12", "sink-of-postfix.test": "127.0.0.10", "sink-of-sendmail.test": "127.0.0.11"}


class Report:
    """One line per check, and the details of a failure in a file of the log folder."""

    def __init__(self, logs, match):
        self.logs, self.match = Path(logs), match
        self.passed, self.failed, self.skipped = 0, 0, 0

    def wants(self, name):
        return self.match in name

    def check(self, name, problems, note=""):
        """Prints the verdict on `name`; it fails when `problems` (strings, or one string) holds any."""
        problems = [problems] if isinstance(problems, str) else [problem for problem in problems if problem]
        if problems and problems != [""]:
            self.failed += 1
            print(f"FAIL {name}: {problems[0].splitlines()[0][:200]}", flush=True)
            (self.logs / (re.sub(r"[^\w.-]+", "-", name) + ".txt")).write_text("\n".join(problems) + "\n", errors="surrogateescape")
        else:
            self.passed += 1
            print(f"ok   {name}{'  ' + note if note else ''}", flush=True)

    def skip(self, name, why):
        self.skipped += 1
        print(f"skip {name}: {why}", flush=True)


class View:
    """A throw-away view of a private root, with the program under test as its sendmail (except in the relays' own views)."""

    def __init__(self, lab, root, name):
        self.path = lab.run / name
        subprocess.run([HERE / "roots", "mount", lab.cache, root, self.path], check=True)
        hosts = f"127.0.0.1 localhost\n127.0.0.1 {HOST} lab\n" + "".join(f"{ip} {host}\n" for host, ip in ADDRESSES.items())
        self.write("/etc/hosts", hosts)
        self.write("/etc/hostname", HOST + "\n")
        self.write("/etc/mailname", HOST + "\n")
        self.write("/etc/resolv.conf", "")
        self.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nshadow: files\nhosts: files\n")
        self.write("/etc/ca.pem", (lab.run / "ca.pem").read_bytes())

    def __truediv__(self, inside):
        return self.path / inside.lstrip("/")

    def write(self, inside, content, mode=0o644, owner=None):
        target = self / inside
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        target.write_bytes(content if isinstance(content, bytes) else content.encode())
        target.chmod(mode)
        if owner is not None:
            os.chown(target, owner, owner)

    def install(self, client):
        """Puts the program where callers look for it, as a package would."""
        program = self / "/usr/sbin/sendmail"
        program.touch()
        subprocess.run(["mount", "--bind", client, program], check=True)
        for link, to in {"/usr/lib/sendmail": "../sbin/sendmail", "/usr/bin/mailq": "../sbin/sendmail", "/usr/bin/newaliases": "../sbin/sendmail", "/usr/bin/mailchute": "../sbin/sendmail"}.items():
            (self / link).unlink(missing_ok=True)
            (self / link).symlink_to(to)

    def command(self, argv, user="root", environment=None):
        """The argv that runs `argv` in here as `user`, in that user's home, with a clean environment."""
        name, home = {"root": ("root", "/root"), "tester": ("tester", "/home/tester")}.get(user, (user, "/"))
        variables = {"HOME": home, "USER": name, "LOGNAME": name, "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "TERM": "dumb"}
        variables |= environment or {}
        inside = ["/usr/bin/env", "-i", "-C", home, *(f"{key}={value}" for key, value in variables.items()), *argv]
        return ["chroot", *([] if user == "root" else [f"--userspec={user}:{user}"]), str(self.path), *inside]

    def call(self, argv, stdin=b"", user="root", environment=None, seconds=60):
        try:
            return subprocess.run(self.command(argv, user, environment), input=stdin, capture_output=True, timeout=seconds)
        except subprocess.TimeoutExpired as expired:
            return subprocess.CompletedProcess(argv, -1, expired.stdout or b"", (expired.stderr or b"") + b"\n(timed out)")

    def daemon(self, argv):
        """Starts a program that puts itself into the background; its streams go to a file, since it keeps them open."""
        with open(self.path.with_suffix(".daemons"), "ab") as streams:
            status = subprocess.run(self.command(argv), stdin=subprocess.DEVNULL, stdout=streams, stderr=streams).returncode
        if status:
            raise SystemExit(f"realworld: {argv} exits {status}\n" + Path(streams.name).read_text(errors="replace"))


class Lab:
    """The folders, the certificate authority and the views of one run."""

    def __init__(self, client, cache, logs):
        self.client, self.cache, self.logs = client, Path(cache), Path(logs)
        self.run = Path("/run/mailchute-realworld")
        subprocess.run(["mount", "-t", "tmpfs", "run", "/run"], check=True)
        self.run.mkdir()
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        for address in ADDRESSES.values():
            subprocess.run(["ip", "address", "add", address + "/8", "dev", "lo"], check=True)
        subprocess.run(["hostname", HOST], check=True)
        self._make_certificates()

    def view(self, root, name):
        return View(self, root, name)

    def certificate(self, host):
        return self.run / f"{host}.pem", self.run / f"{host}.key"

    def _make_certificates(self):
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30"]
        ca = [*new, "-subj", "/CN=realworld test CA", "-keyout", self.run / "ca.key", "-out", self.run / "ca.pem"]
        subprocess.run(ca, check=True, capture_output=True)
        for host in [*ADDRESSES, "sender.test"]:
            pem, key = self.certificate(host)
            signed = ["-CA", self.run / "ca.pem", "-CAkey", self.run / "ca.key", "-addext", f"subjectAltName=DNS:{host}", "-addext", "basicConstraints=critical,CA:FALSE"]
            subprocess.run([*new, "-subj", f"/CN={host}", *signed, "-keyout", key, "-out", pem], check=True, capture_output=True)

    def keep(self, view, inside):
        """Copies a file of a view to the log folder."""
        if (view / inside).exists():
            shutil.copy(view / inside, self.logs / f"{view.path.name}-{Path(inside).name}")


def wait_until(condition, seconds=10):
    """Asks `condition` until it holds; gives its last answer."""
    end = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return answer


def port_is_open(address, port):
    import socket

    try:
        socket.create_connection((address, port), 1).close()
        return True
    except OSError:
        return False


def shown(outcome):
    """Exit status and both streams of a finished command, for a failure's details."""
    return f"exit {outcome.returncode}\nstdout: {outcome.stdout.decode(errors='replace')}\nstderr: {outcome.stderr.decode(errors='replace')}"
