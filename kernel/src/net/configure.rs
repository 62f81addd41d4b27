//! Addresses and routes: fixed ones, those of DHCP, and those of router advertisements.

use heapless::Vec;
use smoltcp::{
    iface::{SocketHandle, SocketSet},
    socket::{Socket, dhcpv4, dns},
    wire::{
        ArpOperation, ArpPacket, ArpRepr, EthernetAddress, EthernetFrame, HardwareAddress,
        Icmpv6Packet, Icmpv6Repr, IpAddress, IpCidr, Ipv4Address, Ipv4Cidr, Ipv6Address, Ipv6Cidr,
        Ipv6Packet, NdiscRepr,
    },
};

use super::{
    NetConfig,
    autoconf::{Autoconf, MAX_PREFIXES},
    config::{Ipv4Config, is_host_v4, is_host_v6},
    emit,
    phy::Phy,
    stack::Stack,
};

/// Name servers that are kept.
const MAX_NAME_SERVERS: usize = 4;
type NameServers = Vec<IpAddress, MAX_NAME_SERVERS>;
/// Addresses that the interface takes: smoltcp's `iface-max-addr-count-8`.
pub(super) const MAX_ADDRESSES: usize = 8;

/// Where addresses come from, and what follows from them.
#[derive(Default)]
pub(super) struct Addressing {
    dhcp: Option<SocketHandle>,
    /// The lease of the link before, until a server of this one has answered, or it expires.
    former: Option<SocketHandle>,
    pub(super) dns: Option<SocketHandle>,
    /// Whether an IPv4 address is wanted.
    pub(super) wants_ipv4: bool,
    pub(super) gateway: Option<Ipv4Address>,
    pub(super) gateway6: Option<Ipv6Address>,
    /// Name servers from the configuration, from DHCP and from router advertisements.
    fixed_servers: NameServers,
    lease_servers: NameServers,
    advertised_servers: NameServers,
    /// Those that are asked.
    pub(super) name_servers: NameServers,
    /// Addresses that come from router advertisements.
    advertised: Vec<Ipv6Cidr, MAX_PREFIXES>,
    has_advertised_router: bool,
    /// Goes up whenever addresses, routers or name servers change.
    pub(super) version: u32,
}

/// What DHCP has agreed on: without an address, nothing.
#[derive(Default)]
struct Lease {
    address: Option<Ipv4Cidr>,
    router: Option<Ipv4Address>,
    servers: NameServers,
}

/// What a client says that it has not said yet.
fn lease_event(base: &mut SocketSet<'static>, client: SocketHandle) -> Option<Lease> {
    Some(match base.get_mut::<dhcpv4::Socket<'_>>(client).poll()? {
        dhcpv4::Event::Deconfigured => Lease::default(),
        dhcpv4::Event::Configured(lease) => Lease {
            address: Some(lease.address),
            router: lease.router,
            servers: lease.dns_servers.iter().map(|&server| server.into()).collect(),
        },
    })
}

impl Stack {
    /// Sets everything up at the start.
    pub(super) fn configure(&mut self, config: &NetConfig) {
        let addressing = &mut self.addressing;
        addressing.fixed_servers =
            config.name_servers.iter().take(MAX_NAME_SERVERS).map(|&at| at.into()).collect();
        addressing.wants_ipv4 = config.ipv4 != Ipv4Config::Off;
        addressing.dns = Some(self.base.add(dns::Socket::new(&[], alloc::vec::Vec::new())));
        match config.ipv4 {
            Ipv4Config::Off => {}
            Ipv4Config::Dhcp => {
                addressing.dhcp = Some(self.base.add(dhcpv4::Socket::new()));
            }
            Ipv4Config::Static { address, prefix, gateway } => {
                self.add_address(Ipv4Cidr::new(address, prefix.min(32)).into());
                self.set_gateway(gateway);
            }
        }
        if config.ipv6.enabled {
            self.configure_ipv6(config);
        }
        self.update_name_servers();
    }

    /// Whether there will never be an address: IPv4 is off, and so is IPv6, which has one at once.
    pub(super) fn has_no_family(&self) -> bool {
        !self.addressing.wants_ipv4 && self.interface.ip_addrs().is_empty()
    }

    fn configure_ipv6(&mut self, config: &NetConfig) {
        let mac = HardwareAddress::Ethernet(EthernetAddress(self.port.info.mac));
        let link = Ipv6Cidr::new(Ipv6Address::new(0xfe80, 0, 0, 0, 0, 0, 0, 0), 64);
        let Some(local) = Ipv6Cidr::from_link_prefix(&link, mac) else { return };
        self.add_address(local.into());
        for &(address, prefix) in &config.ipv6.addresses {
            self.add_address(Ipv6Cidr::new(address, prefix.min(128)).into());
        }
        self.set_gateway6(config.ipv6.gateway);
        if config.ipv6.autoconfigure {
            let autoconf = Autoconf::new(local.address(), self.port.info.mac, self.now);
            self.autoconf = Some(autoconf);
        }
    }

    /// Adds an address to the interface. One that is not a host's, or one too many, is left out.
    fn add_address(&mut self, cidr: IpCidr) {
        let is_host = match cidr.address() {
            IpAddress::Ipv4(address) => is_host_v4(address),
            IpAddress::Ipv6(address) => is_host_v6(address),
        };
        if !is_host || self.interface.ip_addrs().contains(&cidr) {
            return;
        }
        if self.interface.ip_addrs().len() >= MAX_ADDRESSES {
            log::warn!("address {cidr} left out: the interface has {MAX_ADDRESSES} already");
            return;
        }
        self.interface.update_ip_addrs(|addresses| {
            // smoltcp looks through them in this order for every packet, and finds those of IPv4
            // soonest where they are: first.
            let _ = match cidr {
                IpCidr::Ipv4(_) => addresses.insert(0, cidr),
                IpCidr::Ipv6(_) => addresses.push(cidr),
            };
        });
        if let IpCidr::Ipv4(cidr) = cidr {
            // Others may remember that somebody else had the address, and bridges where.
            emit::arp_request(&mut self.port, cidr.address(), cidr.address());
        }
        self.addresses_changed();
    }

    /// Takes an address from the interface. Connections that use it end.
    fn remove_address(&mut self, cidr: IpCidr) {
        if !self.interface.ip_addrs().contains(&cidr) {
            return;
        }
        self.interface.update_ip_addrs(|addresses| addresses.retain(|own| *own != cidr));
        self.addresses_changed();
    }

    fn addresses_changed(&mut self) {
        // smoltcp has forgotten its neighbours too.
        self.neighbors.clear();
        self.update_groups();
        self.changed();
        self.for_each_connection(Self::line_up_to_send);
    }

    fn changed(&mut self) {
        self.addressing.version = self.addressing.version.wrapping_add(1);
        self.address_waiters.wake();
        self.base_is_due();
        self.wake_runner();
    }

    fn set_gateway(&mut self, gateway: Option<Ipv4Address>) {
        let gateway = gateway.filter(|gateway| is_host_v4(*gateway));
        if gateway == self.addressing.gateway {
            return;
        }
        self.addressing.gateway = gateway;
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv4_route();
        if let Some(gateway) = gateway {
            let _ = routes.add_default_ipv4_route(gateway);
        }
        self.changed();
    }

    fn set_gateway6(&mut self, gateway: Option<Ipv6Address>) {
        let gateway = gateway.filter(|gateway| is_host_v6(*gateway));
        if gateway == self.addressing.gateway6 {
            return;
        }
        self.addressing.gateway6 = gateway;
        let routes = self.interface.routes_mut();
        routes.remove_default_ipv6_route();
        if let Some(gateway) = gateway {
            let _ = routes.add_default_ipv6_route(gateway);
        }
        self.changed();
    }

    /// Takes over what routers advertise, in the place of what they advertised before.
    pub(super) fn set_advertised(
        &mut self,
        addresses: Vec<Ipv6Cidr, MAX_PREFIXES>,
        router: Option<Ipv6Address>,
        servers: NameServers,
    ) {
        for &address in &addresses {
            self.add_address(address.into());
        }
        let before = core::mem::replace(&mut self.addressing.advertised, addresses);
        for address in before {
            if !self.addressing.advertised.contains(&address) {
                self.remove_address(address.into());
            }
        }
        // A fixed router stays until another one is advertised.
        if router.is_some() || self.addressing.has_advertised_router {
            self.addressing.has_advertised_router = router.is_some();
            self.set_gateway6(router);
        }
        self.addressing.advertised_servers = servers;
        self.update_name_servers();
    }

    fn update_name_servers(&mut self) {
        let addressing = &self.addressing;
        let learned = addressing.lease_servers.iter().chain(&addressing.advertised_servers);
        let mut servers = NameServers::new();
        for server in addressing.fixed_servers.iter().chain(learned) {
            if !servers.contains(server) && servers.push(*server).is_err() {
                break;
            }
        }
        if servers == self.addressing.name_servers {
            return;
        }
        if let Some(dns) = self.addressing.dns {
            self.base.get_mut::<dns::Socket<'_>>(dns).update_servers(&servers);
        }
        self.addressing.name_servers = servers;
        self.changed();
    }

    /// Ends all queries, for the device is gone.
    pub(super) fn forget_name_servers(&mut self) {
        let Some(dns) = self.addressing.dns else { return };
        self.base.get_mut::<dns::Socket<'_>>(dns).update_servers(&[]);
        let mut phy = Phy::output(&mut self.port, 0);
        self.interface.poll_egress(self.now, &mut phy, &mut self.base);
    }

    /// Asks for a lease anew. Until a server has answered, what the last one has said holds, as long
    /// as it does: connections go on if it is the same address in the end.
    pub(super) fn renew_lease(&mut self) {
        let Some(handle) = self.addressing.dhcp else { return };
        self.base_is_due();
        if self.addressing.former.is_some() || self.interface.ipv4_addr().is_none() {
            return self.base.get_mut::<dhcpv4::Socket<'_>>(handle).reset();
        }
        let Socket::Dhcpv4(former) = self.base.remove(handle) else { return };
        // It takes the place of the last one, and so hears what servers say: smoltcp tells the first
        // one.
        self.addressing.dhcp = Some(self.base.add(dhcpv4::Socket::new()));
        self.addressing.former = Some(self.base.add(former));
    }

    /// What has become of the lease, if that is new.
    fn lease_event(&mut self) -> Option<Lease> {
        let event = lease_event(&mut self.base, self.addressing.dhcp?);
        let Some(former) = self.addressing.former else { return event };
        let has_answer = event.as_ref().is_some_and(|lease| lease.address.is_some());
        let event = if has_answer { event } else { lease_event(&mut self.base, former) };
        if has_answer || event.as_ref().is_some_and(|lease| lease.address.is_none()) {
            self.base.remove(former);
            self.addressing.former = None;
        }
        event
    }

    /// Applies what DHCP has agreed on, if that is new.
    pub(super) fn apply_lease(&mut self) {
        let Some(Lease { address, router, servers }) = self.lease_event() else { return };
        let is_v4 = |cidr: &&IpCidr| matches!(cidr, IpCidr::Ipv4(_));
        let old = self.interface.ip_addrs().iter().find(is_v4).copied();
        let new = address.map(IpCidr::Ipv4);
        if old != new {
            if let Some(old) = old {
                self.remove_address(old);
            }
            match new {
                Some(new) => {
                    self.add_address(new);
                    log::info!("DHCP: address {new}");
                }
                None => log::info!("DHCP: no address"),
            }
        }
        self.set_gateway(router);
        self.addressing.lease_servers = servers;
        self.update_name_servers();
    }

    /// The address to send from, and the host on the link to send to, to reach `destination`.
    pub(super) fn route(&self, destination: &IpAddress) -> Option<(IpAddress, IpAddress)> {
        let source = self.interface.get_source_address(destination)?;
        if !self.interface.has_ip_addr(source) {
            return None;
        }
        let is_on_link = destination.is_broadcast()
            || destination.is_multicast()
            || self.interface.ip_addrs().iter().any(|own| own.contains_addr(destination));
        if is_on_link {
            return Some((source, *destination));
        }
        let gateway = match destination {
            IpAddress::Ipv4(_) => self.addressing.gateway?.into(),
            IpAddress::Ipv6(_) => self.addressing.gateway6?.into(),
        };
        Some((source, gateway))
    }

    /// Learns a neighbour from an ARP packet (RFC 826), as smoltcp does.
    pub(super) fn learn_from_arp(&mut self, frame: &[u8]) {
        let Ok(frame) = EthernetFrame::new_checked(frame) else { return };
        let Ok(packet) = ArpPacket::new_checked(frame.payload()) else { return };
        let Ok(ArpRepr::EthernetIpv4 {
            operation,
            source_hardware_addr: mac,
            source_protocol_addr: address,
            target_protocol_addr: target,
            ..
        }) = ArpRepr::parse(&packet)
        else {
            return;
        };
        let is_neighbor = is_host_v4(address)
            && mac.is_unicast()
            && self.interface.has_ip_addr(target)
            && !self.interface.has_ip_addr(address)
            && self.is_on_link(&address.into());
        if is_neighbor {
            let unasked = operation == ArpOperation::Request;
            let (neighbors, port) = (&mut self.neighbors, &mut self.port);
            neighbors.learn(port, address.into(), mac.0, unasked, self.now);
        }
    }

    /// Learns from neighbour discovery and router advertisements (RFC 4861).
    pub(super) fn learn_from_icmpv6(&mut self, frame: &[u8], start: usize) {
        let Ok(frame) = EthernetFrame::new_checked(frame) else { return };
        let Ok(packet) = Ipv6Packet::new_checked(frame.payload()) else { return };
        // RFC 4861 section 6.1 and 7.1: anything less has crossed a router.
        if packet.hop_limit() != 255 || start != 54 {
            return;
        }
        let Ok(message) = Icmpv6Packet::new_checked(packet.payload()) else { return };
        let (source, destination) = (packet.src_addr(), packet.dst_addr());
        if !message.msg_type().is_ndisc() || !message.verify_checksum(&source, &destination) {
            return;
        }
        let capabilities = smoltcp::phy::ChecksumCapabilities::ignored();
        let parsed = Icmpv6Repr::parse(&source, &destination, &message, &capabilities);
        let Ok(Icmpv6Repr::Ndisc(repr)) = parsed else { return };
        let (address, lladdr, unasked) = match repr {
            NdiscRepr::NeighborSolicit { lladdr, .. } => (source, lladdr, true),
            NdiscRepr::NeighborAdvert { target_addr, lladdr, .. } => (target_addr, lladdr, false),
            NdiscRepr::RouterAdvert { .. } => {
                return self.learn_from_router(source, packet.payload());
            }
            _ => return,
        };
        let Some(Ok(mac)) = lladdr.map(|raw| <[u8; 6]>::try_from(raw.as_bytes())) else { return };
        let is_neighbor = is_host_v6(address)
            && mac[0] & 1 == 0
            && !self.interface.has_ip_addr(address)
            && self.is_on_link(&address.into());
        if is_neighbor {
            let (neighbors, port) = (&mut self.neighbors, &mut self.port);
            neighbors.learn(port, address.into(), mac, unasked, self.now);
        }
    }

    fn is_on_link(&self, address: &IpAddress) -> bool {
        self.interface.ip_addrs().iter().any(|own| own.contains_addr(address))
    }
}
