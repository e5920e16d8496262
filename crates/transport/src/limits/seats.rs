//! Seats for connections, in all and by address.
//!
//! Where none is free, the oldest connection gives way that has not proven itself yet. So silence cannot keep a port full: a
//! peer gets in if it completes its handshake before as many others have connected after it as there are seats.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// Connections that may be open beside the seats, since they were told to give way and have not ended yet.
pub(super) const LEAVING: usize = 16;

/// Seats for connections.
#[derive(Debug)]
pub(super) struct Seats {
    most: usize,
    most_per_address: usize,
    taken: Mutex<TakenSeats>,
}

#[derive(Debug, Default)]
struct TakenSeats {
    /// By number; later ones are larger.
    holders: BTreeMap<u64, Holder>,
    by_address: HashMap<IpAddr, usize>,
    next: u64,
    /// Connections that gave way and have not ended yet.
    leaving: usize,
}

#[derive(Debug)]
struct Holder {
    address: IpAddr,
    /// Tells the connection to give way; none once it has proven itself.
    tell: Option<oneshot::Sender<()>>,
}

/// A seat that was taken just now.
#[derive(Debug)]
pub(super) struct NewSeat {
    pub seat: Seat,
    /// Hears that the connection is to give way; an error says that it never will have to.
    pub gives_way: oneshot::Receiver<()>,
    /// Whether another connection gave way to it.
    pub made_room: bool,
}

impl Seats {
    /// So many in all, and so many of one address.
    pub fn new(most: usize, most_per_address: usize) -> Arc<Self> {
        Arc::new(Self { most, most_per_address, taken: Mutex::default() })
    }

    fn taken(&self) -> MutexGuard<'_, TakenSeats> {
        // Counts are whole after each change.
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A seat for a connection of `address`; none where all are taken by connections that have proven themselves.
    pub fn take(self: &Arc<Self>, address: IpAddr) -> Option<NewSeat> {
        let address = network(address);
        let mut taken = self.taken();
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        let mut made_room = false;
        if of_address >= self.most_per_address {
            made_room = taken.make_room(Some(address));
            if !made_room {
                return None;
            }
        } else if taken.holders.len() >= self.most {
            made_room = taken.make_room(None);
            if !made_room {
                return None;
            }
        }
        let (tell, gives_way) = oneshot::channel();
        let number = taken.next;
        taken.next += 1;
        taken.holders.insert(number, Holder { address, tell: Some(tell) });
        *taken.by_address.entry(address).or_insert(0) += 1;
        Some(NewSeat { seat: Seat { seats: Arc::clone(self), number }, gives_way, made_room })
    }
}

impl TakenSeats {
    /// Tells the oldest connection to give way that has not proven itself: of one address, or of all. False if there is none.
    fn make_room(&mut self, of: Option<IpAddr>) -> bool {
        if self.leaving >= LEAVING {
            return false;
        }
        let mut oldest = None;
        for (number, holder) in &self.holders {
            if holder.tell.is_some() && of.is_none_or(|address| holder.address == address) {
                oldest = Some(*number);
                break;
            }
        }
        let Some(mut holder) = oldest.and_then(|number| self.free(number)) else { return false };
        self.leaving += 1;
        if let Some(tell) = holder.tell.take() {
            // One that ends at this moment needs no telling.
            let _ = tell.send(());
        }
        true
    }

    fn free(&mut self, number: u64) -> Option<Holder> {
        let holder = self.holders.remove(&number)?;
        if let Some(count) = self.by_address.get_mut(&holder.address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&holder.address);
            }
        }
        Some(holder)
    }
}

/// What counts as one address: with IPv6 a /64 prefix, which one machine can fill.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let prefix = address.to_bits() & !u128::from(u64::MAX);
            IpAddr::V6(Ipv6Addr::from_bits(prefix))
        }
        v4 => v4,
    }
}

/// The seat of one connection; free again when the connection has gone, or has given way.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    number: u64,
}

impl Seat {
    /// The connection has proven itself and keeps its seat; false if it was told to give way before.
    pub fn keep(&self) -> bool {
        let mut taken = self.seats.taken();
        let Some(holder) = taken.holders.get_mut(&self.number) else { return false };
        holder.tell = None;
        true
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if taken.free(self.number).is_none() {
            taken.leaving -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seats: &Arc<Seats>, address: &str) -> Option<NewSeat> {
        seats.take(address.parse().unwrap())
    }

    fn kept(seats: &Arc<Seats>, address: &str) -> Option<Seat> {
        let seat = at(seats, address)?.seat;
        assert!(seat.keep());
        Some(seat)
    }

    #[test]
    fn seats_are_bounded_in_all_and_by_address() {
        let seats = Seats::new(3, 2);
        let first = kept(&seats, "10.0.0.1");
        let second = kept(&seats, "::ffff:10.0.0.1");
        assert!(first.is_some() && second.is_some() && at(&seats, "10.0.0.1").is_none());
        let other = kept(&seats, "2001:db8::1");
        assert!(other.is_some() && at(&seats, "10.0.0.2").is_none(), "three in all");
        drop(first);
        let again = kept(&seats, "2001:db8::ffff");
        assert!(again.is_some());
        drop((second, again));
        assert!(at(&seats, "2001:db8:0:0:1::").is_some());
        drop(other);
        let taken = seats.taken();
        assert!(taken.holders.is_empty() && taken.by_address.is_empty());
    }

    #[test]
    fn the_oldest_that_has_not_proven_itself_gives_way() {
        let seats = Seats::new(3, 3);
        let proven = at(&seats, "10.0.0.1").unwrap();
        assert!(proven.seat.keep());
        let mut silent: Vec<NewSeat> =
            ["10.0.0.2", "10.0.0.3"].iter().map(|address| at(&seats, address).unwrap()).collect();
        let mut newcomer = at(&seats, "10.0.0.4").unwrap();
        assert!(newcomer.made_room && newcomer.gives_way.try_recv().is_err());
        assert_eq!(silent[0].gives_way.try_recv(), Ok(()), "the oldest");
        assert!(!silent[0].seat.keep(), "too late");
        assert!(newcomer.seat.keep() && silent[1].seat.keep());
        assert!(at(&seats, "10.0.0.5").is_none(), "all have proven themselves");
        drop(silent);
        drop(newcomer);
        assert!(!at(&seats, "10.0.0.5").unwrap().made_room);
        drop(proven);
        let taken = seats.taken();
        assert_eq!((taken.holders.len(), taken.by_address.len(), taken.leaving), (0, 0, 0));
    }

    #[test]
    fn an_address_makes_room_for_its_own() {
        let seats = Seats::new(9, 2);
        let mut others = at(&seats, "10.0.0.1").unwrap();
        let mut own = at(&seats, "10.0.0.2").unwrap();
        let second = at(&seats, "10.0.0.2").unwrap();
        assert!(at(&seats, "10.0.0.2").unwrap().made_room);
        assert!(others.gives_way.try_recv().is_err(), "another address has nothing to do with it");
        assert_eq!(own.gives_way.try_recv(), Ok(()));
        drop(second);
    }

    #[test]
    fn few_are_open_beside_the_seats() {
        let seats = Seats::new(1, 1);
        let held: Vec<NewSeat> = (0..=LEAVING).filter_map(|_| at(&seats, "10.0.0.1")).collect();
        assert_eq!(held.len(), 1 + LEAVING);
        assert!(at(&seats, "10.0.0.1").is_none(), "those that gave way have not ended");
        drop(held);
        assert!(at(&seats, "10.0.0.1").is_some());
    }
}
