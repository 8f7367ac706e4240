//! `cargo bench`: mailchute, its peers and a floor at the same works, in one run, over loopback and over a slow path;
//! one table at the end. `cargo bench -- --quick` takes less than a minute and leaves the peers out.
//!
//! ```text
//! main        which works, with whom
//!    | world        name spaces of our own: loopback, /etc/hosts, mounts
//!    | sink, delay  the relay, and a path with a round-trip time
//!    | contenders   floor, mailchute; peers: fetched, unpacked over /, never installed
//!    | works        one function for each work, each giving rows
//!    | measure      wall, CPU, peak memory, instructions, flushes of a command
//!    v
//!  table
//! ```
//!
//! `cargo bench -- cold trips` does only the works whose names begin so: cold, trips, large, deposit, queue, far-queue,
//! long-queue. `cargo bench -- --quick serve` keeps the relay and a configuration for it, for a profiler.
//!
//! It writes only below `target/`, and nothing that it starts outlives it. It is no test: nothing in it fails because a
//! machine is slow.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::disallowed_macros,
    reason = "a bench ends where something cannot go on, makes its own files, and prints"
)]

mod contenders;
mod delay;
mod floor;
mod measure;
mod peers;
mod sink;
mod table;
mod works;
mod world;

use contenders::{Contender, Floor, Mailchute, Message};
use delay::SlowPath;
use sink::{Identity, Offer, Sink};
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};
use table::Row;
use world::{FAR, NEAR, World};

/// How the bench is called by itself.
const NEEDS: &str = "--floor HOST PORT TLS VERB RECIPIENTS MESSAGES AUTHORITY MESSAGE";

/// Where a message goes.
#[derive(Clone, Debug)]
pub struct Relay {
    pub host: &'static str,
    pub port: u16,
    pub security: Security,
    pub offer: Offer,
}

/// How the connection becomes TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    Starttls,
    Implicit,
}

impl Security {
    /// The port it is known by.
    pub fn port(self) -> u16 {
        match self {
            Security::Starttls => 587,
            Security::Implicit => 465,
        }
    }
}

impl Sink {
    fn relay(&self, host: &'static str, security: Security) -> Relay {
        let port = match security {
            Security::Starttls => self.starttls_port,
            Security::Implicit => self.implicit_port,
        };
        Relay { host, port, security, offer: self.offer }
    }
}

/// The certificate authority that the sink's certificate is under.
pub fn ca_file(world: &World) -> PathBuf {
    world.path("ca.pem")
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("--measured") => return measure::measured(&arguments[1..]),
        Some("--floor") => return ended(floor::run(&arguments[1..])),
        Some("--floor-deposit") => return ended(floor::deposit(arguments[1].as_ref())),
        _ => {}
    }
    // `cargo test --all-targets` runs benches too, without saying --bench.
    if !arguments.iter().any(|argument| argument == "--bench") {
        return;
    }
    let plan = Plan::read(&arguments);
    if plan.peers && !arguments.iter().any(|argument| argument == world::INSIDE) {
        // Now, for there is no network inside.
        peers::fetch();
    }
    if let Some(status) = world::enter(&arguments) {
        std::process::exit(status);
    }
    println!("{}", bench(&World::make(&arguments).unwrap(), &plan).unwrap());
}

/// The end of a floor.
fn ended(result: io::Result<()>) {
    if let Err(error) = result {
        eprintln!("floor: {error}");
        std::process::exit(1);
    }
}

/// What is asked for on the command line.
struct Plan {
    /// Fewer runs, shorter queues.
    quick: bool,
    peers: bool,
    /// Starts of the names of works; none is all.
    works: Vec<String>,
}

impl Plan {
    fn read(arguments: &[String]) -> Plan {
        let quick = arguments.iter().any(|argument| argument == "--quick");
        let works = arguments.iter().filter(|argument| !argument.starts_with("--")).cloned().collect();
        Plan { quick, peers: !quick, works }
    }

    fn wants(&self, work: &str) -> bool {
        self.works.is_empty() || self.works.iter().any(|wanted| work.starts_with(wanted.as_str()))
    }

    /// One of two numbers.
    fn either<T>(&self, quick: T, thorough: T) -> T {
        if self.quick { quick } else { thorough }
    }
}

fn bench(world: &World, plan: &Plan) -> io::Result<String> {
    let began = Instant::now();
    let identity = Identity::new();
    fs::write(ca_file(world), &identity.ca_pem)?;
    let (chunking, data) = (Sink::start(&identity, Offer::Chunking), Sink::start(&identity, Offer::Data));
    let path = SlowPath::open().map_err(|error| eprintln!("bench: no slow path: {error}")).ok();
    let small = Message::make(world, "small", 2048)?;
    let mut all: Vec<Box<dyn Contender>> = vec![Box::new(Floor::new(world)?), Box::new(Mailchute::new(world)?)];
    if plan.peers {
        all.extend(peers::unpacked(world));
    }
    let names: Vec<String> = all.iter().skip(2).map(|peer| peer.name().to_string()).collect();
    let few = plan.either(1, 3);
    let securities = [Security::Starttls, Security::Implicit];
    let near = chunking.relay(NEAR, Security::Starttls);

    let mut rows: Vec<Row> = Vec::new();
    if plan.wants("cold") {
        for security in securities {
            let relay = chunking.relay(NEAR, security);
            rows.extend(works::cold_send(&mut all, &relay, &chunking, &small, plan.either(25, 51)));
        }
        rows.extend(variants(world, &near, &small, few * 7)?);
    }
    for (security, path) in securities.into_iter().zip(path.iter().cycle()).filter(|_| plan.wants("trips")) {
        for sink in [&chunking, &data] {
            for recipients in [1, 100] {
                let relay = sink.relay(FAR, security);
                rows.push(works::round_trips(&mut all, &relay, sink, path, (&small, recipients), few));
            }
        }
    }
    if plan.wants("large") {
        let large = Message::make(world, "large", 100_000_000)?;
        for sink in [&chunking, &data] {
            rows.extend(works::large(&mut all, &sink.relay(NEAR, Security::Starttls), sink, &large, few));
        }
    }
    if plan.wants("deposit") {
        rows.extend(works::deposits(&mut all, &near, &small, (few, plan.either(160, 320))));
    }
    if plan.wants("queue") {
        rows.extend(works::queue(&mut all, &near, &chunking, None, (&small, 1000), few));
    }
    if let Some(path) = path.as_ref().filter(|_| plan.wants("far-queue")) {
        let (far, count) = (chunking.relay(FAR, Security::Starttls), plan.either(200, 1000));
        let path = Some((path, Duration::from_millis(20)));
        rows.extend(works::queue(&mut all, &far, &chunking, path, (&small, count), few));
    }
    if plan.wants("long-queue") {
        let count = plan.either(10_000, 100_000);
        rows.extend(works::long_queue(&mut all, &near, &chunking, (&small, count), few));
    }
    if plan.works.iter().any(|work| work == "serve") {
        serve(world, all[1].as_mut(), &near)?;
    }
    Ok(format!("{}\n{}, {:.0} s", table::render(&rows, &names), machine(), began.elapsed().as_secs_f64()))
}

/// Keeps the relay for a profiler, until standard input ends.
fn serve(world: &World, ours: &mut dyn Contender, relay: &Relay) -> io::Result<()> {
    ours.prepare(relay)?;
    println!("nsenter -m -n -t {} with {}", std::process::id(), world.folder.display());
    io::copy(&mut io::stdin(), &mut io::sink()).map(drop)
}

/// What a bundle of a hundred and more certificates costs us, and what the disk does.
fn variants(world: &World, relay: &Relay, message: &Message, runs: usize) -> io::Result<Vec<Row>> {
    let mut rows = Vec::new();
    if let Ok(bundle) = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt") {
        let mut ours = Mailchute::new(world)?;
        let file = world.path("bundle.pem");
        fs::write(&file, bundle + &fs::read_to_string(ca_file(world))?)?;
        ours.trust(file);
        rows.extend(works::variant("the system's bundle", &mut ours, relay, message, runs));
    }
    let memory = world.path("memory");
    fs::create_dir(&memory)?;
    if world.is_private && world::run("mount", &["-t", "tmpfs", "none", &memory.to_string_lossy()]).is_ok() {
        let mut ours = Mailchute::new(world)?;
        ours.keep(memory.join("spool"));
        rows.extend(works::variant("flushes for nothing", &mut ours, relay, message, runs));
    }
    Ok(rows)
}

/// Where and when.
fn machine() -> String {
    let said = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string()).unwrap_or_default()
    };
    let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let processor = processor.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
    format!(
        "{}, {} cores {}, Linux {}, {} on {}, load {}",
        said("date", &["-u", "+%Y-%m-%d"]),
        said("nproc", &[]),
        processor.unwrap_or_default(),
        said("uname", &["-r"]),
        world::target().display(),
        said("stat", &["-f", "-c", "%T", &world::target().to_string_lossy()]),
        fs::read_to_string("/proc/loadavg").unwrap_or_default().split(' ').next().unwrap_or_default(),
    )
}
