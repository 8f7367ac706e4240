"""One table of invocations through Postfix's sendmail, Sendmail and us, each before a recording relay of its own.

Compared: whether the exit status is 0 (Postfix knows no other failure than 75), the reverse-path, the recipients, the ESMTP parameters,
the header fields, the body. Where the two references disagree, agreeing with either is right. Every difference is printed; one from
both that compat/expected-differences does not explain fails.
"""

import fnmatch
import re
import shlex
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lab import ADDRESSES, wait_until
from sink import Sink

FOLDER = Path(__file__).parent / "compat"
PARTS = {"$PLAIN": b"Subject: s\n\nbody\n", "$TO": b"To: bob@example.org\nSubject: s\n\nbody\n"}
ASPECTS = ("exit", "reverse-path", "recipients", "parameters", "header", "body")


class Implementation:
    """A sendmail in its own view, and the sink it relays to."""

    def __init__(self, lab, root, address):
        self.view = lab.view(root, f"compat-{root}")
        self.view.write("/etc/mailname", "lab.example.net\n")
        self.address = address
        self.sink = Sink(address)
        self.prepare(lab)

    def run(self, case):
        self.sink.take(0)
        self.sink.dialogue.clear()
        argv = ["/usr/sbin/sendmail", *case.arguments]
        outcome = converse(self.view.command(argv, "tester"), case.stdin) if "-bs" in argv else self.view.call(argv, case.stdin, "tester", seconds=30)
        self.settle(outcome)
        taken = [one for one in self.sink.take(0) if not is_report(one)]
        return Result(outcome, taken)

    def settle(self, outcome):
        """Waits for a child that delivers behind the caller's back (-odb): nothing tells from outside when it is done."""
        wait_until(lambda: outcome.returncode != 0 or self.sink.transactions, 1)


class Mailchute(Implementation):
    def prepare(self, lab):
        self.view.install(lab.client)
        config = f'domain = "lab.example.net"\nlocal-recipients = "relay"\n[accounts.sink]\nhost = "{self.address}"\nport = 25\ntls = "none"\nfrom = "tester@lab.example.net"\nrewrite-from = "never"\n'
        self.view.write("/etc/mailchute/config.toml", config)


class Postfix(Implementation):
    def prepare(self, lab):
        self.view.write("/etc/postfix/main.cf", (FOLDER / "postfix-main.cf").read_text().replace("@SINK@", self.address))
        self.view.daemon(["postfix", "start"])

    def settle(self, outcome):
        """Until no queue file is left: `maildrop` to `active`, and `deferred`, which nothing here should reach."""
        queues = [self.view / f"/var/spool/postfix/{name}" for name in ("maildrop", "incoming", "active")]
        quiet = lambda: not any(file for queue in queues for file in queue.rglob("*") if file.is_file())
        wait_until(lambda: quiet() and (time.sleep(0.05) or quiet()), 5)


class Sendmail(Implementation):
    def prepare(self, lab):
        for name, source in (("/etc/mail/submit.mc", "submit.mc"),):
            self.view.write(name, (FOLDER / source).read_text().replace("@SINK@", self.address))
        outcome = self.view.call(["sh", "-c", "cd /etc/mail && m4 submit.mc >submit.cf && cp service.switch-nodns service.switch && grep -c ^Dj submit.cf"])
        if outcome.returncode:
            raise SystemExit("realworld: submit.cf: " + outcome.stderr.decode())


class Case:
    def __init__(self, line):
        self.name, arguments, stdin = (part.strip(" ") for part in line.split("::", 2))
        self.arguments = split_arguments(arguments)
        self.stdin = PARTS.get(stdin) or stdin.encode("latin-1").decode("unicode_escape").encode("latin-1")
        if line.split("::", 2)[2].startswith("  "):
            self.stdin = b" " + self.stdin  # a message that begins with a space: ` :: ` and one more


class Result:
    """What came of one invocation, in the aspects that are compared."""

    def __init__(self, outcome, transactions):
        self.outcome, self.transactions = outcome, transactions
        first = transactions[0] if transactions else None
        self.aspects = {
            "exit": "0" if outcome.returncode == 0 else "failure",
            "reverse-path": " ".join(sorted({f"<{one.reverse_path}>" for one in transactions})),
            "recipients": " ".join(sorted(recipient for one in transactions for recipient in one.recipients)),
            "parameters": " ".join(sorted({word for one in transactions for word in parameters(one)})),
            "header": "\n".join(fields(first)) if first else "",
            "body": repr(first.body) if first else "",
        }


def run(lab, report):
    cases = [Case(line) for line in (FOLDER / "cases").read_text().splitlines() if line and not line.startswith("#")]
    cases = [case for case in cases if report.wants(f"compat {case.name}")]
    if not cases:
        return
    names = {"mailchute": (Mailchute, "base", "sink-of-mailchute.test"), "Postfix": (Postfix, "postfix", "sink-of-postfix.test"), "Sendmail": (Sendmail, "sendmail", "sink-of-sendmail.test")}
    implementations = {name: make(lab, root, ADDRESSES[host]) for name, (make, root, host) in names.items()}
    expected = read_expected()
    log = open(lab.logs / "compat.log", "w", errors="surrogateescape")
    used, agreed = set(), 0
    with ThreadPoolExecutor(3) as pool:
        for case in cases:
            results = dict(zip(implementations, pool.map(lambda one: one.run(case), implementations.values())))
            for name, result in results.items():
                print(f"{case.name} {name} exit {result.outcome.returncode} {result.aspects}\n  {result.outcome.stdout!r}\n  {result.outcome.stderr!r}", file=log)
            problems, notes = judge(case, results, expected, used)
            agreed += not problems and not notes
            if problems or notes:
                report.check(f"compat {case.name}", problems, "; ".join(notes))
            else:
                report.passed += 1
    print(f"{len(cases)} invocations, {agreed} without any difference")
    unused = [f"{pattern} {aspect}" for pattern, aspect, _ in expected if (pattern, aspect) not in used]
    if unused and not report.match:
        report.check("compat: every expected difference still differs", "no longer seen: " + ", ".join(unused))


def judge(case, results, expected, used):
    """Unexplained differences, and notes on explained ones."""
    problems, notes = [], []
    ours, postfix, sendmail = (results[name].aspects for name in ("mailchute", "Postfix", "Sendmail"))
    sent = {name: bool(results[name].transactions) for name in results}
    for aspect in ASPECTS:
        if aspect not in ("exit", "recipients") and not (sent["mailchute"] and (sent["Postfix"] or sent["Sendmail"])):
            continue
        references = [side for name, side in (("Postfix", postfix), ("Sendmail", sendmail)) if aspect in ("exit", "recipients") or sent[name]]
        if all(ours[aspect] == side[aspect] for side in references):
            continue
        told = f"{aspect}: " + "; ".join(f"{name} {shorten(results[name].aspects[aspect], [result.aspects[aspect] for result in results.values()])}" for name in results)
        if any(ours[aspect] == side[aspect] for side in references):
            notes.append(f"the references differ in {aspect}, we are with {'Postfix' if ours[aspect] == postfix[aspect] else 'Sendmail'}")
            continue
        entry = next((entry for entry in expected if fnmatch.fnmatch(case.name, entry[0]) and aspect in entry[1].split(",")), None)
        if entry:
            used.add(entry[:2])
            notes.append(f"{aspect} differs: {entry[2]}")
        else:
            problems.append(told)
    return problems, notes


def shorten(text, all_texts):
    """A header without the fields that all have."""
    if "\n" not in text:
        return text or "(none)"
    common = set.intersection(*(set(one.split("\n")) for one in all_texts))
    return " | ".join(line for line in text.split("\n") if line not in common) or "(the same)"


def read_expected():
    """Lines `case-pattern aspect,aspect reason`."""
    lines = (FOLDER / "expected-differences").read_text().splitlines()
    return [tuple(line.split(None, 2)) for line in lines if line and not line.startswith("#")]


def split_arguments(text):
    """Shell words, with $'...' for those that hold control characters."""
    ansi = re.compile(r"\$'((?:[^'\\]|\\.)*)'")
    held = [found.encode().decode("unicode_escape") for found in ansi.findall(text)]
    words = shlex.split(ansi.sub("\uE000", text))
    return [word.replace("\uE000", held.pop(0)) if "\uE000" in word else word for word in words]


def is_report(transaction):
    """A bounce or delivery report of the implementation itself, which we send on other occasions or not at all."""
    return transaction.reverse_path == "" and any(value.startswith("multipart/report") for value in transaction.values("Content-Type"))


def converse(argv, session):
    """Speaks an SMTP session as a client does, one reply awaited before the next command: Sendmail turns away who talks early."""
    newline = b"\r\n" if b"\r\n" in session else b"\n"
    head, _, message = session.partition(b"DATA" + newline)
    data, dot, rest = message.partition(newline + b"." + newline)
    turns = [*(line + newline for line in head.split(newline) if line), b"DATA" + newline, data + dot, *(line + newline for line in rest.split(newline) if line)]
    child = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    said = read_reply(child)
    try:
        for turn in turns:
            child.stdin.write(turn)
            child.stdin.flush()
            if turn == data and not dot:
                break
            said += read_reply(child)
        out, err = child.communicate(timeout=30)
    except BrokenPipeError:
        out, err = child.stdout.read(), child.stderr.read()
        child.stdin = None
        child.wait(30)
    return subprocess.CompletedProcess(argv, child.returncode, said + out, err)


def read_reply(child):
    reply = line = child.stdout.readline()
    while line[3:4] == b"-":
        line = child.stdout.readline()
        reply += line
    return reply


def parameters(transaction):
    words = transaction.mail_parameters.split() + [word for value in transaction.recipient_parameters.values() for word in value.split()]
    return [normal(word) for word in words if not word.startswith(("SIZE=", "ORCPT=", "AUTH="))]


def normal(word):
    """NOTIFY's list in one order."""
    key, _, value = word.partition("=")
    return f"{key}={','.join(sorted(value.split(',')))}" if key == "NOTIFY" else word


def fields(transaction):
    """The header as sorted `name: value`, without what differs by nature: trace fields, and the values of generated fields."""
    lines = []
    for name, value in transaction.header:
        name = name.lower().strip()
        if name in ("received", "x-authentication-warning"):
            continue
        if name in ("date", "message-id", "resent-date", "resent-message-id") and not value.endswith(("+0100", "<mine@example.org>")):
            value = "(generated)"
        lines.append(f"{name}: " + re.sub(r"\s+", " ", value))
    return sorted(lines)
