//! Which Ethernet address an IP address has on the link, for the datagrams that the stack sends.
//!
//! smoltcp keeps a table of its own for TCP and for its answers; both learn from the same frames. It
//! asks one question a second, though, so that a connection to an address that nobody has would keep
//! all others waiting: what it does not ask is asked from here.
//! Frames that wait for an answer are few and their number is bounded, as is the table, whatever
//! the link says.

use alloc::{collections::VecDeque, vec::Vec};

use mayfly_device::FrameBuf;
use smoltcp::{
    time::{Duration, Instant},
    wire::IpAddress,
};

use super::{emit, port::Port, stack::Stack};

/// Entries in the table. The known one that is closest to its end makes room for a new one.
const MAX_ENTRIES: usize = 64;
/// Frames that wait for an address, in all.
const MAX_WAITING: usize = 64;
/// How long an answer holds (RFC 1122 section 2.3.2.1 suggests a minute).
const LIFETIME: Duration = Duration::from_secs(60);
/// Time between two questions (RFC 4861 section 10: RETRANS_TIMER).
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// Questions before giving up (RFC 4861 section 10: MAX_MULTICAST_SOLICIT).
const MAX_QUESTIONS: u8 = 3;
/// Questions under way beyond which none is added for smoltcp: the peers of half-open connections may
/// be invented.
const MAX_ASKING: usize = 16;
/// How long smoltcp 0.14 keeps a socket waiting that has no answer yet, whether it has asked or not.
const SMOLTCP_WAIT: Duration = Duration::from_secs(1);

#[derive(Clone, Copy)]
enum State {
    Known { mac: [u8; 6] },
    Asking { questions: u8 },
}

struct Entry {
    address: IpAddress,
    state: State,
    /// When the answer expires, or the question is to be asked again.
    until: Instant,
}

impl Entry {
    fn is_asking(&self) -> bool {
        matches!(self.state, State::Asking { .. })
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Neighbors {
    entries: Vec<Entry>,
    waiting: VecDeque<(IpAddress, FrameBuf)>,
    asking: usize,
}

impl Neighbors {
    /// Forgets everything: the addresses of the interface have changed.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The Ethernet address of `address`, if it is known.
    pub(super) fn lookup(&mut self, address: &IpAddress, now: Instant) -> Option<[u8; 6]> {
        let at = self.position(address)?;
        // What is looked up often moves to the front.
        let at = if at > 0 {
            self.entries.swap(at, at - 1);
            at - 1
        } else {
            at
        };
        match self.entries.get(at)? {
            Entry { state: State::Known { mac }, until, .. } if now < *until => Some(*mac),
            _ => None,
        }
    }

    /// Sends `frame` to `address` once its Ethernet address is known; asks for it, from `source`.
    pub(super) fn send_when_known(
        &mut self,
        port: &mut Port,
        source: IpAddress,
        address: IpAddress,
        frame: FrameBuf,
        now: Instant,
    ) {
        if self.waiting.len() >= MAX_WAITING {
            self.waiting.pop_front();
            port.stats.unsent_frames += 1;
        }
        if self.waiting.try_reserve(1).is_err() {
            port.stats.out_of_memory += 1;
            return;
        }
        self.waiting.push_back((address, frame));
        if let Some(at) = self.position(&address) {
            if self.entries.get(at).is_some_and(Entry::is_asking) {
                return;
            }
            self.forget(at);
        }
        let state = State::Asking { questions: 1 };
        if self.add(port, Entry { address, state, until: now + ASK_INTERVAL }) {
            ask(port, source, address);
        } else {
            self.waiting.pop_back();
            port.stats.out_of_memory += 1;
        }
    }

    /// Asks for `address`, from `source`, unless that is known or has been asked.
    fn ask_for(&mut self, port: &mut Port, source: IpAddress, address: IpAddress, now: Instant) {
        if let Some(at) = self.position(&address) {
            let Some(entry) = self.entries.get(at) else { return };
            if now < entry.until || entry.is_asking() {
                return;
            }
            self.forget(at);
        }
        if self.asking < MAX_ASKING {
            let state = State::Asking { questions: 1 };
            if self.add(port, Entry { address, state, until: now + ASK_INTERVAL }) {
                ask(port, source, address);
            }
        }
    }

    /// Takes note that `address` is at `mac`, and sends what was waiting for it. An address that
    /// nobody asked about is only added if `unasked` says so.
    pub(super) fn learn(
        &mut self,
        port: &mut Port,
        address: IpAddress,
        mac: [u8; 6],
        unasked: bool,
        now: Instant,
    ) {
        match self.position(&address) {
            Some(at) => self.forget(at),
            None if unasked => {}
            None => return,
        }
        self.add(port, Entry { address, state: State::Known { mac }, until: now + LIFETIME });
        if self.waiting.iter().any(|waiting| waiting.0 == address) {
            // Each is taken out, and those that go on waiting find their places again.
            for _ in 0..self.waiting.len() {
                let Some((to, mut frame)) = self.waiting.pop_front() else { break };
                if to == address {
                    emit::set_destination(&mut frame, mac);
                    port.send(frame);
                } else {
                    self.waiting.push_back((to, frame));
                }
            }
        }
    }

    /// When `ask_again` has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.asking == 0 {
            return None;
        }
        let asking = self.entries.iter().filter(|entry| entry.is_asking());
        asking.map(|entry| entry.until).min()
    }

    /// Repeats questions that are due, and gives up on those that were asked often enough.
    /// `source_for` names the address to ask from.
    pub(super) fn ask_again(
        &mut self,
        port: &mut Port,
        source_for: impl Fn(&IpAddress) -> Option<IpAddress>,
        now: Instant,
    ) {
        let mut at = 0;
        while let Some(entry) = self.entries.get_mut(at) {
            let address = entry.address;
            if let State::Asking { questions } = &mut entry.state
                && entry.until <= now
            {
                match source_for(&address) {
                    Some(source) if *questions < MAX_QUESTIONS => {
                        *questions += 1;
                        entry.until = now + ASK_INTERVAL;
                        ask(port, source, address);
                    }
                    _ => {
                        self.give_up(port, at);
                        continue;
                    }
                }
            }
            at += 1;
        }
    }

    fn position(&self, address: &IpAddress) -> Option<usize> {
        self.entries.iter().position(|entry| entry.address == *address)
    }

    /// Returns whether there was room for it.
    fn add(&mut self, port: &mut Port, entry: Entry) -> bool {
        if self.entries.len() >= MAX_ENTRIES {
            let Some(at) = self.victim(entry.is_asking()) else { return false };
            self.give_up(port, at);
        }
        let has_room = self.entries.try_reserve(1).is_ok();
        if has_room {
            self.asking += usize::from(entry.is_asking());
            self.entries.push(entry);
        }
        has_room
    }

    /// Which entry makes room for another one. A question always ends soonest, so others go first:
    /// those on the link would otherwise decide whether its answer is heard. Only another question
    /// takes the place of one.
    fn victim(&self, asks: bool) -> Option<usize> {
        let entries = self.entries.iter().enumerate();
        let candidates = entries.filter(|(_, entry)| asks || !entry.is_asking());
        candidates.min_by_key(|(_, entry)| (entry.is_asking(), entry.until)).map(|(at, _)| at)
    }

    /// Forgets an entry. What waits for an answer to it would wait for ever, so it is dropped.
    fn give_up(&mut self, port: &mut Port, at: usize) {
        if let Some(Entry { address, state: State::Asking { .. }, .. }) = self.entries.get(at) {
            let before = self.waiting.len();
            self.waiting.retain(|waiting| waiting.0 != *address);
            port.stats.unsent_frames += (before - self.waiting.len()) as u64;
        }
        self.forget(at);
    }

    fn forget(&mut self, at: usize) {
        let entry = self.entries.swap_remove(at);
        self.asking -= usize::from(entry.is_asking());
    }
}

impl Stack {
    /// Whether a socket, which has sent nothing and wants to try again at `wanted`, waits for smoltcp
    /// to ask for a neighbour.
    pub(super) fn waits_to_ask(&self, wanted: Option<Instant>) -> bool {
        wanted == Some(self.now + SMOLTCP_WAIT)
    }

    /// Asks in smoltcp's stead for the neighbour by which one gets to `destination`.
    pub(super) fn ask_for(&mut self, destination: &IpAddress) {
        let Some((source, next_hop)) = self.route(destination) else { return };
        self.neighbors.ask_for(&mut self.port, source, next_hop, self.now);
        self.upkeep_is_due = true;
    }
}

fn ask(port: &mut Port, source: IpAddress, address: IpAddress) {
    match (source, address) {
        (IpAddress::Ipv4(source), IpAddress::Ipv4(address)) => {
            emit::arp_request(port, source, address);
        }
        (IpAddress::Ipv6(source), IpAddress::Ipv6(address)) => {
            emit::neighbor_solicitation(port, source, address);
        }
        _ => {}
    }
}
