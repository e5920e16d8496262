//! Ports that stay free until a test takes them.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// Behind the ports that Linux hands out where a process lets it choose, which are 32768 to 60999 unless somebody has changed that.
const FIRST: u16 = 61_000;
const COUNT: u16 = 4_500;

/// An address of this machine at which nobody listens. No process that lets the system choose a port gets it, so that nobody else
/// takes it while a test needs it.
pub fn free_address() -> SocketAddr {
    static HANDED_OUT: AtomicU16 = AtomicU16::new(0);
    // Two processes of tests begin at different places.
    let first = u16::try_from(std::process::id() % u32::from(COUNT)).unwrap();
    loop {
        let place = first.wrapping_add(HANDED_OUT.fetch_add(1, Ordering::Relaxed)) % COUNT;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, FIRST + place));
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

#[test]
fn no_address_is_handed_out_twice() {
    let found: std::collections::BTreeSet<_> = (0..20).map(|_| free_address()).collect();
    assert_eq!(found.len(), 20);
    let taken = TcpListener::bind(free_address()).unwrap();
    assert_ne!(free_address(), taken.local_addr().unwrap());
}
