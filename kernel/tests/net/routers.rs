//! Addresses that IPv6 routers advertise.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use mayfly::{
    net::{Ipv4Config, NetConfig, Network},
    time::{Instant, sleep},
};
use smoltcp::{
    phy::ChecksumCapabilities,
    wire::{
        EthernetAddress, EthernetFrame, EthernetProtocol, Icmpv6Packet, Icmpv6Repr, IpProtocol,
        Ipv6Packet, Ipv6Repr, NdiscPrefixInfoFlags, NdiscPrefixInformation, NdiscRepr,
        NdiscRouterFlags,
    },
};

use crate::{
    link::{Faults, Link},
    peer::Raw,
    support::{simulate, simulate_for},
};

/// What a router says: how long it is one, and for how long its prefix is valid, both in seconds.
pub fn router_advertisement(
    router: Ipv6Addr,
    prefix: Ipv6Addr,
    lifetime: u16,
    valid: u32,
    hop_limit: u8,
) -> Vec<u8> {
    advertisement(router, prefix, lifetime, (valid, valid), hop_limit)
}

/// The same, with the lifetime for which the prefix is valid, and that for which it is preferred.
fn advertisement(
    router: Ipv6Addr,
    prefix: Ipv6Addr,
    lifetime: u16,
    (valid, preferred): (u32, u32),
    hop_limit: u8,
) -> Vec<u8> {
    let source = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
    let repr = Icmpv6Repr::Ndisc(NdiscRepr::RouterAdvert {
        hop_limit: 64,
        flags: NdiscRouterFlags::empty(),
        router_lifetime: smoltcp::time::Duration::from_secs(lifetime.into()),
        reachable_time: smoltcp::time::Duration::ZERO,
        retrans_time: smoltcp::time::Duration::ZERO,
        lladdr: Some(EthernetAddress([2, 0, 0, 0, 0, 1]).into()),
        mtu: None,
        prefix_info: Some(NdiscPrefixInformation {
            prefix_len: 64,
            flags: NdiscPrefixInfoFlags::ADDRCONF | NdiscPrefixInfoFlags::ON_LINK,
            valid_lifetime: smoltcp::time::Duration::from_secs(valid.into()),
            preferred_lifetime: smoltcp::time::Duration::from_secs(preferred.into()),
            prefix,
        }),
    });
    icmpv6(router, source, hop_limit, &repr)
}

fn icmpv6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    hop_limit: u8,
    repr: &Icmpv6Repr<'_>,
) -> Vec<u8> {
    let ip = Ipv6Repr {
        src_addr: source,
        dst_addr: destination,
        next_header: IpProtocol::Icmpv6,
        payload_len: repr.buffer_len(),
        hop_limit,
    };
    let mut bytes = vec![0; 54 + repr.buffer_len()];
    let mut frame = EthernetFrame::new_unchecked(&mut bytes[..]);
    frame.set_src_addr(EthernetAddress([2, 0, 0, 0, 0, 1]));
    let [.., a, b, c, d] = destination.octets();
    let group =
        if destination.is_multicast() { [0x33, 0x33, a, b, c, d] } else { [2, 0, 0, 0, 0, 2] };
    frame.set_dst_addr(EthernetAddress(group));
    frame.set_ethertype(EthernetProtocol::Ipv6);
    let mut packet = Ipv6Packet::new_unchecked(frame.payload_mut());
    ip.emit(&mut packet);
    repr.emit(
        &source,
        &destination,
        &mut Icmpv6Packet::new_unchecked(packet.payload_mut()),
        &ChecksumCapabilities::default(),
    );
    bytes
}

fn ipv6_only() -> NetConfig {
    NetConfig { ipv4: Ipv4Config::Off, seed: 9, ..NetConfig::default() }
}

#[test]
fn routers_advertise_addresses() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let mut router = Raw(a);
        let network = Network::start(b.boxed(), ipv6_only());
        network.wait_configured().await.unwrap();
        let link_local: IpAddr = "fe80::ff:fe00:2".parse().unwrap();
        assert_eq!(network.addresses(), [(link_local, 64)]);
        // It asks for routers by itself.
        let frame = router.receive().await;
        assert_eq!((frame[12], frame[13], frame[54]), (0x86, 0xdd, 133));
        let me: Ipv6Addr = "fe80::1".parse().unwrap();
        let prefix: Ipv6Addr = "2001:db8:1::".parse().unwrap();
        // From beyond a router, from no link-local address, with a prefix that is none: nothing.
        router.send(&router_advertisement(me, prefix, 600, 1200, 64));
        router.send(&router_advertisement(prefix, prefix, 600, 1200, 255));
        for bad in ["ff02::", "fe80::", "::1", "::"] {
            router.send(&router_advertisement(me, bad.parse().unwrap(), 0, 3600, 255));
        }
        sleep(Duration::from_secs(1)).await;
        assert_eq!(network.addresses().len(), 1);
        router.send(&router_advertisement(me, prefix, 600, 1200, 255));
        network.changed().await.unwrap();
        let global: IpAddr = "2001:db8:1::ff:fe00:2".parse().unwrap();
        assert_eq!(network.addresses(), [(link_local, 64), (global, 64)]);
        assert_eq!(network.gateways(), [IpAddr::V6(me)]);
        // The router expires first, then the prefix.
        let start = Instant::now();
        network.changed().await.unwrap();
        assert_eq!(network.gateways(), [] as [IpAddr; 0]);
        assert!(start.elapsed().as_secs().abs_diff(600) <= 1);
        network.changed().await.unwrap();
        assert_eq!(network.addresses(), [(link_local, 64)]);
        assert!(start.elapsed().as_secs().abs_diff(1200) <= 1);
    });
}

/// An address that is advertised with each of these lifetimes, so many seconds after the beginning,
/// lasts until then.
fn lasts(advertised: &[(u64, (u32, u32))], until: u64) {
    let advertised = advertised.to_vec();
    simulate_for(48, async move {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let mut router = Raw(a);
        let network = Network::start(b.boxed(), ipv6_only());
        let (me, prefix) = ("fe80::1".parse().unwrap(), "2001:db8:1::".parse().unwrap());
        let global: IpAddr = "2001:db8:1::ff:fe00:2".parse().unwrap();
        let has = || network.addresses().contains(&(global, 64));
        let start = Instant::now();
        for (at, lifetimes) in advertised {
            sleep(Duration::from_secs(at).saturating_sub(start.elapsed())).await;
            assert_eq!(has(), at > 0, "after {at} s");
            router.send(&advertisement(me, prefix, 0, lifetimes, 255));
            sleep(Duration::from_millis(1)).await;
        }
        sleep(Duration::from_secs(until - 1).saturating_sub(start.elapsed())).await;
        assert_eq!(has(), until > 1, "a second before its end");
        sleep(Duration::from_secs(2)).await;
        assert!(!has(), "a second after its end");
    });
}

#[test]
fn no_router_ends_an_address_within_two_hours() {
    let day = (0, (86_400, 86_400));
    lasts(&[day], 86_400);
    // What remains is cut to two hours, and then no more, as often as that is tried.
    for short in [0, 1, 7200] {
        lasts(&[day, (10, (short, 0))], 7210);
        lasts(&[day, (10, (short, 0)), (3000, (1, 1)), (7000, (0, 0))], 7210);
    }
    // What is shorter anyway is not cut, and may be prolonged.
    lasts(&[(0, (600, 600)), (10, (0, 0))], 600);
    lasts(&[(0, (600, 600)), (10, (580, 580))], 600);
    lasts(&[(0, (600, 600)), (10, (700, 700))], 710);
    // More than two hours holds as it is.
    lasts(&[day, (10, (7300, 7300))], 7310);
}

#[test]
fn a_prefix_is_not_preferred_for_longer_than_it_is_valid() {
    lasts(&[(0, (600, 601))], 1);
    lasts(&[(0, (600, 600)), (10, (800, 801))], 600);
}

#[test]
fn a_flood_of_advertisements_is_bounded() {
    simulate(async {
        let (_link, a, b) = Link::new(Faults::default(), 1);
        let mut router = Raw(a);
        let network = Network::start(b.boxed(), ipv6_only());
        for number in 1..500 {
            let me = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, number);
            let prefix = Ipv6Addr::new(0x2001, 0xdb8, number, 0, 0, 0, 0, 0);
            router.send(&router_advertisement(me, prefix, 1800, u32::MAX, 255));
            sleep(Duration::from_millis(1)).await;
        }
        assert!(network.addresses().len() <= 4);
        assert_eq!(network.gateways().len(), 1);
    });
}
