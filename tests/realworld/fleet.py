"""Many machines and one relay: each in a network namespace of its own, on a bridge, with a spool of its own and a
configuration in fragments, sends through one Postfix that is stopped and started meanwhile. Nothing is shared between
them but the relay, and every message arrives once."""

import collections
import concurrent.futures
import re
import subprocess
import time

import relays
from lab import shown, wait_until

GATEWAY = "10.77.0.1"
PARSE = """
import sys
from prometheus_client.parser import text_string_to_metric_families as families
for family in families(sys.stdin.read()):
    for sample in family.samples:
        print(sample.name + "".join("." + value for value in sample.labels.values()), int(sample.value))
"""


class Reachable(relays.Postfix):
    """A Postfix at the bridge instead of on loopback, which is stopped as an operator does: it takes no more calls, ends
    those it has, empties its queue. Killed between its queue file and its 250, or between mailbox and queue file, it
    would send twice itself."""

    def configure(self):
        self.address = GATEWAY
        super().configure()

    def launch(self):
        self.view.write("/etc/postfix/master.cf", self.fill("postfix-master.cf"))
        super().launch()

    def halt(self):
        services = [line for line in self.fill("postfix-master.cf").splitlines() if " inet " not in line]
        self.view.write("/etc/postfix/master.cf", "\n".join(services) + "\n")
        self.view.call(["postfix", "reload"])
        wait_until(lambda: not self.is_busy(), 60)
        super().halt()

    def is_busy(self):
        """Whether somebody is connected, or something waits."""
        ports = {f"{port:04X}" for port in (587, 465)}
        calls = [line.split() for line in open("/proc/net/tcp").readlines()[1:]]
        connected = any(call[1].split(":")[1] in ports and call[3] in ("01", "0A") for call in calls)
        spool = self.view / "/var/spool/postfix"
        return connected or any(file.is_file() for part in ("incoming", "active") for file in (spool / part).rglob("*"))


class Machine:
    """One of the fleet: a network, a name, a home with the site's fragment and its own."""

    def __init__(self, lab, number):
        self.name, self.number = f"h{number}", number
        self.home = lab.run / self.name
        folder = self.home / ".config/mailchute/config.d"
        folder.mkdir(parents=True)
        self.metrics = self.home / "mailchute.prom"
        account = f'[accounts.site]\nhost = "postfix.test"\nport = 587\ntls = "starttls"\ntls-ca-file = "{lab.run}/ca.pem"\n'
        account += f'user = "alice@example.test"\npassword = {relays.toml(relays.PASSWORD)}\nfrom = "alice@example.test"\n'
        own = f'domain = "{self.name}.fleet.test"\nmetrics-file = "{self.metrics}"\n'
        for name, text in (("10-site.toml", account), ("90-host.toml", own)):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        self.program = lab.client
        self.plug_in()

    def plug_in(self):
        ip = lambda *words: subprocess.run(["ip", *words], check=True)
        ip("netns", "add", self.name)
        ip("link", "add", f"v{self.number}", "type", "veth", "peer", "name", "eth0", "netns", self.name)
        ip("link", "set", f"v{self.number}", "master", "fleet", "up")
        address = f"10.77.{1 + self.number // 250}.{self.number % 250 + 1}/16"
        ip("-n", self.name, "address", "add", address, "dev", "eth0")
        ip("-n", self.name, "link", "set", "eth0", "up")

    def call(self, script, *words, seconds=300):
        """A shell script on this machine, in which `"$0"` is the program; its name is the host's."""
        environment = {"HOME": str(self.home), "XDG_STATE_HOME": str(self.home), "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        inside = ["unshare", "--uts", "sh", "-c", f'hostname {self.name}.fleet.test; {script}', self.program, *words]
        argv = ["ip", "netns", "exec", self.name, *inside]
        return subprocess.run(argv, env=environment, stdin=subprocess.DEVNULL, capture_output=True, timeout=seconds)

    def send(self, count):
        """Hands in so many messages, one after the other; how each ended is what it prints."""
        script = (
            'n=0; while [ $n -lt $1 ]; do n=$((n + 1)); '
            'printf "To: a@example.test\\nSubject: fleet %s %s\\n\\nhello\\n" $2 $n | "$0" -t; echo $?; done'
        )
        return self.call(script, str(count), self.name)

    def waiting(self):
        folder = self.home / "mailchute/spool/queue"
        return len(list(folder.iterdir())) if folder.is_dir() else 0


def run(lab, report):
    hosts, count = lab.hosts, lab.messages
    name = f"fleet of {hosts} hosts, {count} messages each"
    if not report.wants(name):
        return
    subprocess.run(["ip", "link", "add", "fleet", "type", "bridge"], check=True)
    subprocess.run(["ip", "address", "add", f"{GATEWAY}/16", "dev", "fleet"], check=True)
    subprocess.run(["ip", "link", "set", "fleet", "up"], check=True)
    # The machine's own name service, as this mount namespace sees it.
    (lab.run / "hosts").write_text(f"127.0.0.1 localhost\n{GATEWAY} postfix.test\n")
    subprocess.run(["mount", "--bind", lab.run / "hosts", "/etc/hosts"], check=True)
    relay = Reachable(lab, "postfix")
    machines = [Machine(lab, number) for number in range(hosts)]
    start = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(hosts) as pool:
        sending = [pool.submit(machine.send, count) for machine in machines]
        for share in (1 / 4, 1 / 2):
            due = lambda: len(relay.mailbox("a")) >= share * hosts * count or all(one.done() for one in sending)
            wait_until(due, 120)
            relay.stop()
            time.sleep(2)
            relay.start()
        outcomes = [one.result() for one in sending]
        sent, queued = time.monotonic() - start, sum(machine.waiting() for machine in machines)
        flush = lambda: list(pool.map(lambda machine: machine.call('"$0" -q'), machines))
        flushed = flush() + flush()
    wait_until(lambda: len(relay.mailbox("a")) >= hosts * count, 60)
    took = time.monotonic() - start

    endings = collections.Counter(ending for outcome in outcomes for ending in outcome.stdout.decode().split())
    problems = [] if endings == {"0": hosts * count} else [f"sendmail ended with {dict(endings)}: {shown(outcomes[0])}"]
    note = f"{queued} of {hosts * count} were queued when sending ended after {sent:.0f} s"
    report.check(f"{name}: every sendmail ends with 0, the relay down twice meanwhile", problems, note)

    arrived = collections.Counter(
        re.search(rb"^Subject: (fleet .*)$", message, re.M)[1].decode() for message in relay.mailbox("a")
    )
    wanted = {f"fleet {machine.name} {n}" for machine in machines for n in range(1, count + 1)}
    problems = [f"{subject} came {times} times" for subject, times in arrived.items() if times != 1 or subject not in wanted]
    problems += [f"{subject} never came" for subject in sorted(wanted - set(arrived))]
    problems += [f"{machine.name} has {machine.waiting()} left" for machine in machines if machine.waiting()]
    problems += [shown(outcome) for outcome in flushed if problems and outcome.stderr]
    report.check(f"{name}: all arrive exactly once", problems, f"{len(arrived)} messages, {took:.0f} s in all")
    numbers(lab, report, name, machines, count)
    for log in relay.logs:
        lab.keep(relay.view, log)
    relay.stop()


def numbers(lab, report, name, machines, count):
    """What each machine tells monitoring, read by Prometheus's own Python library."""
    view, problems = lab.view("fleet", "fleet"), []
    for machine in machines:
        read = view.call(["python3", "-c", PARSE], machine.metrics.read_bytes())
        found = dict(line.rsplit(" ", 1) for line in read.stdout.decode().splitlines())
        told = {key: found.get(f"mailchute_{key}") for key in ("messages_total", "recipients_total.accepted", "queue_messages", "account_held.site")}
        if told != {"messages_total": str(count), "recipients_total.accepted": str(count), "queue_messages": "0", "account_held.site": "0"}:
            problems.append(f"{machine.name} tells {told}: {shown(read)}")
        health = machine.call('"$0" health')
        if health.returncode or not health.stdout.startswith(b"MAILCHUTE OK - nothing waits |"):
            problems.append(f"{machine.name}: {shown(health)}")
    report.check(f"{name}: each host's metrics and health say so", problems)
