#!/usr/bin/env python3
"""One spooler for a whole machine, over its socket: PHP under www-data in a cage like systemd's, who sends and reads no
password; and many callers at once while the spooler is killed every second.

The part `spooler` of tests/realworld/run has the storm in small. Whole, on its own:

    tests/realworld/spooler.py storm [--program target/release/mailchute] [--messages 10000] [--callers 50]
                                     [--kill KILL|TERM]

Prints figures; ends with 1 when an acknowledged message was lost or came twice."""

import argparse
import pathlib
import signal
import subprocess
import sys

from lab import shown, wait_until
from names import Names
from relays import PASSWORD, Postfix
from storm import storm

ROOT = pathlib.Path(__file__).resolve().parents[2]
CREDENTIALS = "/run/credentials/mailchute-send.service"
SOCKET = "/run/mailchute/submit.sock"

CONFIG = """
domain = "lab.example.net"
[accounts.relay]
host = "postfix.test"
tls-ca-file = "/etc/ca.pem"
user = "alice@example.test"
credential = "relay-password"
from = "alice@example.test"
[serve]
rate = 1000
"""

PAGE = """<?php
exit(mail("a@example.test", "from the web", "first\\n.\\nlast") ? 0 : 1);
"""

# What mailchute.service and a PHP unit have: NoNewPrivileges, ProtectSystem=strict, ProtectHome, PrivateTmp, no capability.
CAGE = """
set -eu
root=$1; shift
mount --rbind "$root" "$root"
mount -o remount,bind,ro "$root"
for private in tmp var/tmp home root; do mount -t tmpfs -o mode=1777 private "$root/$private"; done
exec chroot "$root" /usr/bin/setpriv --reuid www-data --regid www-data --clear-groups --no-new-privs \
    --bounding-set=-all --inh-caps=-all -- /usr/bin/env -i PATH=/usr/bin:/bin:/usr/sbin "$@"
"""


def run(lab, report):
    if report.wants("spooler: php as www-data"):
        www_data(lab, report)
    if report.wants("spooler: storm"):
        figures, problems = storm(lab.client, 400, 50, "KILL")
        report.check("spooler: storm, each acknowledged message once", problems, figures)


def www_data(lab, report):
    relay = Postfix(lab, "postfix")
    view = lab.view("callers", "spooler")
    view.install(lab.client)
    view.call(["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", "mailchute"])
    owner = int(view.call(["id", "-u", "mailchute"]).stdout)
    view.write("/etc/mailchute/config.toml", CONFIG)
    view.write(f"{CREDENTIALS}/relay-password", PASSWORD + "\n", 0o400, owner)
    view.write("/srv/page.php", PAGE)
    # Its relay is known to DNS alone, and only over TCP.
    view.write("/etc/hosts", "127.0.0.1 localhost\n")
    view.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n")
    # An address of its own: what setup finds has a name server, too.
    view.write("/etc/resolv.conf", "nameserver 127.0.0.54\n")
    names = Names("127.0.0.54", {"postfix.test": relay.address})
    for folder, mode in (("/run/mailchute", "755"), ("/var/spool/mailchute", "700"), (CREDENTIALS, "500")):
        view.call(["install", "-d", "-o", "mailchute", "-g", "mailchute", "-m", mode, folder])
    halves = [half(view, "--accept", {}), half(view, "--send", {"CREDENTIALS_DIRECTORY": CREDENTIALS})]
    try:
        wait_until(lambda: (view / SOCKET).exists())
        show(view, report, relay)
        report.check("spooler: the sender, shut in, has found its relay by DNS over TCP", [] if names.asked["TCP"] else [str(names.asked)], str(names.asked))
    finally:
        for process in halves:
            process.send_signal(signal.SIGTERM)
            process.wait(90)
        lab.keep(view, "/var/log/mailchute.log")
        relay.stop()


def half(view, role, environment):
    """One half of the spooler as its own user, as its unit starts it."""
    user = ["/usr/bin/setpriv", "--reuid", "mailchute", "--regid", "mailchute", "--clear-groups", "--no-new-privs", "--"]
    program = ["/bin/bash", "-c", 'exec -a mailchute /usr/sbin/sendmail serve "$1"', "sh", role]
    command = view.command([*user, *program], environment=environment)
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)


def caged(view, argv):
    return subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "bash", "-c", CAGE, "cage", str(view.path), *argv],
        capture_output=True, timeout=60)


def show(view, report, relay):
    outcome = caged(view, ["php", "/srv/page.php"])
    problems = [] if (outcome.returncode, outcome.stdout, outcome.stderr) == (0, b"", b"") else [shown(outcome)]
    arrived = relay.wait_for("a", "from the web")
    problems += [] if len(arrived) == 1 else [f"{len(arrived)} arrived\n" + relay.words()]
    problems += [] if arrived and arrived[0].endswith(b"\n\nfirst\n.\nlast\n") else ["the body is another one"]
    report.check("spooler: php as www-data without privileges, on a read-only system: mail() arrives", problems)

    status = caged(view, ["sh", "-c", "grep NoNewPrivs /proc/self/status; touch /etc/x /usr/x; id -un"])
    cage = [] if b"NoNewPrivs:\t1" in status.stdout and status.stderr.count(b"Read-only file system") == 2 and status.stdout.endswith(b"www-data\n") else [shown(status)]
    report.check("spooler: www-data is in the cage that was meant", cage)

    secrets = [f"{CREDENTIALS}/relay-password", "/var/spool/mailchute/VERSION"]
    outcomes = [caged(view, ["cat", secret]) for secret in secrets]
    problems = [shown(outcome) for outcome in outcomes if outcome.returncode == 0 or b"Permission denied" not in outcome.stderr]
    report.check("spooler: www-data reads neither the credential nor the spool", problems)

    found = view.call(["sh", "-c", 'find -L "$@" -perm /6000', "sh", "/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases", "/etc/mailchute", "/run/mailchute", "/var/spool/mailchute"])
    report.check("spooler: nothing of ours is set-id", [shown(found)] if found.stdout or found.stderr else [])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["storm"])
    parser.add_argument("--program", type=pathlib.Path, default=ROOT / "target/release/mailchute")
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--callers", type=int, default=50)
    parser.add_argument("--kill", default="KILL", choices=["KILL", "TERM"])
    asked = parser.parse_args()
    figures, problems = storm(asked.program, asked.messages, asked.callers, asked.kill)
    print("\n".join([figures, *problems]))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
