//! The window field, as the peer is to read it.
//!
//! How far the peer shifts the field is agreed on in the SYNs, for the life of the connection (RFC
//! 7323 section 2.2). smoltcp chooses the number by the receive buffer that its socket has then,
//! and a connection begins with a small one. So every SYN offers `SCALE` in the place of smoltcp's
//! choice, and the field of all later segments is translated on its way out, from the scale of the
//! socket that the connection has by then.

use super::segment::SYN;

/// The scale that is offered: the least with which a window of a mebibyte can be told. A larger one
/// would make the steps larger in which windows are told.
pub(super) const SCALE: u8 = 4;
/// Windows are multiples of this, in bytes, when they are scaled.
pub(super) const STEP: usize = 1 << SCALE;
/// The largest window without a scale (RFC 7323 section 1.1).
pub(super) const MAX_PLAIN: usize = 65_535;
/// The largest scale, which stands for those beyond it (RFC 7323 section 2.3).
pub(super) const MAX_SCALE: u8 = 14;
/// The largest window that this side tells.
pub(super) const MAX_SCALED: usize = MAX_PLAIN << SCALE;

/// Option kind and length of the window scale (RFC 7323 section 2.2).
const OPTION: [u8; 2] = [3, 3];

/// What is done to the window field of a connection. By default, nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct WindowField {
    shift: u8,
    /// What is held back before, in units of the field.
    slack: u8,
}

impl WindowField {
    /// For a socket of smoltcp 0.14 with a receive buffer of `capacity` bytes, and a peer that
    /// offered a scale, or did not. Both sides must, or neither shifts (RFC 7323 section 2.2).
    pub(super) fn new(capacity: usize, peer_scales: bool) -> Self {
        if !peer_scales {
            return Self::default();
        }
        let own = (capacity >> 15).checked_ilog2().unwrap_or(0) as u8;
        // smoltcp rounds the window down. When the peer has filled it in part with an odd number of
        // bytes, it would so take back some that it has promised (RFC 7323 section 2.4), and drop
        // them when they come. One unit is as much as that can be, so it is not promised.
        Self { shift: SCALE.saturating_sub(own), slack: own.min(1) }
    }

    fn translated(self, field: u16) -> u16 {
        field.saturating_sub(self.slack.into()) >> self.shift
    }

    /// Translates the window field of a segment.
    #[inline]
    pub(super) fn translate(self, segment: &mut [u8]) -> Option<()> {
        let header = segment.first_chunk_mut::<20>()?;
        if header[13] & SYN == 0 {
            let field = self.translated(u16::from_be_bytes([header[14], header[15]]));
            [header[14], header[15]] = field.to_be_bytes();
        } else {
            // The window of a SYN is never scaled (RFC 7323 section 2.2).
            offer(segment);
        }
        Some(())
    }
}

/// Puts `SCALE` into a SYN that has a window scale option, right after the segment size, which
/// smoltcp always sends.
fn offer(syn: &mut [u8]) {
    if let Some([option @ .., scale]) = syn.get_mut(24..27)
        && option == OPTION
    {
        *scale = SCALE;
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};
    use smoltcp::socket::tcp::{Socket, SocketBuffer};

    use super::*;

    /// What a socket with this receive buffer tells at most, by smoltcp 0.14.
    fn field(window: usize, own: u32) -> u16 {
        u16::try_from(window >> own).unwrap_or(u16::MAX)
    }

    fn own(capacity: usize) -> u32 {
        (usize::BITS - capacity.leading_zeros()).saturating_sub(16)
    }

    #[test]
    fn nothing_is_done_for_a_peer_that_does_not_scale() {
        let window = WindowField::new(MAX_PLAIN, false);
        assert_eq!(window.translated(MAX_PLAIN as u16), MAX_PLAIN as u16);
        assert_eq!(window.translated(1), 1);
    }

    #[test]
    fn a_full_window_is_told() {
        assert_eq!(WindowField::new(2928, true).translated(2928), 2928 / 16);
        for capacity in [4096, MAX_PLAIN, 65_536, 131_071, 262_144, 524_288, MAX_SCALED] {
            let window = WindowField::new(capacity, true);
            let told = usize::from(window.translated(field(capacity, own(capacity)))) << SCALE;
            assert!((capacity - 2 * STEP..=capacity).contains(&told), "{told} of {capacity}");
        }
    }

    #[test]
    fn smoltcp_takes_such_buffers() {
        let buffer = || SocketBuffer::new(vec![0; MAX_SCALED]);
        assert_eq!(Socket::new(buffer(), buffer()).recv_capacity(), MAX_SCALED);
        assert_eq!(own(MAX_SCALED), SCALE.into());
    }

    proptest! {
        /// A peer that believes every window that it was ever told sends nothing that is dropped.
        #[test]
        fn promises_are_kept(
            capacity in prop_oneof![96..MAX_SCALED, 96..5000usize, 60_000..70_000usize],
            steps in vec((any::<bool>(), any::<u32>(), any::<bool>()), 1..200),
        ) {
            let (window, own) = (WindowField::new(capacity, true), own(capacity));
            // Bytes that have come, that were read, and up to which more may come.
            let (mut came, mut read, mut promised) = (0, 0, 0);
            for (is_read, much, tells) in steps {
                let part = |of: usize| ((of as u64 * u64::from(much)) >> 32) as usize;
                if is_read {
                    read += part(came - read + 1);
                } else if came < promised {
                    came += part(promised - came + 1);
                }
                if tells {
                    let field = field(read + capacity - came, own);
                    let told = usize::from(window.translated(field)) << SCALE;
                    // smoltcp drops what lies beyond this.
                    let taken = came + (usize::from(field) << own);
                    promised = promised.max(came + told);
                    prop_assert!(promised <= taken, "{promised} > {taken}");
                }
            }
        }
    }
}
