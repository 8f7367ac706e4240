"""Many senders and queue runs at once, some of them killed: every acknowledged message arrives, whole, and without
kills exactly once."""

import collections
import random
import signal
import subprocess
import threading
import time

from relay import Relay
from subject import Home, Message

RECIPIENTS = ["bob@web.example", "carol@web.example"]
# A run goes through all that was there when it began, and one relay in Python serves all of them: only a run that
# stands still takes longer.
PATIENCE = 900


def storm(subject, folder, seconds, senders, runs, kills=True):
    relay = Relay(chunking=True)
    home = Home(subject, folder / "storm", relay.port)
    end = time.monotonic() + seconds
    acknowledged, lock, tally = {}, threading.Lock(), collections.Counter()

    def call(argv, octets, chance, within):
        process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=home.environment
        )
        if kills and random.random() < chance:
            threading.Timer(random.random() * within, process.send_signal, (signal.SIGKILL,)).start()
        try:
            process.communicate(octets, timeout=PATIENCE)
        except BrokenPipeError:
            process.wait()
        return process.returncode

    def sender(number):
        count = 0
        while time.monotonic() < end:
            count += 1
            message = Message(f"storm{number}.{count}", random.choice([500, 5_000, 90_000]))
            status = call(subject.put(home.path, relay.port, RECIPIENTS), message.octets, 0.05, 0.02)
            with lock:
                tally["sender killed"] += status < 0
                if status == 0:
                    acknowledged[message.id] = message.digest

    def runner():
        while time.monotonic() < end:
            # A run goes on as long as there is mail, so most must be killed for some to be killed at work.
            status = call(subject.flush(home.path, relay.port), b"", 0.7, 2)
            with lock:
                tally["run killed"] += status < 0
                tally["runs"] += status == 0

    threads = [threading.Thread(target=sender, args=(n,)) for n in range(senders)]
    threads += [threading.Thread(target=runner) for _ in range(runs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    backlog = len(home.leftovers())
    for _ in range(2):
        home.flush(within=PATIENCE)
    counts = collections.Counter()
    violations = []
    for message_id, recipient, found in relay.take():
        counts[message_id, recipient] += 1
        if acknowledged.get(message_id, found) != found:
            violations.append(f"changed on the way: {message_id}")
    for message_id in acknowledged:
        for recipient in RECIPIENTS:
            if not counts[message_id, recipient]:
                violations.append(f"lost: {message_id} for {recipient}")
    twice = sum(count - 1 for count in counts.values())
    # A kill can repeat what a run has under way.
    if twice > tally["run killed"] * subject.at_once * len(RECIPIENTS):
        violations.append(f"{twice} duplicates but only {tally['run killed']} runs killed")
    if home.leftovers():
        violations.append(f"left behind: {home.leftovers()[:5]}")
    figures = dict(tally, acknowledged=len(acknowledged), backlog=backlog)
    figures |= dict(deliveries=sum(counts.values()), duplicates=twice)
    return figures, violations
