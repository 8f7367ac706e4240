"""git's own t9001-send-email: its fake sendmail records as ever, then hands the same arguments and message on to us.

Every one of git's tests must still pass, so every exit status is as git wants it; and what the relay gets must be what git wrote, with
the recipients that git named.
"""

import json
import re

from lab import ADDRESSES, HOST, shown
from relays import CLIENT_ADDS
from sink import Sink

SOURCE = "/usr/src/git"

# Behind the line of t9001 that saves the message. Its lines stay as many as they were: the tests count those of a patch that adds it. `$first` is the argument that its `shift` drops.
HAND_ON = r"""#!/usr/bin/python3
import json, subprocess, sys
message, log, arguments = open(sys.argv[1], "rb").read(), sys.argv[2], sys.argv[3:]
done = subprocess.run(["/usr/sbin/sendmail", *arguments], input=message, capture_output=True)
record = {"arguments": arguments, "message": message.decode("latin-1"), "exit": done.returncode, "said": (done.stdout + done.stderr).decode("latin-1")}
open(log, "a").write(json.dumps(record) + "\n")
sys.exit(done.returncode)
"""


def run(lab, report):
    if not report.wants("git t9001"):
        return
    view = lab.view("git", "git")
    view.install(lab.client)
    address = ADDRESSES["sink-of-git.test"]
    view.write("/etc/mailchute/config.toml", f'domain = "lab.example.net"\nlocal-recipients = "relay"\n[accounts.sink]\nhost = "{address}"\nport = 25\ntls = "none"\nfrom = "tester@lab.example.net"\nrewrite-from = "never"\n')
    sink = Sink(address)

    view.write("/usr/local/bin/hand-on", HAND_ON, 0o755)
    test = (view / f"{SOURCE}/t/t9001-send-email.sh").read_text()
    test, replaced = re.subn(r"^(\s*)shift\n", r'\1first=$1; shift\n', test, count=1, flags=re.M)
    test, again = re.subn(r'^(\s*)cat >"msgtxt\$output"\n', r'\1cat >"msgtxt$output"; exec hand-on "msgtxt$output" /tmp/handed-on "$first" "$@"\n', test, count=1, flags=re.M)
    if (replaced, again) != (1, 1):
        report.check("git t9001: its fake sendmail is where it was", "t9001-send-email.sh has changed")
        return
    view.write(f"{SOURCE}/t/t9001-send-email.sh", test, 0o755)
    version = view.call([f"{SOURCE}/bin-wrappers/git", "--version"]).stdout.decode().strip()
    outcome = view.call(["sh", "-c", f"cd {SOURCE}/t && TEST_OUTPUT_DIRECTORY=/tmp ./t9001-send-email.sh --root=/tmp --verbose"], user="tester", seconds=540)
    results = outcome.stdout.decode(errors="replace")
    (lab.logs / "t9001.log").write_text(shown(outcome))
    passed, failed = len(re.findall(r"^ok ", results, re.M)), re.findall(r"^not ok .*(?<!# TODO known breakage)$", results, re.M)
    report.check("git t9001: every test passes", failed or ([] if passed else [shown(outcome)]), f"{version}, {passed} tests")

    handed = [json.loads(line) for line in (view / "/tmp/handed-on").read_text().splitlines()] if (view / "/tmp/handed-on").exists() else []
    taken = sink.take(len(handed))
    report.check("git t9001: each exit 0 and silent", [str(one) for one in handed if one["exit"] or one["said"]], f"{len(handed)} messages")
    problems = [] if len(taken) == len(handed) and handed else [f"{len(handed)} handed on, {len(taken)} arrived"]
    problems += [problem for one, transaction in zip(handed, taken) for problem in compare(one, transaction)]
    report.check("git t9001: the relay gets what git wrote, and git's recipients", problems)


def compare(handed, transaction):
    options, recipients = split(handed["arguments"])
    problems = []
    recipients = [name if "@" in name else f"{name}@{HOST}" for name in recipients]
    if sorted(set(recipients)) != sorted(transaction.recipients):
        problems.append(f"recipients {transaction.recipients} of {handed['arguments']}")
    if "-f" in options and transaction.reverse_path != options[options.index("-f") + 1]:
        problems.append(f"reverse-path {transaction.reverse_path} of {handed['arguments']}")
    header, _, body = handed["message"].encode("latin-1").partition(b"\n\n")
    if transaction.body != crlf(body):
        problems.append(f"the body changed: {body!r} {transaction.body!r}")
    given, got = own_fields(crlf(header).rstrip(b"\r\n")), own_fields(transaction.data.partition(b"\r\n\r\n")[0])
    added = [field for field in got if field not in given]
    if [field for field in got if field in given] != given or {field.partition(b":")[0].decode().lower() for field in added} - CLIENT_ADDS:
        problems.append(f"the header changed: {given} {got}")
    return problems


def own_fields(header):
    """The fields, without the domain of this host: some tests write bare names, and these we complete."""
    return re.split(rb"\r\n(?![ \t])", header.replace(f"@{HOST}".encode(), b""))


def split(arguments):
    """git writes `[-f SENDER] -i RECIPIENT...`."""
    at = arguments.index("-i") + 1 if "-i" in arguments else len(arguments)
    return arguments[:at], arguments[at:]


def crlf(text):
    text = text if text.endswith(b"\n") or not text else text + b"\n"
    return text.replace(b"\n", b"\r\n")
