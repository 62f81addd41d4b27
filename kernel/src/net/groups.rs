//! The groups of the link that this host is in, by its addresses: a device that can leaves out what
//! goes to others.

use heapless::Vec;
use smoltcp::wire::IpAddress;

use super::{
    configure::MAX_ADDRESSES,
    emit::{ALL_NODES, multicast_v6, solicited_node},
    stack::Stack,
};

/// All hosts with IPv4: 224.0.0.1 (RFC 1112 section 6.4).
const ALL_HOSTS: [u8; 6] = [0x01, 0x00, 0x5e, 0, 0, 1];

/// Groups by their Ethernet addresses: two for all, and one for each address.
type Groups = Vec<[u8; 6], { 2 + MAX_ADDRESSES }>;

impl Stack {
    /// Tells the device of the groups.
    pub(super) fn update_groups(&mut self) {
        let addresses = self.interface.ip_addrs().iter().map(|cidr| cidr.address());
        self.port.set_groups(&groups(addresses));
    }
}

/// The groups of a host with these addresses.
fn groups(addresses: impl Iterator<Item = IpAddress>) -> Groups {
    let mut groups = Groups::new();
    let mut add = |group| {
        if !groups.contains(&group) {
            // There are not more.
            let _ = groups.push(group);
        }
    };
    for address in addresses {
        match address {
            IpAddress::Ipv4(_) => add(ALL_HOSTS),
            IpAddress::Ipv6(address) => {
                add(multicast_v6(&ALL_NODES).0);
                add(multicast_v6(&solicited_node(address)).0);
            }
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_address_has_its_group_once() {
        let addresses = ["10.0.0.2", "10.0.0.3", "fe80::12:3456", "fd00::12:3456", "fd00::7"];
        let addresses = addresses.map(|text| text.parse().expect("an address"));
        let expected = [
            ALL_HOSTS,
            [0x33, 0x33, 0, 0, 0, 1],
            [0x33, 0x33, 0xff, 0x12, 0x34, 0x56],
            [0x33, 0x33, 0xff, 0, 0, 7],
        ];
        assert_eq!(groups(addresses.into_iter()), expected);
        assert!(groups([].into_iter()).is_empty());
    }
}
