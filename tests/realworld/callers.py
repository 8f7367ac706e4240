"""The programs that call sendmail, unchanged, each over us as /usr/sbin/sendmail, sending to the recording relay.

A file in callers/ is a shell script that makes one program send. Its head says what must arrive:

    # packages: what apt installs for it; the first one's version is shown
    # run-as: root                       default: tester
    # needs: a command that must succeed, else the caller is skipped
    # from: the reverse-path             empty for the null one
    # to: recipients, in any order
    # count: transactions                default: 1; every one must pass
    # header: Name: regex for the whole value
    # no-header: Name
    # body: regex found in the body
    # mail-parameters: / rcpt-parameters: regex for what follows the path
"""

import re
from pathlib import Path

from lab import ADDRESSES, shown
from sink import Sink

FOLDER = Path(__file__).parent / "callers"

CONFIG = """
domain = "lab.example.net"
[accounts.sink]
host = "sink.test"
port = 465
tls = "implicit"
tls-ca-file = "/etc/ca.pem"
from = "account@example.test"
[aliases]
root = "admin@example.test"
"""


class Caller:
    def __init__(self, file):
        self.name, self.script = file.name, file.read_text()
        self.said = re.findall(r"^# ([\w-]+):[ \t]*(.*)$", self.script, re.M)

    def all(self, key):
        return [value for said, value in self.said if said == key]

    def one(self, key, default=""):
        return (self.all(key) or [default])[0]


def run(lab, report):
    callers = [Caller(file) for file in sorted(FOLDER.iterdir()) if report.wants(file.name)]
    if not callers:
        return
    view = lab.view("callers", "callers")
    view.install(lab.client)
    view.write("/etc/mailchute/config.toml", CONFIG)
    sink = Sink(ADDRESSES["sink.test"], lab.certificate("sink.test"))
    table = []
    for caller in callers:
        version = view.call(["dpkg-query", "-W", "-f", "${Package} ${Version}", caller.one("packages").split()[0]]).stdout.decode()
        table.append((caller.name, version))
        if caller.one("needs") and view.call(["sh", "-c", caller.one("needs")]).returncode:
            report.skip(f"caller {caller.name}", "needs " + caller.one("needs"))
            continue
        sink.take(0)
        sink.dialogue.clear()
        problems = play(caller, view, sink)
        if problems:
            problems += ["--- dialogue", *sink.dialogue[-60:], "--- mailq", view.call(["mailq"], user=caller.one("run-as", "tester")).stdout.decode(errors="replace")]
        report.check(f"caller {caller.name}", problems, version)
    print("\n".join(["callers and versions:", *(f"  {name:28} {version}" for name, version in table)]))


def play(caller, view, sink):
    user = caller.one("run-as", "tester")
    folder = f"/tmp/{caller.name}"
    view.write(f"/tmp/scripts/{caller.name}", caller.script)
    view.call(["install", "-d", "-o", user, "-g", user, folder])
    outcome = view.call(["sh", "-c", f"cd {folder} && exec bash -eu -o pipefail /tmp/scripts/{caller.name}"], user=user, seconds=120)
    count = int(caller.one("count", "1"))
    transactions = sink.take(count)
    problems = [] if outcome.returncode == 0 else ["the caller failed: " + shown(outcome)]
    problems += [] if len(transactions) == count else [f"{len(transactions)} transactions instead of {count}: " + shown(outcome)]
    for transaction in transactions:
        problems += compare(caller, transaction)
    return problems


def compare(caller, transaction):
    """What of the transaction is not as the caller's file says."""
    problems = []
    if transaction.reverse_path != caller.one("from"):
        problems.append(f"reverse-path is <{transaction.reverse_path}>")
    if sorted(transaction.recipients) != sorted(caller.one("to").split()):
        problems.append(f"recipients are {transaction.recipients}")
    for expected in caller.all("header"):
        name, _, pattern = expected.partition(":")
        if not any(re.fullmatch(pattern.strip(), value) for value in transaction.values(name)):
            problems.append(f"header {name} is {transaction.values(name)}")
    for name in caller.all("no-header"):
        problems += [f"header {name} was sent on"] if transaction.values(name) else []
    for name in ("Date", "Message-ID", "From"):
        problems += [] if len(transaction.values(name)) == 1 else [f"{len(transaction.values(name))} fields {name}"]
    for pattern in caller.all("body"):
        if not re.search(pattern, transaction.body.decode(errors="surrogateescape")):
            problems.append(f"the body lacks {pattern!r}: {transaction.body[-500:]!r}")
    if not re.fullmatch(caller.one("mail-parameters", ".*"), transaction.mail_parameters):
        problems.append(f"MAIL parameters are {transaction.mail_parameters}")
    for parameters in transaction.recipient_parameters.values():
        if not re.fullmatch(caller.one("rcpt-parameters", ".*"), parameters):
            problems.append(f"RCPT parameters are {parameters}")
    if re.search(rb"(?<!\r)\n|\r(?!\n)", transaction.data):
        problems.append("a bare CR or LF reached the wire")
    return problems + ([transaction.data.decode(errors="surrogateescape")] if problems else [])
