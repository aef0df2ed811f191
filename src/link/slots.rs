//! Places for handshakes under way: so many per address, so many in all.
//!
//! Nobody waits for a place. When an address has used up its own, or all are taken, the oldest
//! handshake of that address, or of the address that has most, is ended for the new one. A client
//! that goes on with its handshake is done long before it is the oldest; one that keeps silent
//! is in nobody's way. Addresses from which a partner came before, and load balancers, are ended
//! only when there are no others.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::config::Listen;

/// Addresses remembered because a partner came from them.
const KNOWN_MAX: usize = 4_096;
/// How long they are.
const KNOWN_FOR: Duration = Duration::from_secs(86_400);

/// Whom places are counted by: an IPv4 address, or the /64 of an IPv6 one, which one host has for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Address(IpAddr);

impl Address {
    /// Of a peer; IPv4 in IPv6 is IPv4.
    pub fn of(ip: IpAddr) -> Address {
        Address(match ip.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
            v4 => v4,
        })
    }
}

/// The places of a listener.
#[derive(Debug)]
pub struct Slots {
    total: usize,
    per_address: usize,
    balancers: HashSet<IpAddr>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    /// By number: the oldest first.
    slots: BTreeMap<u64, (Address, oneshot::Sender<()>)>,
    count: HashMap<Address, usize>,
    known: HashMap<Address, Instant>,
}

/// A place for one handshake; given back when dropped.
#[derive(Debug)]
pub struct HandshakeSlot {
    number: u64,
    slots: Arc<Slots>,
    /// Resolves when the place goes to another handshake.
    pub ended: oneshot::Receiver<()>,
}

impl Slots {
    /// As `[listen]` says.
    pub fn new(listen: &Listen) -> Arc<Slots> {
        Arc::new(Slots {
            total: listen.handshakes_max,
            per_address: listen.handshakes_per_address_max,
            balancers: listen
                .load_balancers
                .iter()
                .map(IpAddr::to_canonical)
                .collect(),
            taken: Mutex::default(),
        })
    }

    /// A place for a handshake with this peer, at once, at the cost of another's if need be.
    pub fn enter(self: &Arc<Slots>, peer: IpAddr, now: Instant) -> HandshakeSlot {
        let address = Address::of(peer);
        let balancer = self.balancers.contains(&peer.to_canonical());
        let (end, ended) = oneshot::channel();
        let mut taken = self.taken();
        if !balancer
            && taken
                .count
                .get(&address)
                .is_some_and(|count| *count >= self.per_address)
        {
            taken.end_oldest_of(address);
        } else if taken.slots.len() >= self.total
            && let Some(most) = self.most(&taken, now)
        {
            taken.end_oldest_of(most);
        }
        let number = taken.next;
        taken.next += 1;
        taken.slots.insert(number, (address, end));
        *taken.count.entry(address).or_default() += 1;
        drop(taken);
        HandshakeSlot {
            number,
            slots: self.clone(),
            ended,
        }
    }

    /// A partner has come from this address.
    pub fn partner_came(&self, peer: IpAddr, now: Instant) {
        let mut taken = self.taken();
        taken.known.insert(Address::of(peer), now);
        if taken.known.len() > KNOWN_MAX
            && let Some(oldest) = taken
                .known
                .iter()
                .min_by_key(|(_, at)| **at)
                .map(|(address, _)| *address)
        {
            taken.known.remove(&oldest);
        }
    }

    /// Whether a partner came from this address within a day, or it is a load balancer's.
    pub fn is_known(&self, peer: IpAddr, now: Instant) -> bool {
        self.protected(&self.taken(), Address::of(peer), now)
    }

    /// Handshakes under way.
    pub fn under_way(&self) -> usize {
        self.taken().slots.len()
    }

    /// Whose oldest is ended when all places are taken: of strangers before others, of those with most.
    fn most(&self, taken: &Taken, now: Instant) -> Option<Address> {
        let most = taken.count.iter().max_by_key(|(address, count)| {
            (
                !self.protected(taken, **address, now),
                **count,
                std::cmp::Reverse(**address),
            )
        });
        most.map(|(address, _)| *address)
    }

    fn protected(&self, taken: &Taken, address: Address, now: Instant) -> bool {
        taken
            .known
            .get(&address)
            .is_some_and(|at| now.saturating_duration_since(*at) < KNOWN_FOR)
            || self.balancers.iter().any(|ip| Address::of(*ip) == address)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn end_oldest_of(&mut self, address: Address) {
        let oldest = self
            .slots
            .iter()
            .find(|(_, (whose, _))| *whose == address)
            .map(|(number, _)| *number);
        if let Some((_, end)) = oldest.and_then(|number| self.leave(number)) {
            // Whoever is done already has given up listening.
            let _ = end.send(());
        }
    }

    fn leave(&mut self, number: u64) -> Option<(Address, oneshot::Sender<()>)> {
        let slot = self.slots.remove(&number)?;
        if let Some(count) = self.count.get_mut(&slot.0) {
            *count -= 1;
            if *count == 0 {
                self.count.remove(&slot.0);
            }
        }
        Some(slot)
    }
}

impl Drop for HandshakeSlot {
    fn drop(&mut self) {
        self.slots.taken().leave(self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(total: usize, per_address: usize, balancers: &[&str]) -> Arc<Slots> {
        let load_balancers = balancers.iter().map(|text| ip(text)).collect();
        let any = "127.0.0.1:0".parse().unwrap();
        let listen = Listen {
            load_balancers,
            handshakes_max: total,
            handshakes_per_address_max: per_address,
            ..Listen::at(any, any)
        };
        Slots::new(&listen)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn ended(slot: &mut HandshakeSlot) -> bool {
        slot.ended.try_recv().is_ok()
    }

    #[test]
    fn an_address_ends_its_own_oldest_handshake_and_nobody_else_s() {
        let slots = slots(100, 2, &[]);
        let now = Instant::now();
        let mut other = slots.enter(ip("10.0.0.2"), now);
        let mut all: Vec<HandshakeSlot> =
            (0..4).map(|_| slots.enter(ip("10.0.0.1"), now)).collect();
        assert_eq!(
            all.iter_mut().map(ended).collect::<Vec<_>>(),
            [true, true, false, false]
        );
        assert!(!ended(&mut other));
        assert_eq!(slots.under_way(), 3);
        drop((all, other));
        assert_eq!(slots.under_way(), 0);
        assert!(slots.taken().count.is_empty());
    }

    #[test]
    fn when_all_places_are_taken_the_address_with_most_gives_one_up() {
        let slots = slots(4, 3, &[]);
        let now = Instant::now();
        let mut single = slots.enter(ip("10.0.0.1"), now);
        let mut crowd: Vec<HandshakeSlot> =
            (0..3).map(|_| slots.enter(ip("10.0.0.2"), now)).collect();
        let mut newcomer = slots.enter(ip("10.0.0.3"), now);
        assert_eq!(
            crowd.iter_mut().map(ended).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert!(!ended(&mut single) && !ended(&mut newcomer));
    }

    #[test]
    fn an_address_a_partner_came_from_is_not_ended_for_strangers() {
        let slots = slots(3, 3, &[]);
        let now = Instant::now();
        slots.partner_came(ip("10.0.0.1"), now);
        let mut partner: Vec<HandshakeSlot> =
            (0..2).map(|_| slots.enter(ip("10.0.0.1"), now)).collect();
        let mut strangers: Vec<HandshakeSlot> = (2..9)
            .map(|last| slots.enter(ip(&format!("10.0.0.{last}")), now))
            .collect();
        assert_eq!(
            partner.iter_mut().map(ended).collect::<Vec<_>>(),
            [false, false]
        );
        assert_eq!(
            strangers
                .iter_mut()
                .map(ended)
                .filter(|ended| *ended)
                .count(),
            6,
            "they end one another"
        );
        let later = now + KNOWN_FOR;
        assert!(slots.is_known(ip("10.0.0.1"), now) && !slots.is_known(ip("10.0.0.1"), later));
    }

    #[test]
    fn a_load_balancer_shares_only_the_total() {
        let slots = slots(5, 2, &["10.0.0.9"]);
        let now = Instant::now();
        let mut behind: Vec<HandshakeSlot> = (0..4)
            .map(|_| slots.enter(ip("::ffff:10.0.0.9"), now))
            .collect();
        assert!(!behind.iter_mut().any(ended));
        let mut stranger = slots.enter(ip("10.0.0.1"), now);
        behind.push(slots.enter(ip("10.0.0.9"), now));
        assert!(ended(&mut stranger) && !behind.iter_mut().any(ended));
    }

    #[test]
    fn all_addresses_of_an_ipv6_network_are_one() {
        assert_eq!(
            Address::of(ip("2001:db8:0:1::1")),
            Address::of(ip("2001:db8:0:1:ffff::9"))
        );
        assert_ne!(
            Address::of(ip("2001:db8:0:1::1")),
            Address::of(ip("2001:db8:0:2::1"))
        );
        assert_eq!(
            Address::of(ip("::ffff:10.0.0.1")),
            Address::of(ip("10.0.0.1"))
        );
    }
}
