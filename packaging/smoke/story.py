"""Runs inside the private namespaces of smoke-test.sh: does with the package what its users do, and says what held."""

import pathlib
import shlex
import signal
import sys

import machine as system
from lab import ADDRESSES, Lab, Report, shown, wait_until
from sink import Sink

PASSWORD = "canary-7Qx-of-the-relay"
CONFIG = """
[accounts.relay]
host = "sink.test"
port = 465
tls-ca-file = "/etc/ca.pem"
user = "machine"
{secret}
from = "machine@example.test"
[aliases]
root = "admin@example.test"
"""
KEPT = "/etc/credstore.encrypted/relay-password"
PHP = '<?php exit(mail("bob@example.test", "from PHP", "hello\\n") ? 0 : 1);'
# As distributions cage their services.
CAGE = "systemd-run --quiet --wait --pipe --collect -p NoNewPrivileges=yes -p ProtectSystem=strict -p PrivateTmp=yes"
PAGES = ["8 sendmail", "1 mailq", "1 newaliases", "1 mailchute", "5 mailchute.toml", "7 mailchute-security"]
NAMES = {"/usr/sbin/sendmail", "/usr/lib/sendmail", "/usr/bin/mailq", "/usr/bin/newaliases"}


class Story:
    def __init__(self, lab, report, deb):
        self.report = report
        self.relay = Sink(ADDRESSES["sink.test"], lab.certificate("sink.test"), login=("machine", PASSWORD))
        self.machine = system.Machine(lab)
        why = self.machine.start()
        self.booted = not why
        if why:
            print(f"note: systemd does not start here ({why.splitlines()[0]}): the units are left out, the init script is not")
        self.machine.write("/root/mailchute.deb", pathlib.Path(deb).read_bytes())
        self.before = self.machine.tree()
        self.type = self.machine.type

    def holds(self, name, outcome, *wanted, status=0):
        """A line that ended with `status` and said each of `wanted`."""
        said = (outcome.stdout + outcome.stderr).decode(errors="replace")
        problems = [] if outcome.returncode == status else [f"exit {outcome.returncode} instead of {status}"]
        problems += [f"does not say {text!r}" for text in wanted if text not in said]
        self.report.check(name, problems and [*problems, shown(outcome)])

    def arrives(self, name, outcome, to, subject, seconds=20):
        """A line that ended well, and the one message that the relay then got."""
        taken = self.relay.take(1, seconds)
        problems = [] if outcome.returncode == 0 else ["the sender failed: " + shown(outcome)]
        problems += [] if len(taken) == 1 else [f"{len(taken)} messages arrived"]
        for each in taken:
            problems += [] if each.recipients == [to] else [f"recipients are {each.recipients}"]
            problems += [] if subject in each.values("Subject") else [f"subject is {each.values('Subject')}"]
            problems += [] if each.reverse_path == "machine@example.test" else [f"reverse-path is {each.reverse_path}"]
        if problems:
            problems += ["--- relay", *self.relay.dialogue[-40:], "--- mailq", shown(self.machine.quietly("mailq"))]
            problems += ["--- log", shown(self.machine.quietly("journalctl --no-pager -n 60; systemctl --no-pager status 'mailchute*'"))]
        self.report.check(name, problems)

    def install(self):
        outcome = self.type("apt-get install --yes --no-install-recommends /root/mailchute.deb bsd-mailx")
        self.holds("apt takes it for the mail transport that bsd-mailx needs", outcome, "Setting up mailchute", "Setting up bsd-mailx")
        self.holds("lintian has nothing to say", self.type("lintian --allow-root --display-info --pedantic --fail-on error,warning,info /root/mailchute.deb"))
        self.holds("sendmail and its names are ours", self.type(f"dpkg -S {' '.join(sorted(NAMES))} && readlink -f {' '.join(sorted(NAMES))}"), *(f"mailchute: {name}" for name in NAMES))
        outcome = self.type("find -L $(dpkg -L mailchute) -maxdepth 0 -perm /6000; getcap -r /usr 2>/dev/null; find / -xdev -group mailchute")
        self.report.check("no set-id bit, no capability, one folder of the spooler's", [] if outcome.stdout.decode().split("\n")[0] == "/var/spool/mailchute" else shown(outcome))
        self.holds("what is installed is what was packed", self.type("dpkg --verify mailchute"))
        self.holds("without an account it says so", self.type("echo hello | sendmail root"), "mailchute setup", status=78)

    def units(self):
        self.holds("the socket is open at once", self.type("systemctl is-active mailchute.socket && systemctl is-enabled mailchute.socket mailchute.service mailchute-send.service"))
        self.holds("nothing fails without an account", self.type("systemctl list-units --failed --no-legend 'mailchute*'; ! systemctl is-failed --quiet mailchute.service mailchute-send.service"))
        self.machine.write("/etc/mailchute/config.toml", CONFIG.format(secret='credential = "relay-password"'))
        self.holds("the password is encrypted", self.type(f"mkdir -p -m 700 {pathlib.Path(KEPT).parent} && systemd-creds encrypt --name=relay-password - {KEPT} && ! grep -F canary {KEPT}", stdin=PASSWORD.encode()))
        self.holds("the units start", self.type("systemctl restart mailchute.service mailchute-send.service && systemctl is-active mailchute.service mailchute-send.service"))
        self.holds("they are caged", self.type("systemd-analyze security --no-pager | grep mailchute"), "mailchute-send.service")

    def callers(self):
        self.arrives("mail to root arrives", self.type("echo hello | mail -s 'from mail' root"), "admin@example.test", "from mail")
        self.arrives("a user's mail arrives", self.type("echo hello | mail -s 'from tester' bob@example.test", "tester"), "bob@example.test", "from tester")
        self.machine.write("/tmp/table", "MAILTO=root\n@reboot echo from cron\n")
        outcome = self.type("crontab -u tester /tmp/table && rm -f /run/crond.reboot && systemctl restart cron")
        self.arrives("cron's mail arrives", outcome, "admin@example.test", "Cron <tester@lab> echo from cron")
        self.type("crontab -u tester -r")
        self.machine.write("/srv/page.php", PHP)
        self.arrives("PHP's mail arrives, as www-data in a cage", self.type(f"{CAGE} -p User=www-data php /srv/page.php"), "bob@example.test", "from PHP")
        self.arrives("a service's mail arrives, under a user of the moment", self.type(f"{CAGE} -p DynamicUser=yes bash -c \"printf 'Subject: moment\\n\\nx\\n' | sendmail bob@example.test\""), "bob@example.test", "moment")
        reach = f"cat {KEPT} /run/credentials/mailchute-send.service/relay-password; ls /var/spool/mailchute"
        outcome = self.type(f"{CAGE} -p User=www-data bash -c {shlex.quote(reach)}")
        denied = outcome.stderr.count(b"Permission denied") + outcome.stderr.count(b"No such file")
        self.report.check("www-data reaches neither password nor spool", [] if denied == 3 and not outcome.stdout else shown(outcome))
        search = "grep -rlF -f - /etc /run /srv /var /usr/share/doc/mailchute /proc/[0-9]*/environ /proc/[0-9]*/cmdline 2>/dev/null"
        outcome = self.machine.quietly(search, "www-data", PASSWORD.encode())
        self.report.check("nothing that www-data can read has the password", [] if not outcome.stdout.strip() else shown(outcome))
        outcome = self.machine.quietly("journalctl --no-pager | grep -cF canary")
        self.report.check("nor has the journal", [] if outcome.stdout.strip() == b"0" else shown(outcome))

    def without_network(self):
        """Mail waits, over an upgrade too, and goes when the network is back."""
        self.machine.write("/etc/hosts", "127.0.0.1 localhost\n127.0.0.99 sink.test\n")
        outcome = self.type("echo hello | mail -s patient bob@example.test", "www-data")
        self.holds("without the relay mail waits in silence", outcome)
        wait_until(lambda: b"bob@example.test" in self.machine.quietly("mailq", "www-data").stdout)
        self.holds("mailq shows its sender what waits", self.type("mailq", "www-data"), "bob@example.test")
        self.holds("and nobody else", self.type("mailq", "tester"), "Mail queue is empty")
        self.holds("the package is upgraded", self.type("dpkg --install /root/mailchute.deb && systemctl is-active mailchute.socket mailchute-send.service"))
        self.machine.write("/etc/hosts", "127.0.0.1 localhost\n127.0.0.9 sink.test\n")
        hook = "/usr/lib/NetworkManager/dispatcher.d/90-mailchute eth0 up"
        # The sender has just been started anew: it hears from when its bell is hung.
        wait_until(lambda: self.machine.quietly("ss --unix --all --no-header | grep -q /var/spool/mailchute/bell").returncode == 0, 5)
        self.arrives("what waited arrives when the network is up", self.type(hook), "bob@example.test", "patient")

    def set_up(self):
        """What an administrator does who knows nothing of credentials."""
        self.machine.write("/etc/mailchute/config.toml", "# a file of the administrator's\n")
        self.machine.quietly("cat /etc/ca.pem >>/etc/ssl/certs/ca-certificates.crt")
        line = "mailchute setup machine@example.test --account relay --host sink.test --port 465 --user machine --password-stdin --root admin@example.test"
        self.holds("setup as root writes for the spooler", self.type(line, stdin=PASSWORD.encode()), "its password is the spooler's alone")
        self.holds("whoever sends can read the configuration and not the password", self.type("cat /etc/mailchute/config.toml && ! cat /etc/mailchute/secrets/relay", "www-data"), "# a file", "Permission denied")
        if self.booted:
            outcome = self.type("systemctl restart mailchute.service mailchute-send.service && echo hello | mail -s 'set up' root")
            self.arrives("and mail arrives with it", outcome, "admin@example.test", "set up")
            cage = "nsenter --mount --target $(systemctl show --value -p MainPID mailchute.service)"
            self.holds("which the half that takes mail cannot see", self.type(f"ls -A /etc/mailchute/secrets && test -z \"$({cage} ls -A /etc/mailchute/secrets)\""), "relay")

    def init_script(self):
        if self.booted:
            self.type("systemctl stop mailchute.socket mailchute.service mailchute-send.service")
        script = "/usr/share/doc/mailchute/examples/init.d"
        self.holds("the init script starts the spooler", self.type(f"{script} start"))
        wait_until(lambda: (self.machine / "/run/mailchute/submit.sock").exists())
        self.arrives("and mail arrives", self.type("echo hello | mail -s 'without systemd' root", "www-data"), "admin@example.test", "without systemd")
        self.machine.write("/etc/hosts", "127.0.0.1 localhost\n127.0.0.99 sink.test\n")
        self.type("echo hello | mail -s left root", "www-data")
        self.holds("it stops the spooler", self.type(f"{script} stop && ! pgrep -u mailchute"))

    def pages(self):
        for page in PAGES:
            outcome = self.machine.quietly(f"man --warnings {page} | col -b")
            self.report.check(f"man {page}", [] if outcome.returncode == 0 and len(outcome.stdout) > 500 and not outcome.stderr else shown(outcome))

    def leave(self):
        waiting = self.machine.quietly("find /var/spool/mailchute/queue -type f").stdout
        outcome = self.type("apt-get purge --yes mailchute bsd-mailx")
        self.holds("purging it says that mail stays", outcome, "1 unsent messages stay in /var/spool/mailchute", "holds mail and stays")
        self.report.check("and it does", [] if len(waiting.split()) == 1 and self.machine.quietly("find /var/spool/mailchute/queue -type f").stdout == waiting else "it does not")
        (self.machine / KEPT).unlink(missing_ok=True)
        accounts = {f"/etc/{name}{end}" for name in ("passwd", "group", "shadow", "gshadow", "subuid", "subgid") for end in ("", "-")}
        after = self.machine.tree()
        left = {path for path, about in after.items() if self.before.get(path) != about}
        left = {path for path in left if not path.startswith("/var/spool/mailchute")} - accounts - self.made
        self.report.check("nothing else of it is left", sorted(left))
        gone = sorted(set(self.before) - set(after))
        self.report.check("and nothing is gone that was there", gone)
        self.type("rm /var/spool/mailchute/queue/* && apt-get install --yes --no-install-recommends /root/mailchute.deb && apt-get purge --yes mailchute")
        self.holds("with an empty spool nothing at all stays", self.type("! ls -d /var/spool/mailchute && ! getent passwd mailchute && ! getent group mailchute"))

    # What the test itself has put there.
    made = {"/etc/ssl/certs/ca-certificates.crt", "/etc/hosts", "/etc/credstore.encrypted", "/srv", "/srv/page.php", "/root", "/var/spool/cron/crontabs", "/etc/ld.so.cache"}


def main():
    deb, cache, logs = sys.argv[1:]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    report = Report(logs, "")
    story = Story(Lab(None, cache, logs), report, deb)
    story.install()
    if story.booted:
        story.units()
        story.callers()
        story.without_network()
    story.set_up()
    story.init_script()
    story.pages()
    story.leave()
    print(f"\n{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


sys.exit(main())
