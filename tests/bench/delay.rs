//! A path with a round-trip time: a proxy that holds every octet back half a round trip each way, and the first ones
//! as long as the TCP handshake over such a path would have taken.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Listens on a loopback port and forwards to `target` over a path of `round_trip`.
pub fn path(target: u16, round_trip: Duration) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", target)) else { continue };
            let _ = client.set_nodelay(true);
            let _ = server.set_nodelay(true);
            let start = Instant::now();
            one_way(&client, &server, start + round_trip, round_trip / 2);
            // The server sees the connection half a round trip after the client does.
            one_way(&server, &client, start + round_trip * 3 / 2, round_trip / 2);
        }
    });
    port
}

fn one_way(from: &TcpStream, to: &TcpStream, open: Instant, delay: Duration) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    let (send, receive) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 65536];
        while let Ok(got @ 1..) = from.read(&mut buffer) {
            if send.send((Instant::now().max(open) + delay, buffer[..got].to_vec())).is_err() {
                return;
            }
        }
        let _ = send.send((Instant::now() + delay, Vec::new()));
    });
    thread::spawn(move || {
        for (due, octets) in receive {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if octets.is_empty() || to.write_all(&octets).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
}
