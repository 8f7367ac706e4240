//! Who calls, by the kernel's word, and whether he is served.

use super::listeners::Arrival;
use crate::config::{Principal, Serve};
use crate::process::Caller;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use nix::unistd::{Gid, Group, User, getgrouplist};
use std::ffi::CString;
use std::fs;
use std::net::{IpAddr, SocketAddr};

/// Who calls.
#[derive(Clone, Debug)]
pub struct Peer {
    pub caller: Caller,
    /// For the log only: another may have it by now.
    pub pid: Option<i32>,
    /// The name of the program, for the log only.
    pub program: Option<String>,
    gid: u32,
}

impl Peer {
    /// `None` when the kernel does not tell, or names the user that stands for all of a foreign user namespace.
    pub fn of(arrival: &Arrival) -> Option<Peer> {
        match arrival {
            Arrival::Local(stream) => {
                let found = getsockopt(stream, PeerCredentials).ok()?;
                let program = fs::read_to_string(format!("/proc/{}/comm", found.pid())).ok();
                let program = program.map(|name| name.trim_end().to_string());
                Peer::new(found.uid(), found.gid(), Some(found.pid()), program)
            }
            Arrival::Loopback(stream) => {
                let (theirs, ours) = (stream.peer_addr().ok()?, stream.local_addr().ok()?);
                let uid = ["/proc/net/tcp", "/proc/net/tcp6"]
                    .iter()
                    .find_map(|table| owner(&fs::read_to_string(table).ok()?, theirs, ours))?;
                let gid = User::from_uid(uid.into()).ok().flatten().map_or(u32::MAX, |user| user.gid.as_raw());
                Peer::new(uid, gid, None, None)
            }
        }
    }

    fn new(uid: u32, gid: u32, pid: Option<i32>, program: Option<String>) -> Option<Peer> {
        (uid != overflow()).then(|| Peer { caller: Caller::from_uid(uid), pid, program, gid })
    }

    /// Whether he is served at all.
    pub fn may_send(&self, serve: &Serve) -> bool {
        (serve.allow.is_empty() || self.is_among(&serve.allow)) && !self.is_among(&serve.deny)
    }

    /// Whether he is one of these, or in one of their groups.
    pub fn is_among(&self, principals: &[Principal]) -> bool {
        principals.iter().any(|principal| match principal {
            Principal::User(name) => self.caller.login.as_ref() == Some(name) || *name == self.caller.uid.to_string(),
            Principal::Group(name) => self.is_in(name),
        })
    }

    fn is_in(&self, group: &str) -> bool {
        let named = Group::from_name(group).ok().flatten().map(|group| group.gid.as_raw());
        let Some(gid) = named.or_else(|| group.parse().ok()) else { return false };
        let login = self.caller.login.as_deref().and_then(|login| CString::new(login).ok());
        let groups = login.and_then(|login| getgrouplist(&login, Gid::from_raw(self.gid)).ok());
        gid == self.gid || groups.is_some_and(|groups| groups.contains(&Gid::from_raw(gid)))
    }
}

/// What the kernel says for users that another user namespace does not share with us.
fn overflow() -> u32 {
    let text = fs::read_to_string("/proc/sys/kernel/overflowuid").ok();
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(65534)
}

/// Whose the other end of a connection on this machine is, by the kernel's table (proc_pid_net(5)).
fn owner(table: &str, theirs: SocketAddr, ours: SocketAddr) -> Option<u32> {
    let (theirs, ours) = (written(theirs), written(ours));
    table.lines().skip(1).find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        let here = words.next()? == theirs && words.next()? == ours;
        here.then(|| words.nth(4)?.parse().ok()).flatten()
    })
}

/// An address as the table has it: words of four octets in the machine's order, in hexadecimal.
fn written(address: SocketAddr) -> String {
    let octets = match address.ip() {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    };
    let words = octets.chunks_exact(4).map(|word| {
        let word = [word[0], word[1], word[2], word[3]];
        format!("{:08X}", u32::from_ne_bytes(word))
    });
    format!("{}:{:04X}", words.collect::<String>(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::os::unix::net::UnixStream;

    #[test]
    fn the_kernel_says_who_calls() {
        let me = nix::unistd::getuid().as_raw();
        let (one, _other) = UnixStream::pair().unwrap();
        let peer = Peer::of(&Arrival::Local(one)).unwrap();
        assert_eq!((peer.caller.uid, peer.pid), (me, i32::try_from(std::process::id()).ok()));
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let peer = Peer::of(&Arrival::Loopback(listener.accept().unwrap().0)).unwrap();
            assert_eq!((peer.caller.uid, peer.pid), (me, None), "{address}");
        }
        assert!(Peer::new(overflow(), 0, None, None).is_none());
    }

    #[test]
    fn denied_wins_and_nobody_named_is_everybody() {
        let peer = Peer::new(0, 0, None, None).unwrap();
        let user = |name: &str| vec![Principal::User(name.into())];
        let group = |name: &str| vec![Principal::Group(name.into())];
        for (allow, deny, served) in [
            (vec![], vec![], true),
            (user("root"), vec![], true),
            (user("0"), vec![], true),
            (group("root"), vec![], true),
            (group("0"), vec![], true),
            (user("joe"), vec![], false),
            (group("no-such-group"), vec![], false),
            (vec![], user("root"), false),
            (user("root"), group("root"), false),
            (vec![], user("joe"), true),
        ] {
            let serve = Serve { allow, deny, ..Serve::default() };
            assert_eq!(peer.may_send(&serve), served, "{serve:?}");
        }
    }
}
