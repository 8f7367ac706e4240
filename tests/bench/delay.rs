//! A path with a round-trip time: a TUN device that holds every packet back half a round trip and hands it to the other
//! end. Both ends are this host: a packet to the far address comes back with its two addresses exchanged, so it looks
//! as if the far host had connected to us. Real packets, so that handshakes, Nagle's algorithm and delayed
//! acknowledgements cost what they cost on a real path.
#![allow(unsafe_code, reason = "no crate of ours knows TUNSETIFF")]

use super::world::run;
use nix::libc;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

const NEAR_END: &str = "10.77.0.1/24";
/// _IOW('T', 202, int).
const TUNSETIFF: libc::c_ulong = 0x4004_54ca;

/// The path; its round-trip time can be changed while nothing is on it.
pub struct SlowPath {
    one_way: Arc<AtomicU64>,
}

impl SlowPath {
    /// Makes the device, in a network name space of our own.
    pub fn open() -> io::Result<SlowPath> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/net/tun")?;
        let name = attach(&device)?;
        run("ip", &["address", "add", NEAR_END, "dev", &name])?;
        run("ip", &["link", "set", &name, "txqueuelen", "10000", "up"])?;
        let one_way = Arc::new(AtomicU64::new(0));
        let (hold, release) = mpsc::channel::<(Instant, Vec<u8>)>();
        let (mut reader, mut writer, delay) = (device.try_clone()?, device, Arc::clone(&one_way));
        thread::spawn(move || {
            let mut packet = [0; 65536];
            while let Ok(size) = reader.read(&mut packet) {
                let due = Instant::now() + Duration::from_micros(delay.load(Ordering::Relaxed));
                if packet[0] >> 4 == 4 && hold.send((due, packet[..size].to_vec())).is_err() {
                    return;
                }
            }
        });
        thread::spawn(move || {
            for (due, mut packet) in release {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // Source and destination trade places; sums over both stay what they are.
                let (source, destination) = packet[12..20].split_at_mut(4);
                source.swap_with_slice(destination);
                let _ = writer.write(&packet);
            }
        });
        Ok(SlowPath { one_way })
    }

    pub fn set_round_trip(&self, round_trip: Duration) {
        self.one_way.store(round_trip.as_micros() as u64 / 2, Ordering::Relaxed);
    }
}

/// Makes the descriptor a new TUN device; its name.
fn attach(device: &File) -> io::Result<String> {
    // struct ifreq: the name (empty: the kernel's choice), the flags, and room.
    let mut request = [0_u8; 40];
    let flags = (libc::IFF_TUN | libc::IFF_NO_PI) as u16;
    request[16..18].copy_from_slice(&flags.to_ne_bytes());
    // SAFETY: the kernel reads and writes one struct ifreq, which has 40 octets.
    if unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(String::from_utf8_lossy(&request[..16]).trim_end_matches('\0').to_string())
}
