"""The clock jumps, by years and back, before a deposit, before its first attempt, before a later one: nothing is given up
for it, nothing waits longer than the longest back-off once the clock is right again, and names stay different while time
stands still. Needs libfaketime."""

import collections
import concurrent.futures
import glob
import itertools
import pathlib
import shutil

from relay import Relay
from subject import Home, Message

JUMPS = {"right": None, "ten years back": "-3650d", "eight days on": "+8d", "ten years on": "+3650d", "1970": "@1970-01-02 00:00:00"}
# A little more than the longest back-off with its jitter.
LATER = "+5h"
# The nights on which Berlin changes its clocks.
NIGHTS = ["@2026-10-25 00:59:58", "@2027-03-28 00:59:58"]


def library():
    found = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1")
    return found[0] if found else None


class World:
    def __init__(self, subject, folder):
        self.relay = Relay()
        self.home = Home(subject, folder, self.relay.port)
        self.real = dict(self.home.environment)
        self.due = [self.home.path / "mailchute", "queue", "flush", "--due"]
        self.due[0].symlink_to(subject.binary.absolute())

    def at(self, when, zone="UTC"):
        self.home.environment = {**self.real, "TZ": zone}
        if when:
            # What waits for a peer must not jump with it, nor the times of files.
            self.home.environment |= {"LD_PRELOAD": library(), "FAKETIME": when, "NO_FAKE_STAT": "1", "DONT_FAKE_MONOTONIC": "1"}
        return self

    def entries(self):
        return sum(name.startswith("queue/") for name in self.home.leftovers())


def journey(world, moments, zone):
    """A deposit and two failing attempts, each at its moment; then the clock is right, and the relay willing."""
    deposit, *attempts = moments
    name = " then ".join([*moments])
    message = Message("clock", 2_000)
    world.relay.take()
    if world.at(JUMPS.get(deposit, deposit), zone).home.put(message, ["later@web.example"]) != 0:
        yield f"{name}: not taken"
    for moment in attempts:
        world.at(JUMPS.get(moment, moment), zone).home.flush()
        if world.entries() != 1:
            yield f"{name}: given up, or lost"
    if world.relay.take():
        yield f"{name}: a bounce, or a notice of delay, because of a clock"
    world.relay.patient = True
    world.at(LATER).home.run(world.due)
    arrived = collections.Counter(recipient for _, recipient, _ in world.relay.take())
    if arrived != {"later@web.example": 1} or world.entries():
        yield f"{name}: not sent when its time had come: {dict(arrived)}, {world.entries()} wait"
    world.relay.patient = False
    shutil.rmtree(world.home.path / "spool", ignore_errors=True)


def frozen(world, count):
    """Many deposits at one and the same moment."""
    world.at("2026-11-24 12:00:00")
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda n: world.home.put(Message(f"frozen{n}", 500), ["bob@web.example"]), range(count)))
    return world.entries(), sum(status == 0 for status in done)


def campaign(subject, folder, full):
    if not library():
        return {"skipped": "libfaketime is not installed"}, []
    world = World(subject, pathlib.Path(folder) / "clock")
    journeys = [(moments, "UTC") for moments in itertools.product(JUMPS, repeat=3)]
    journeys += [((night, night, "right"), "Europe/Berlin") for night in NIGHTS]
    if not full:
        journeys = journeys[::6] + journeys[-2:]
    violations = [wrong for moments, zone in journeys for wrong in journey(world, moments, zone)]
    stand, taken = frozen(world, 200 if full else 40)
    if stand != taken:
        violations.append(f"{taken} deposits at one moment, {stand} entries")
    return {"journeys": len(journeys), "deposits while time stood still": taken}, violations
