//! How smoltcp is made to choose a given initial sequence number.

/// The seed with which the first sequence number that an interface of smoltcp 0.14 chooses is
/// `number`.
///
/// Its generator (`rand.rs`) multiplies the state by `M` and adds `A`, and gives out 32 bits of it
/// from a place that depends on the upper three. The first number that an interface takes is for
/// IPv4 identification, and is taken again while it is zero; the second one is the one in question.
pub(super) fn seed_for(number: u32) -> u64 {
    const M: u64 = 0xbb2e_fcec_3c39_611d;
    const A: u64 = 0x7590_ef39;
    const BACK: u64 = inverse(M);
    let previous = |state: u64| state.wrapping_sub(A).wrapping_mul(BACK);
    let output = |state: u64| (state >> (29 - (state >> 61))) as u32;
    (0u64..)
        .map(|low| previous(u64::from(number) << 29 | low))
        .find(|&first| {
            let number = output(first);
            (number ^ (number >> 16)) as u16 != 0
        })
        .map_or(0, previous)
}

/// The number that multiplied by the odd number `of` gives 1, by Newton's iteration.
const fn inverse(of: u64) -> u64 {
    let mut inverse = of;
    let mut round = 0;
    while round < 6 {
        inverse = inverse.wrapping_mul(2u64.wrapping_sub(of.wrapping_mul(inverse)));
        round += 1;
    }
    inverse
}

#[cfg(test)]
mod tests {
    use smoltcp::{
        socket::tcp::Socket,
        time::Instant,
        wire::{IpAddress, IpEndpoint, TcpSeqNumber},
    };

    use super::*;
    use crate::net::{
        tcp::{
            connection::Connection,
            peer_options::PeerOptions,
            stage::{Stage, link, syn},
        },
        wire::Flow,
    };

    #[test]
    fn smoltcp_chooses_the_number_that_it_is_made_to() {
        let link = link();
        for number in [0, 1, 0x7fff_ffff, 0x8000_0000, 0xdead_beef, u32::MAX] {
            for local in [IpAddress::v4(10, 0, 0, 1), IpAddress::v6(0xfd00, 0, 0, 0, 0, 0, 0, 1)] {
                let flow = Flow {
                    local: IpEndpoint::new(local, 80),
                    remote: IpEndpoint::new(
                        match local {
                            IpAddress::Ipv4(_) => IpAddress::v4(192, 168, 0, 1),
                            IpAddress::Ipv6(_) => IpAddress::v6(0x2001, 0, 0, 0, 0, 0, 0, 1),
                        },
                        1000,
                    ),
                };
                let (mut set, handle) = Connection::sockets(1000, 1000).unwrap();
                let seed = seed_for(number);
                let mut stage = Stage::new(&flow, &link, seed, Instant::from_secs(100));
                set.get_mut::<Socket<'_>>(handle).listen(80).unwrap();
                let line = syn(&PeerOptions::default(), TcpSeqNumber(7), 1000);
                let answer = stage.play(&mut set, &line).unwrap();
                assert_eq!(answer.sequence.0 as u32, number);
                assert_eq!(answer.acknowledgement, TcpSeqNumber(8));
            }
        }
    }
}
