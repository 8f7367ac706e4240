"""Real relays: what a person hands to sendmail must arrive in a real mailbox, byte for byte, by 587 and by 465."""

import hashlib
import re
import time
from pathlib import Path

import discovery
import logins
from lab import ADDRESSES, port_is_open, shown, wait_until

PASSWORD = "correct horse; \"battery\" \\staple"
WRONG_PASSWORD = "Tr0ub4dor-and-3-nowhere-to-be-seen"
CONF = Path(__file__).parent / "relays"

# The only fields that a submission client and a relay may add. Everything else must be the sender's own bytes.
CLIENT_ADDS = {"from", "date", "message-id"}
RELAY_ADDS = {"return-path", "delivered-to", "x-original-to", "received", "envelope-to", "delivery-date", "x-delivered-to"}

LONG_LINE = b"x" * 900 + b" end"
BODIES = {
    "8-bit": "Grüße aus Köln, žluťoučký kůň, 日本\n".encode(),
    "latin-1 and control bytes": bytes(byte for byte in range(1, 256) if byte not in (0, 10, 13)) + b"\n",
    "a line of 904 octets": LONG_LINE + b"\n",
    "dots": b".\n..\n.a\n...\n. \nmiddle.\n.",
    "From lines and trailing blank lines": b"From here\n>From there\n\tFrom tab\ntrailing blanks  \t \n\n\n\n",
    "1 MB": b"".join(b"%07d the quick brown fox jumps over the lazy dog. %s\n" % (n, b"." * (n % 60)) for n in range(12000)),
}


class Relay:
    """A mail server in its own view: TLS and AUTH on 587 and 465, accounts alice and bob, mailboxes a, b, c @example.test."""

    def __init__(self, lab, root, name=None):
        name = name or root
        self.lab, self.name, self.host = lab, name, f"{name}.test"
        self.address = ADDRESSES[self.host]
        self.view = lab.view(root, name)
        for suffix, source in zip(("pem", "key"), lab.certificate(self.host)):
            self.view.write(f"/etc/relay.{suffix}", source.read_bytes(), 0o600 if suffix == "key" else 0o644)
        self.configure()
        self.start()

    def fill(self, source):
        text = (CONF / source).read_text()
        return text.replace("@ADDRESS@", self.address).replace("@HOST@", self.host).replace("@SHA1@", hashlib.sha1(PASSWORD.encode()).hexdigest().upper())

    def start(self):
        try:
            self.launch()
        except SystemExit as stop:
            raise SystemExit(f"{stop}\n{self.words()}")
        if not wait_until(lambda: port_is_open(self.address, 587) and port_is_open(self.address, 465), 20):
            raise SystemExit(f"realworld: {self.name} does not listen\n" + self.words())

    def stop(self):
        self.halt()
        wait_until(lambda: not port_is_open(self.address, 587) and not port_is_open(self.address, 465), 20)

    def words(self):
        return "".join((self.view / log).read_text(errors="replace")[-3000:] for log in self.logs if (self.view / log).exists())

    def mailbox(self, name):
        """The messages in a Maildir, oldest first, as bytes."""
        folder = self.view / f"/var/mail/relay/{name}/new"
        files = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime_ns) if folder.exists() else []
        return [file.read_bytes() for file in files]

    def wait_for(self, name, subject, count=1, seconds=8):
        """The messages with that subject, once there are `count`."""
        wanted = b"\nSubject: " + subject.encode() + b"\n"
        found = lambda: [message for message in self.mailbox(name) if wanted in b"\n" + message.split(b"\n\n", 1)[0] + b"\n"]
        wait_until(lambda: len(found()) >= count, seconds)
        return found()


class Postfix(Relay):
    logs = ["/var/log/postfix.log", "/var/log/dovecot.log"]

    def configure(self):
        self.view.write("/etc/postfix/main.cf", self.fill("postfix-main.cf"))
        self.view.write("/etc/postfix/master.cf", self.fill("postfix-master.cf"))
        self.view.write("/etc/postfix/mailboxes", "".join(f"{name}@example.test {name}/\n" for name in "abc") + "alice@corp.example.net a/\n")
        self.view.write("/etc/dovecot/dovecot.conf", self.fill("dovecot.conf"))
        self.view.write("/etc/dovecot/users", "".join(f"{user}:{{PLAIN}}{PASSWORD}\n" for user in ("alice@example.test", "bob@example.test")))
        self.view.call(["install", "-d", "-o", "tester", "-g", "tester", "/var/mail/relay"])
        self.dovecot = None

    def launch(self):
        self.view.daemon(["dovecot"])
        self.view.daemon(["postfix", "start"])

    def halt(self):
        self.view.call(["postfix", "stop"])
        self.view.call(["dovecot", "stop"])


class Cyrus(Postfix):
    """Postfix with Cyrus's SASL: by saslauthd, which is shown the password, or by its own database, which proves it."""

    logs = ["/var/log/postfix.log"]

    def __init__(self, lab):
        super().__init__(lab, "postfix", "cyrus")

    def configure(self):
        super().configure()
        self.view.write("/etc/postfix/main.cf", self.fill("postfix-main.cf") + self.fill("cyrus-main.cf"))
        self.view.call(["saslpasswd2", "-c", "-p", "-u", "example.test", "alice"], PASSWORD.encode())
        self.view.call(["chown", "postfix", "/etc/sasldb2"])
        self.check_by("saslauthd")

    def check_by(self, method):
        """Takes effect with the next connection: each smtpd reads it when it starts."""
        ways = {"saslauthd": "pwcheck_method: saslauthd\nmech_list: PLAIN LOGIN\n", "auxprop": "pwcheck_method: auxprop\nauxprop_plugin: sasldb\nmech_list: PLAIN LOGIN CRAM-MD5 SCRAM-SHA-1 SCRAM-SHA-256\n"}
        self.name = f"cyrus {method}"
        self.view.write("/etc/postfix/sasl/smtpd.conf", ways[method])
        self.view.call(["postfix", "reload"])

    def launch(self):
        self.view.daemon(["install", "-d", "-o", "root", "-g", "sasl", "-m", "0710", "/run/saslauthd"])
        self.view.call(["usermod", "-a", "-G", "sasl", "postfix"])
        self.view.daemon(["saslauthd", "-a", "sasldb", "-m", "/run/saslauthd", "-n", "1"])
        self.view.daemon(["postfix", "start"])

    def halt(self):
        self.view.call(["postfix", "stop"])
        self.view.call(["sh", "-c", "kill $(cat /run/saslauthd/saslauthd.pid)"])


class Exim(Relay):
    logs = ["/var/log/exim4/mainlog", "/var/log/exim4/paniclog", "/var/log/exim4/rejectlog"]

    def configure(self):
        self.view.write("/etc/exim4/relay.conf", self.fill("exim.conf"))
        self.view.call(["chown", "Debian-exim", "/etc/relay.key"])
        self.view.call(["install", "-d", "-o", "Debian-exim", "-g", "Debian-exim", "/var/mail/relay", "/var/log/exim4", "/run/exim4"])

    def launch(self):
        self.view.daemon(["exim4", "-C", "/etc/exim4/relay.conf", "-bd", "-oP", "/run/exim4/relay.pid"])

    def halt(self):
        self.view.call(["sh", "-c", "kill $(cat /run/exim4/relay.pid)"])


class Sender:
    """A person's view of the program: an account on one relay, one port or both."""

    def __init__(self, lab):
        self.view = lab.view("base", "sender")
        self.view.install(lab.client)
        for suffix, source in zip(("pem", "key"), lab.certificate("sender.test")):
            self.view.write(f"/home/tester/client.{suffix}", source.read_bytes(), 0o600, owner=1000)

    def account(self, relay, ports=None, password=PASSWORD, extra=""):
        port = {587: 'port = 587\ntls = "starttls"\n', 465: 'port = 465\ntls = "implicit"\n', None: ""}[ports]
        config = f'[accounts.work]\nhost = "{relay.host}"\n{port}tls-ca-file = "/etc/ca.pem"\nfrom = "alice@example.test"\n{extra}'
        if password is not None:
            config += f'user = "alice@example.test"\npassword = {toml(password)}\n'
        self.view.write("/home/tester/.config/mailchute/config.toml", config, 0o600, owner=1000)
        for folder in (".config", ".config/mailchute"):
            self.view.call(["chown", "tester:tester", f"/home/tester/{folder}"])

    def send(self, message, *options, seconds=60):
        return self.view.call(["/usr/sbin/sendmail", *options], message, "tester", seconds=seconds)

    def queue(self):
        return self.view.call(["mailq"], user="tester").stdout.decode(errors="replace")


def toml(text):
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def run(lab, report):
    sender = Sender(lab)
    for make, root in ((Postfix, "postfix"), (Exim, "exim")):
        if not any(report.wants(f"{root} {check}") for check in ("587", "465", "587 then 465")) and report.match and root not in report.match:
            continue
        relay = make(lab, root)
        for port in (587, 465):
            sender.account(relay, port)
            submit(report, sender, relay, port)
        recipients(report, sender, relay)
        wrong_password(report, sender, relay)
        outage(report, sender, relay)
        several(report, sender, relay)
        shown = 'tls-cert-file = "/home/tester/client.pem"\ntls-key-file = "/home/tester/client.key"\n'
        if root == "postfix":
            logins.strongest(report, sender, relay, "SCRAM-SHA-256")
            logins.passwords(report, sender, relay, ["PLAIN", "LOGIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"])
            discovery.run(lab, report, sender, relay, PASSWORD)
            logins.certificates(report, sender, relay, shown, "Trusted TLS connection established from")
            large(report, sender, relay)
        else:
            logins.certificates(report, sender, relay, shown + 'auth = "external"\n', "A=external")
        for log in relay.logs:
            lab.keep(relay.view, log)
        relay.stop()
    if not report.match or "cyrus" in report.match:
        relay = Cyrus(lab)
        logins.passwords(report, sender, relay, ["PLAIN", "LOGIN"])
        relay.check_by("auxprop")
        logins.strongest(report, sender, relay, "SCRAM-SHA-256")
        logins.passwords(report, sender, relay, ["PLAIN", "CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"])
        lab.keep(relay.view, relay.logs[0])
        relay.stop()


def submit(report, sender, relay, port):
    name = f"{relay.name} {port}"
    subject = f"hi {port}"
    outcome = sender.send(f"To: a@example.test\nSubject: {subject}\n\nhello\n".encode(), "-t")
    report.check(f"{name}: sendmail -t is delivered, exit 0, silent", silent_success(outcome) or arrived(relay, "a", subject, b"To: a@example.test\nSubject: %s\n" % subject.encode(), b"hello\n"))
    for kind, body in BODIES.items():
        compare_body(report, sender, relay, f"{name}: {kind} arrives as it was", kind + f" {port}", body)
    crlf = b"one\r\n.two\r\n\r\nthree\r\n"
    compare_body(report, sender, relay, f"{name}: CRLF input arrives as lines", f"crlf {port}", crlf, expected=crlf.replace(b"\r\n", b"\n"), line_end=b"\r\n")
    header = f"To: A <a@example.test>,\n\t\"B, b\" <b@example.test>\nX-Odd:   spaces  kept\t\nSubject: header {port}\nx-lower: yes\nBcc: c@example.test\nDate: Mon, 2 Nov 2026 10:00:00 +0100\nMessage-ID: <mine-{port}@example.test>\nFrom: \"Someone Else\" <alice@example.test>\n".encode()
    outcome = sender.send(header + b"\nbody\n", "-t", "-i")
    kept = header.replace(b"Bcc: c@example.test\n", b"")
    problems = silent_success(outcome) or [problem for box in "abc" for problem in arrived(relay, box, f"header {port}", kept, b"body\n", adds=set())]
    report.check(f"{name}: every header byte and their order are kept, Bcc goes out without its field", problems)


def compare_body(report, sender, relay, name, subject, body, expected=None, line_end=b"\n"):
    header = b"From: alice@example.test\nTo: a@example.test\nSubject: %s\nMIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n" % subject.encode()
    outcome = sender.send(header.replace(b"\n", line_end) + line_end + body, "-i", "-t")
    expected = body if expected is None else expected
    expected += b"" if expected.endswith(b"\n") else b"\n"
    report.check(name, silent_success(outcome) or arrived(relay, "a", subject, header, expected))


def recipients(report, sender, relay):
    sender.account(relay, 587)
    subject = "one refused"
    outcome = sender.send(f"To: a@example.test, nobody@example.test, b@example.test\nSubject: {subject}\n\nx\n".encode(), "-t")
    problems = [] if outcome.returncode == 0 else ["exit is not 0: " + shown(outcome)]
    problems += [f"{box} got no copy" for box in "ab" if len(relay.wait_for(box, subject)) != 1]
    report.check(f"{relay.name} 587: one of three recipients refused, the others get it, exit 0", problems)

    outcome = sender.send(b"Subject: all refused\n\nx\n", "nobody@example.test")
    problems = [] if outcome.returncode == 67 else ["exit is not 67: " + shown(outcome)]
    problems += [] if b"550" in outcome.stderr else ["the server's words are missing: " + shown(outcome)]
    report.check(f"{relay.name} 587: the only recipient refused, exit 67 with the server's words", problems)


def wrong_password(report, sender, relay):
    sender.account(relay, 587, WRONG_PASSWORD)
    outcome = sender.send(b"To: a@example.test\nSubject: held\n\nx\n", "-t", "-v")
    text = (outcome.stdout + outcome.stderr).decode(errors="replace")
    problems = []
    problems += [] if outcome.returncode == 0 else ["the message is in the queue, so exit 0: " + shown(outcome)]
    problems += [] if "535" in text else ["the server's 535 is not shown: " + shown(outcome)]
    problems += [] if "hint" in text.lower() or "password" in text.lower() else ["no hint: " + shown(outcome)]
    leaks = [str(file) for file in (sender.view / "/home/tester").rglob("*") if file.is_file() and file.name != "config.toml" and leaked(file.read_bytes())]
    problems += ["the password is in the output: " + text] if leaked(text.encode()) else []
    problems += [f"the password is in {file}" for file in leaks]
    problems += [] if "a@example.test" in sender.queue() else ["not in mailq: " + sender.queue()]
    report.check(f"{relay.name} 587: wrong password, server's words and a hint, password nowhere, message held", problems)

    sender.account(relay, 587)
    outcome = sender.send(b"", "-q")
    problems = [] if outcome.returncode == 0 else [shown(outcome)]
    problems += [] if len(relay.wait_for("a", "held")) == 1 else ["not delivered once after the password was put right: " + shown(outcome)]
    report.check(f"{relay.name} 587: password put right, sendmail -q delivers the held message", problems)


def leaked(data):
    import base64

    plain = WRONG_PASSWORD.encode()
    encoded = [base64.b64encode(plain), base64.b64encode(b"\0alice@example.test\0" + plain)]
    return any(secret in data for secret in [plain, *encoded])


def outage(report, sender, relay):
    sender.account(relay)
    relay.stop()
    outcomes = [sender.send(f"To: a@example.test\nSubject: outage {n}\n\nx\n".encode(), "-t") for n in range(3)]
    problems = [problem for outcome in outcomes for problem in silent_success(outcome)]
    problems += [] if sender.queue().count("a@example.test") == 3 else ["mailq does not list three: " + sender.queue()]
    report.check(f"{relay.name}: relay down, exit 0, silent, queued", problems)

    relay.start()
    outcome = sender.send(b"", "-q")
    problems = silent_success(outcome)
    for n in range(3):
        copies = relay.wait_for("a", f"outage {n}")
        problems += [] if len(copies) == 1 else [f"outage {n} was delivered {len(copies)} times: " + shown(outcome) + sender.queue()]
    sender.send(b"", "-q")
    problems += [] if sum(len(relay.wait_for("a", f"outage {n}")) for n in range(3)) == 3 else ["delivered again"]
    problems += [] if "a@example.test" not in sender.queue() else ["still in mailq: " + sender.queue()]
    report.check(f"{relay.name}: relay back, sendmail -q delivers each once (port found by itself)", problems)


def several(report, sender, relay):
    """Small messages, one refused among them, go out in one run, several under way at once. Exim delivers no more than ten
    of a connection at once."""
    sender.account(relay, 587)
    bodies = [b"number %d\n.\n.dot\nRSET\nMAIL FROM:<x@example.test>\n" % n * (n + 1) for n in range(10)]
    refused = 4
    for n, body in enumerate(bodies):
        to = "nobody@example.test" if n == refused else "a@example.test"
        sender.send(f"To: {to}\nSubject: several {n}.\n\n".encode() + body, "-odq", "-i", "-N", "never", to)
    outcome = sender.send(b"", "-q")
    problems = silent_success(outcome)
    for n, body in enumerate(bodies):
        copies = [copy.split(b"\n\n", 1)[1] for copy in relay.wait_for("a", f"several {n}.", seconds=1 if n == refused else 8)]
        problems += [] if copies == ([] if n == refused else [body]) else [f"{n} arrived {len(copies)} times, or changed"]
    problems += [] if "example.test" not in sender.queue() else ["still in mailq: " + sender.queue()]
    report.check(f"{relay.name} 587: a queue of 10, one of them refused, arrives once and whole", problems)


def large(report, sender, relay):
    name = f"{relay.name} 587: 100 MB"
    if not report.wants(name):
        return
    sender.account(relay, 587)
    line = b"0123456789abcdef" * 4 + b"\n"
    message = b"To: a@example.test\nSubject: large\n\n" + line * (100_000_000 // len(line))
    sender.view.write("/tmp/large", message)
    start = time.monotonic()
    outcome = sender.view.call(["python3", "-c", MEASURE], user="tester", seconds=180)
    seconds = time.monotonic() - start
    problems = [] if outcome.returncode == 0 else [shown(outcome)]
    arrived_ones = relay.wait_for("a", "large", seconds=60)
    problems += [] if arrived_ones and arrived_ones[0].endswith(message.split(b"\n\n", 1)[1]) else ["did not arrive as it was"]
    peak = int(outcome.stdout.split()[-1]) if outcome.stdout.split() else 0
    problems += [] if peak < 16_000 else [f"peak memory {peak} KiB, the aim is under 16 MB"]
    report.check(f"{name} in constant memory", problems, f"peak {peak} KiB resident, {seconds:.1f} s")


# The kernel's own figure, while the program runs. That of a finished child would count the interpreter too, whose memory
# the child has until it executes.
MEASURE = """
import re, subprocess, time
child = subprocess.Popen(["/usr/sbin/sendmail", "-t", "-i"], stdin=open("/tmp/large", "rb"))
peak = 0
while child.poll() is None:
    found = re.search("VmHWM:\\s*(\\d+)", open(f"/proc/{child.pid}/status").read())
    peak = int(found[1]) if found else peak
    time.sleep(0.01)
print(peak)
raise SystemExit(child.returncode)
"""


def silent_success(outcome):
    quiet = outcome.returncode == 0 and not outcome.stdout and not outcome.stderr
    return [] if quiet else ["not a silent success: " + shown(outcome)]


def arrived(relay, box, subject, header, body, adds=CLIENT_ADDS):
    """Problems of the one message with `subject` in `box`: its own fields must be `header` in order, its body `body`."""
    copies = relay.wait_for(box, subject)
    if len(copies) != 1:
        return [f"{len(copies)} copies in {box}\n" + relay.words()]
    got_header, _, got_body = copies[0].partition(b"\n\n")
    own = []
    for one in re.split(rb"\n(?![ \t])", got_header):
        name = one.partition(b":")[0].decode(errors="replace").lower()
        if one.startswith(b"From ") or name in RELAY_ADDS:
            continue
        own.append(one)
    given = re.split(rb"\n(?![ \t])", header.rstrip(b"\n"))
    extra = [one for one in own if one not in given]
    problems = [f"field added: {one!r}" for one in extra if one.partition(b":")[0].decode().lower() not in adds]
    if [one for one in own if one in given] != given:
        problems.append(f"the header changed:\n{header!r}\n{got_header!r}")
    if got_body != body:
        problems.append(f"the body changed: {difference(body, got_body)}")
    return problems


def difference(expected, got):
    at = next((n for n, (a, b) in enumerate(zip(expected, got)) if a != b), min(len(expected), len(got)))
    return f"at octet {at} of {len(expected)} (got {len(got)}): expected {expected[at:at + 60]!r}, got {got[at:at + 60]!r}"
