"""Each kind of process under strace: it shuts itself in before it connects to a relay or takes a local caller, and what it
opens and runs afterwards is what it said it needs."""

import os
import pathlib
import re
import shutil
import socket
import subprocess
import time

from argv import paths
from relay import Relay

CALLS = "connect,accept,accept4,execve,execveat,open,openat,openat2,clone,clone3,fork,vfork,landlock_restrict_self"
WHOLE = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)(.*)$")
BEGUN = re.compile(r"^(\d+) +(\w+)\((.*?) *<unfinished \.\.\.>$")
ENDED = re.compile(r"^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)(.*)$")
MESSAGE = b"To: bob@example.org\nSubject: s\n\ntext\n"
SESSION = b"EHLO x\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<bob@example.org>\r\nDATA\r\nSubject: s\r\n\r\nb\r\n.\r\nQUIT\r\n"
SYSTEM = ("/usr/", "/lib/", "/lib64/", "/proc/", "/run/systemd/", "/run/userdb")
ETC = ("ld.so.cache nsswitch.conf localtime resolv.conf hosts host.conf gai.conf passwd group").split()


def calls(trace):
    """The calls of a trace in the order in which they ended: thread, name, arguments, result."""
    begun = {}
    for line in trace.splitlines():
        if match := BEGUN.match(line):
            begun[match[1], match[2]] = match[3]
        elif match := ENDED.match(line):
            yield match[1], match[2], begun.pop((match[1], match[2]), "") + match[3], int(match[4])
        elif match := WHOLE.match(line):
            yield match[1], match[2], match[3], int(match[4])


def wrongs(trace, allowed):
    """What was not to happen; how many processes shut themselves in; what was done inside."""
    inside, walls, done, found = set(), 0, 0, []
    trace = list(calls(trace))
    # A child can be seen at work before its parent has come back from making it.
    parents = {str(result): thread for thread, name, _, result in trace if name in ("clone", "clone3", "fork", "vfork") and result > 0}
    made = {}
    for thread, name, arguments, result in trace:
        if thread not in made:
            made[thread] = True
            if parents.get(thread) in inside:
                inside.add(thread)
        if name == "landlock_restrict_self" and result == 0:
            inside.add(thread)
            walls += 1
        elif name == "connect" and "AF_INET" in arguments and thread not in inside:
            found.append(f"connects before it is shut in: {arguments}")
        elif name.startswith("accept") and result >= 0 and thread not in inside:
            found.append(f"takes a caller before it is shut in: {arguments}")
        elif thread in inside and result >= 0:
            done += name in ("connect", "accept4") or name.startswith("open")
            if name.startswith("exec"):
                found.append(f"runs a program inside: {arguments}")
            elif name.startswith("open") and "O_PATH" not in arguments:
                found += [f"opens {path} inside" for path in paths(arguments)[:1] if not allowed(os.path.normpath(path))]
    return found, walls, done


class World:
    def __init__(self, folder, port, binary):
        self.root = pathlib.Path(folder)
        for name in ("sendmail", "mailchute"):
            (self.root / name).symlink_to(binary)
        self.spool, self.log, self.socket = self.root / "spool", self.root / "log", self.root / "run/submit.sock"
        account = f'[accounts.test]\nhost = "localhost"\nport = {port}\ntls = "none"\nfrom = "alice@example.com"\n'
        tables = f'[spool]\ndirectory = "{self.spool}"\n[serve]\nsocket = "{self.socket}"\n'
        self.write("plain", f'log-file = "{self.log}"\n{account}{tables}')
        self.write("program", f'{account}user = "u"\npassword-command = ["/bin/echo", "secret"]\n{tables}')
        self.write("nobody", tables)

    def write(self, name, text):
        (self.root / f"{name}.toml").write_text(text)
        (self.root / f"{name}.toml").chmod(0o600)

    def environment(self, config):
        return {"PATH": "/usr/bin:/bin", "HOME": str(self.root), "MAILCHUTE_CONFIG": f"{self.root}/{config}.toml"}

    def traced(self, argv):
        return ["strace", "-f", "-qq", "-y", "-s", "256", "-e", f"trace={CALLS}", "-o", self.root / "trace", *argv]

    def trace(self, config, argv, octets):
        """The trace of a command and of all that it leaves running."""
        subprocess.run(
            self.traced([self.root / "sendmail", *argv]), input=octets, env=self.environment(config),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/", timeout=60)
        return (self.root / "trace").read_text(errors="replace")

    def trace_spooler(self):
        running = subprocess.Popen(
            self.traced([self.root / "mailchute", "serve"]), stdin=subprocess.PIPE, env=self.environment("plain"), cwd="/")
        wait_for(lambda: answers(self.socket))
        subprocess.run(
            [self.root / "sendmail", "-i", "bob@example.org"], input=MESSAGE, env=self.environment("nobody"), cwd="/", check=True)
        wait_for(lambda: not any((self.spool / "queue").iterdir()))
        running.stdin.close()
        running.wait(60)
        return (self.root / "trace").read_text(errors="replace")

    def allowed(self, path):
        inside = path == str(self.spool) or path.startswith(f"{self.spool}/")
        system = path in ("/usr", "/dev/null", "/etc/ssl/certs/ca-certificates.crt") or path.startswith(SYSTEM)
        return inside or system or path == str(self.log) or path in [f"/etc/{name}" for name in ETC]


def answers(path):
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        return True
    except OSError:
        return False


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError
        time.sleep(0.05)


def campaign(binary, folder, _full):
    if not shutil.which("strace"):
        return "strace is not installed", []
    relay = Relay()
    world = World(folder, relay.port, binary)
    told = subprocess.run(
        [world.root / "mailchute", "doctor"], env=world.environment("nobody"), capture_output=True, text=True).stdout
    offered = next(line for line in told.splitlines() if line[2:].startswith("sandbox: "))
    if "Landlock)" not in offered:
        return offered, []
    to_bob = ["-i", "bob@example.org"]
    kinds = {
        "send": lambda: world.trace("plain", to_bob, MESSAGE),
        "send, with a program for the password": lambda: world.trace("program", to_bob, MESSAGE),
        "send behind the caller's back": lambda: world.trace("plain", ["-odb", *to_bob], MESSAGE),
        "queue run": lambda: world.trace("plain", ["-odq", *to_bob], MESSAGE) and world.trace("plain", ["-q"], b""),
        "an SMTP session": lambda: world.trace("plain", ["-bs"], SESSION),
        "spooler": world.trace_spooler,
    }
    figures, violations = {"offered": offered.split("sandbox: ")[1]}, []
    for kind, trace in kinds.items():
        found, walls, done = wrongs(trace(), world.allowed)
        figures[kind] = f"shut in {walls} times, {done} connections, callers and files inside"
        violations += [f"{kind}: {one}" for one in dict.fromkeys(found)]
        if not walls or not done:
            violations.append(f"{kind}: nothing was shut in")
    return figures, violations
