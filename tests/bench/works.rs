//! The works: what is measured, and how a contender is put to it.

use super::contenders::{Contender, Message};
use super::delay::SlowPath;
use super::measure::{Cost, Task};
use super::sink::Sink;
use super::table::{Better, FLOOR, OURS, Row};
use super::{Relay, Security};
use std::io::Read;
use std::process::{Child, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Longer than any work that goes well; what was done by then counts.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at what the sink has seen.
const LOOK: Duration = Duration::from_micros(100);

type Contenders<'a> = &'a mut [Box<dyn Contender>];

fn each(contenders: Contenders, relay: &Relay, mut work: impl FnMut(&mut dyn Contender)) {
    for contender in contenders {
        match contender.prepare(relay) {
            Ok(()) => work(contender.as_mut()),
            Err(error) => eprintln!("bench: {}: {error}", contender.name()),
        }
        contender.rest();
    }
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Says so when a run did not do what it was to do; its figures are left out.
fn only_good(name: &str, work: &str, costs: Vec<Cost>) -> Vec<Cost> {
    let (good, bad): (Vec<Cost>, Vec<Cost>) = costs.into_iter().partition(|cost| cost.succeeded);
    if !bad.is_empty() {
        eprintln!("bench: {name}: {} of {} runs failed: {work}", bad.len(), bad.len() + good.len());
    }
    good
}

/// One message by a process that has to start for it, over loopback.
pub fn cold_send(contenders: Contenders, relay: &Relay, sink: &Sink, message: &Message, runs: usize) -> Vec<Row> {
    let port = relay.security.port();
    let row = |figure: &str, wanted| Row::new(format!("cold send {port}, {figure}"), Better::Less, wanted);
    let mut wall = row("wall ms", "");
    let mut cpu = row("CPU ms", "<= 3.0");
    let mut peak = row("peak MiB", "<= 5");
    let mut instructions = row("instructions M", "<= 6");
    let mut flights = row("flights", "");
    each(contenders, relay, |contender| {
        if let Some(task) = contender.send(message, 1) {
            task.measure(2);
            sink.tally.take();
            let costs = only_good(contender.name(), "cold send", task.measure(runs));
            let seen = sink.tally.take();
            if seen.messages < costs.len() as u64 {
                eprintln!("bench: {}: {} of {} arrived", contender.name(), seen.messages, costs.len());
            }
            wall.add(contender.name(), costs.iter().map(|cost| milliseconds(cost.wall)));
            cpu.add(contender.name(), costs.iter().map(|cost| milliseconds(cost.cpu)));
            peak.add(contender.name(), costs.last().map(|cost| cost.peak as f64 / 1024.0));
            flights.add(contender.name(), [seen.flights as f64 / seen.connections.max(1) as f64]);
            let counted = task.instructions();
            if sink.tally.take().messages == 1 {
                instructions.add(contender.name(), counted);
            }
        } else if let Some(task) = contender.hand_over(message, 1) {
            let times = (0..runs + 1).filter_map(|_| until_accepted(&task, sink, 1)).skip(1);
            wall.add(contender.name(), times.map(milliseconds));
        }
    });
    vec![wall, cpu, peak, instructions, flights]
}

/// Wall time in round trips.
pub fn round_trips(
    contenders: Contenders,
    relay: &Relay,
    sink: &Sink,
    path: &SlowPath,
    (message, recipients): (&Message, usize),
    runs: usize,
) -> Row {
    let round_trip = Duration::from_millis(100);
    path.set_round_trip(round_trip);
    let verb = if relay.offer == super::sink::Offer::Chunking { "BDAT" } else { "DATA" };
    let wanted = match (relay.security, verb) {
        (Security::Starttls, "BDAT") => "<= 8.4",
        (Security::Starttls, _) => "<= 9.4",
        (Security::Implicit, "BDAT") => "<= 6.4",
        (Security::Implicit, _) => "<= 7.4",
    };
    let figure = format!("{} {verb}, {recipients} rcpt at 100 ms RTT, round trips", relay.security.port());
    let mut row = Row::new(figure, Better::Less, wanted);
    each(contenders, relay, |contender| {
        let trips = |time: Duration| time.as_secs_f64() / round_trip.as_secs_f64();
        if let Some(task) = contender.send(message, recipients) {
            let costs = only_good(contender.name(), "round trips", task.measure(runs));
            row.add(contender.name(), costs.iter().map(|cost| trips(cost.wall)));
        } else if let Some(task) = contender.hand_over(message, recipients) {
            let times = (0..runs).filter_map(|_| until_accepted(&task, sink, recipients as u64));
            // The relay has it half a round trip before a client can know.
            row.add(contender.name(), times.map(|time| trips(time + round_trip / 2)));
        }
    });
    row
}

/// A body of 100 MB.
pub fn large(contenders: Contenders, relay: &Relay, sink: &Sink, message: &Message, runs: usize) -> Vec<Row> {
    let row = |figure: &str, wanted| Row::new(format!("100 MB {:?}, {figure}", relay.offer), Better::Less, wanted);
    let (mut wall, mut cpu, mut peak) = (row("wall s", ""), row("CPU s", "<= 0.30"), row("peak MiB", "<= 8"));
    each(contenders, relay, |contender| {
        let Some(task) = contender.send(message, 1) else { return };
        sink.tally.take();
        let costs = only_good(contender.name(), "100 MB", task.measure(runs));
        let octets = sink.tally.take().octets / runs as u64;
        if octets < 100_000_000 {
            return eprintln!("bench: {}: only {octets} octets of 100 MB arrived", contender.name());
        }
        wall.add(contender.name(), costs.iter().map(|cost| cost.wall.as_secs_f64()));
        cpu.add(contender.name(), costs.iter().map(|cost| cost.cpu.as_secs_f64()));
        peak.add(contender.name(), costs.last().map(|cost| cost.peak as f64 / 1024.0));
    });
    vec![wall, cpu, peak]
}

/// Messages a second into the queue, each by a process of its own.
pub fn deposits(contenders: Contenders, relay: &Relay, message: &Message, (rounds, count): (usize, usize)) -> Vec<Row> {
    let row = |figure: &str, better, wanted| Row::new(format!("deposit, {figure}"), better, wanted);
    let mut one = row("1 sender /s", Better::More, ">= 1.5x nullmailer, 4x Postfix");
    let mut sixteen = row("16 senders /s", Better::More, ">= 1.5x nullmailer, 4x Postfix");
    let mut flushes = row("fsyncs a message", Better::Less, "2");
    each(contenders, relay, |contender| {
        let Some(task) = contender.deposit(message) else { return };
        let rate = |senders: usize| {
            let (time, costs) = task.measure_together(senders, count / senders);
            only_good(contender.name(), "deposit", costs).len() as f64 / time.as_secs_f64()
        };
        one.add(contender.name(), (0..rounds).map(|_| rate(1)));
        sixteen.add(contender.name(), (0..rounds).map(|_| rate(16)));
        flushes.add(contender.name(), task.flushes().map(|count| count as f64));
    });
    vec![one, sixteen, flushes]
}

/// What waits, sent in one go.
pub fn queue(
    contenders: Contenders,
    relay: &Relay,
    sink: &Sink,
    path: Option<(&SlowPath, Duration)>,
    (message, count): (&Message, usize),
    runs: usize,
) -> Vec<Row> {
    let round_trip = path.map_or(Duration::ZERO, |(_, round_trip)| round_trip);
    let work = format!("queue of {count} at {} ms RTT", round_trip.as_millis());
    let wanted = if path.is_some() { ">= 0.9 floor per connection" } else { ">= 2500 on <= 2 connections" };
    let mut rate = Row::new(format!("{work}, messages/s"), Better::More, wanted);
    let mut each_one = Row::new(format!("{work}, messages/s per connection"), Better::More, wanted);
    let mut connections = Row::new(format!("{work}, connections"), Better::Less, "");
    let mut cpu = Row::new(format!("{work}, CPU ms a message"), Better::Less, "");
    each(contenders, relay, |contender| {
        let (mut rates, mut used, mut spent) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..runs {
            if let Some((path, _)) = path {
                path.set_round_trip(Duration::ZERO);
            }
            if let Err(error) = contender.fill(message, count) {
                eprintln!("bench: {}: {error}", contender.name());
                return;
            }
            sink.tally.take();
            if let Some((path, round_trip)) = path {
                path.set_round_trip(round_trip);
            }
            let Some(task) = contender.flush(message, count) else { return };
            let (time, sent) = if task.root.is_none() {
                let cost = task.measure(1);
                spent.extend(cost.iter().map(|cost| milliseconds(cost.cpu) / count as f64));
                (cost.first().map_or(PATIENCE, |cost| cost.wall), sink.tally.messages())
            } else {
                match until_accepted(&task, sink, count as u64) {
                    Some(time) => (time, count as u64),
                    None => (PATIENCE, sink.tally.messages()),
                }
            };
            if sent < count as u64 {
                eprintln!("bench: {}: {work}: {sent} sent", contender.name());
            }
            rates.push(sent as f64 / time.as_secs_f64());
            used.push(sink.tally.take().connections as f64);
        }
        // The peers open a connection for each message, as many at once as they like.
        if [FLOOR, OURS].contains(&contender.name()) {
            each_one.add(contender.name(), rates.iter().zip(&used).map(|(rate, used)| rate / used.max(1.0)));
        }
        rate.add(contender.name(), rates);
        connections.add(contender.name(), used);
        cpu.add(contender.name(), spent);
    });
    vec![rate, each_one, connections, cpu]
}

/// How long a long queue takes to be listed, and to be begun.
pub fn long_queue(
    contenders: Contenders,
    relay: &Relay,
    sink: &Sink,
    (message, count): (&Message, usize),
    runs: usize,
) -> Vec<Row> {
    let row = |figure: &str, wanted| Row::new(format!("{count} entries, {figure}"), Better::Less, wanted);
    let mut first = row("mailq first output ms", "<= 500");
    let mut whole = row("mailq ms", "");
    let mut peak = row("mailq peak MiB", "");
    let mut start = row("queue run to first connection ms", "<= 200");
    each(contenders, relay, |contender| {
        if contender.list().is_none() {
            return;
        }
        if let Err(error) = contender.fill(message, count) {
            eprintln!("bench: {}: {error}", contender.name());
            return;
        }
        if let Some(task) = contender.list() {
            let times: Vec<(Duration, Duration)> = (0..runs).filter_map(|_| first_output(&task)).collect();
            first.add(contender.name(), times.iter().map(|(first, _)| milliseconds(*first)));
            whole.add(contender.name(), times.iter().map(|(_, whole)| milliseconds(*whole)));
            peak.add(contender.name(), task.measure(1).last().map(|cost| cost.peak as f64 / 1024.0));
        }
        let mut times = Vec::new();
        for _ in 0..runs {
            let Some(task) = contender.flush(message, count) else { break };
            sink.tally.take();
            let begun = Instant::now();
            let Some(mut child) = spawn(&task) else { break };
            while begun.elapsed() < PATIENCE && sink.tally.first_connection().is_none() {
                thread::sleep(LOOK);
            }
            times.extend(sink.tally.first_connection().map(|at| milliseconds(at - begun)));
            let _ = child.kill();
            let _ = child.wait();
            contender.rest();
        }
        start.add(contender.name(), times);
    });
    vec![first, whole, peak, start]
}

/// A cold send of ours in other circumstances.
pub fn variant(what: &str, ours: &mut dyn Contender, relay: &Relay, message: &Message, runs: usize) -> Vec<Row> {
    let row = |figure: &str, wanted| Row::new(format!("cold send 587, {what}, {figure}"), Better::Less, wanted);
    let (mut wall, mut cpu, mut peak) = (row("wall ms", "<= 4"), row("CPU ms", ""), row("peak MiB", "<= 5"));
    let mut instructions = row("instructions M", "");
    if let (Ok(()), Some(task)) = (ours.prepare(relay), ours.send(message, 1)) {
        let costs = only_good(OURS, what, task.measure(runs));
        wall.add(OURS, costs.iter().map(|cost| milliseconds(cost.wall)));
        cpu.add(OURS, costs.iter().map(|cost| milliseconds(cost.cpu)));
        peak.add(OURS, costs.last().map(|cost| cost.peak as f64 / 1024.0));
        instructions.add(OURS, task.instructions());
    }
    vec![wall, cpu, peak, instructions]
}

fn spawn(task: &Task) -> Option<Child> {
    task.command().spawn().inspect_err(|error| eprintln!("bench: {}: {error}", task.program.display())).ok()
}

/// From the start of a command to the moment the relay has accepted mail for so many recipients.
fn until_accepted(task: &Task, sink: &Sink, recipients: u64) -> Option<Duration> {
    sink.tally.take();
    let start = Instant::now();
    let mut child = spawn(task)?;
    while sink.tally.recipients() < recipients && start.elapsed() < PATIENCE {
        thread::sleep(LOOK);
    }
    let time = start.elapsed();
    let is_done = sink.tally.recipients() >= recipients;
    if !is_done {
        let _ = child.kill();
    }
    let _ = child.wait();
    is_done.then_some(time)
}

/// From the start of a command to its first octet of output, and to its last.
fn first_output(task: &Task) -> Option<(Duration, Duration)> {
    let start = Instant::now();
    let mut child = task.command().stdout(Stdio::piped()).spawn().ok()?;
    let mut output = child.stdout.take()?;
    let mut buffer = vec![0; 65536];
    let first = output.read(&mut buffer).ok().filter(|got| *got > 0).map(|_| start.elapsed());
    while output.read(&mut buffer).is_ok_and(|got| got > 0) {}
    let _ = child.wait();
    Some((first?, start.elapsed()))
}
