//! IPv6 addresses and routers from router advertisements (RFC 4861 section 6.3, RFC 4862).
//!
//! smoltcp 0.14 has this too, but with it `Interface::poll_at` forgets the deadlines of all sockets
//! once routers have been looked for in vain, and an advertised multicast prefix makes it panic.

use heapless::Vec;
use smoltcp::{
    time::{Duration, Instant},
    wire::{EthernetAddress, HardwareAddress, Ipv6Address, Ipv6Cidr},
};

use super::{config::is_host_v6, emit, stack::Stack, wire::u16_at};

/// RFC 4861 section 10: RTR_SOLICITATION_INTERVAL and MAX_RTR_SOLICITATIONS.
const SOLICITATION_INTERVAL: Duration = Duration::from_secs(4);
const MAX_SOLICITATIONS: u8 = 3;
/// What is kept of the advertisements, whatever their number.
pub(super) const MAX_PREFIXES: usize = 3;
const MAX_ROUTERS: usize = 4;
const MAX_NAME_SERVERS: usize = 4;

/// What remains of the time of an address, no router may cut short, because anybody on the link can
/// pose as one (RFC 4862 section 5.5.3 (e)).
const LEAST_REMAINING: Duration = Duration::from_secs(2 * 60 * 60);

/// Options of a router advertisement: RFC 4861 section 4.6.2, RFC 8106 section 5.1.
const OPTION_PREFIX: u8 = 3;
const OPTION_NAME_SERVERS: u8 = 25;
/// The "autonomous address-configuration" flag of a prefix.
const FLAG_AUTONOMOUS: u8 = 0x40;

struct Lease<T> {
    value: T,
    until: Instant,
}

/// Adds or renews, if the lifetime is not zero; otherwise removes. Of too many, new ones are left
/// out: a flood of them must not push out those in use.
fn renew<T: PartialEq, const MAX: usize>(
    leases: &mut Vec<Lease<T>, MAX>,
    value: T,
    until: Instant,
    now: Instant,
) {
    let known = leases.iter().position(|lease| lease.value == value);
    match known {
        Some(at) if until <= now => drop(leases.remove(at)),
        Some(at) => {
            if let Some(lease) = leases.get_mut(at) {
                lease.until = until;
            }
        }
        None if until > now => drop(leases.push(Lease { value, until })),
        None => {}
    }
}

/// What the routers on the link have advertised.
pub(super) struct Autoconf {
    source: Ipv6Address,
    mac: [u8; 6],
    solicitations: u8,
    solicit_at: Option<Instant>,
    prefixes: Vec<Lease<Ipv6Cidr>, MAX_PREFIXES>,
    routers: Vec<Lease<Ipv6Address>, MAX_ROUTERS>,
    name_servers: Vec<Lease<Ipv6Address>, MAX_NAME_SERVERS>,
}

impl Autoconf {
    /// Begins to look for routers, from the link-local address `source`.
    pub(super) fn new(source: Ipv6Address, mac: [u8; 6], now: Instant) -> Self {
        Self {
            source,
            mac,
            solicitations: 0,
            solicit_at: Some(now),
            prefixes: Vec::new(),
            routers: Vec::new(),
            name_servers: Vec::new(),
        }
    }

    /// Looks for routers once more. What others have advertised holds as long as they said.
    pub(super) fn look_again(&mut self, now: Instant) {
        (self.solicitations, self.solicit_at) = (0, Some(now));
    }

    /// When a solicitation is due or something expires.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let prefixes = self.prefixes.iter().map(|lease| lease.until);
        let routers = self.routers.iter().map(|lease| lease.until);
        let servers = self.name_servers.iter().map(|lease| lease.until);
        prefixes.chain(routers).chain(servers).chain(self.solicit_at).min()
    }

    /// Takes an advertisement in: an ICMPv6 message whose checksum is right (RFC 4861 section 4.2).
    fn advertised(&mut self, router: Ipv6Address, message: &[u8], now: Instant) {
        let Some((header, mut options)) = message.split_at_checked(16) else { return };
        self.solicit_at = None;
        let lifetime = u16_at(header, 6).unwrap_or(0);
        let until = now + Duration::from_secs(lifetime.into());
        renew(&mut self.routers, router, until, now);
        while let [kind, length, ..] = *options {
            let Some((option, rest)) = options.split_at_checked(usize::from(length) * 8) else {
                return;
            };
            if option.is_empty() {
                return;
            }
            match kind {
                OPTION_PREFIX => self.prefix(option, now),
                OPTION_NAME_SERVERS => self.servers(option, now),
                _ => {}
            }
            options = rest;
        }
    }

    fn prefix(&mut self, option: &[u8], now: Instant) {
        let Some(option) = option.first_chunk::<32>() else { return };
        let (Some(until), Some(preferred)) =
            (lifetime_at(option, 4, now), lifetime_at(option, 8, now))
        else {
            return;
        };
        let Some(prefix) = address_at(option, 16) else { return };
        // RFC 4862 section 5.5.3 (a) to (d).
        let is_usable = option[3] & FLAG_AUTONOMOUS != 0
            && preferred <= until
            && !prefix.is_multicast()
            && !prefix.is_loopback()
            && !prefix.is_unspecified()
            && (prefix.segments()[0] & 0xffc0) != 0xfe80
            && option[2] == 64;
        let mac = HardwareAddress::Ethernet(EthernetAddress(self.mac));
        if is_usable && let Some(own) = Ipv6Cidr::from_link_prefix(&Ipv6Cidr::new(prefix, 64), mac)
        {
            let until = until.max(self.least_until(own, now));
            renew(&mut self.prefixes, own, until, now);
        }
    }

    /// How long an address stays at least, whatever is advertised: the two hours of RFC 4862
    /// section 5.5.3 (e), or what it has left if that is less. Nothing for one that is new.
    fn least_until(&self, own: Ipv6Cidr, now: Instant) -> Instant {
        let known = self.prefixes.iter().find(|lease| lease.value == own);
        known.map_or(now, |lease| lease.until.min(now + LEAST_REMAINING))
    }

    fn servers(&mut self, option: &[u8], now: Instant) {
        let Some(until) = lifetime_at(option, 4, now) else { return };
        for at in (8..option.len()).step_by(16) {
            if let Some(server) = address_at(option, at).filter(|server| is_host_v6(*server)) {
                renew(&mut self.name_servers, server, until, now);
            }
        }
    }

    fn expire(&mut self, now: Instant) {
        self.prefixes.retain(|lease| lease.until > now);
        self.routers.retain(|lease| lease.until > now);
        self.name_servers.retain(|lease| lease.until > now);
    }
}

fn lifetime_at(option: &[u8], offset: usize, now: Instant) -> Option<Instant> {
    let seconds = u32::from_be_bytes(*option.get(offset..)?.first_chunk()?);
    Some(now + Duration::from_secs(seconds.into()))
}

fn address_at(option: &[u8], offset: usize) -> Option<Ipv6Address> {
    Some(Ipv6Address::from(*option.get(offset..)?.first_chunk::<16>()?))
}

impl Stack {
    /// Takes a router advertisement in, whose checksum and hop limit are right.
    pub(super) fn learn_from_router(&mut self, router: Ipv6Address, message: &[u8]) {
        // RFC 4861 section 6.1.2.
        let is_link_local = (router.segments()[0] & 0xffc0) == 0xfe80;
        let (Some(autoconf), true) = (&mut self.autoconf, is_link_local) else { return };
        autoconf.advertised(router, message, self.now);
        self.apply_advertisements();
        self.upkeep_is_due = true;
    }

    /// Asks for routers and lets go of what has expired, if it is time to.
    pub(super) fn run_autoconf(&mut self) {
        let Some(autoconf) = &mut self.autoconf else { return };
        if autoconf.deadline().is_none_or(|deadline| deadline > self.now) {
            return;
        }
        if autoconf.solicit_at.is_some_and(|at| at <= self.now) {
            emit::router_solicitation(&mut self.port, autoconf.source);
            autoconf.solicitations += 1;
            let more = autoconf.solicitations < MAX_SOLICITATIONS;
            autoconf.solicit_at = more.then_some(self.now + SOLICITATION_INTERVAL);
        }
        autoconf.expire(self.now);
        self.apply_advertisements();
    }

    fn apply_advertisements(&mut self) {
        let Some(autoconf) = &mut self.autoconf else { return };
        let wanted = autoconf.prefixes.iter().map(|lease| lease.value).collect();
        let router = autoconf.routers.first().map(|lease| lease.value);
        let servers = autoconf.name_servers.iter().map(|lease| lease.value.into()).collect();
        self.set_advertised(wanted, router, servers);
    }
}
