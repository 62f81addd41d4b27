//! The link of the device, which may go and come back, and may be another one then.

use core::{future::poll_fn, task::Poll};

use mayfly_device::LinkChange;
use smoltcp::wire::IpAddress;

use super::{Error, Network, emit, stack::Stack};
use crate::executor::{Awaiting, describe};

impl Network {
    /// Whether the device has a link. Without one, TCP and who sends datagrams wait for it. A device
    /// that cannot tell has one.
    pub fn is_link_up(&self) -> bool {
        self.with(|stack| stack.is_link_up)
    }

    /// Waits until the device has a link, or, with `false`, until it has none.
    ///
    /// # Errors
    /// [`Error::DeviceGone`].
    pub async fn wait_link(&self, is_up: bool) -> Result<(), Error> {
        poll_fn(|cx| {
            self.with(|stack| {
                if stack.is_dead {
                    return Poll::Ready(Err(Error::DeviceGone));
                }
                if stack.is_link_up == is_up {
                    return Poll::Ready(Ok(()));
                }
                stack.address_waiters.register(cx.waker());
                describe(Awaiting::new("the link of the network", 0));
                Poll::Pending
            })
        })
        .await
    }
}

impl Stack {
    /// Goes by what has become of the link.
    #[cold]
    pub(super) fn link_changed(&mut self, change: LinkChange) {
        self.is_link_up = change == LinkChange::Up;
        if self.is_link_up {
            self.announce();
            self.look_around();
        }
        self.address_waiters.wake();
    }

    /// Tells the link where all addresses are.
    fn announce(&mut self) {
        for cidr in self.interface.ip_addrs() {
            match cidr.address() {
                IpAddress::Ipv4(own) => emit::arp_request(&mut self.port, own, own),
                IpAddress::Ipv6(own) => emit::neighbor_advertisement(&mut self.port, own),
            }
        }
    }

    /// Finds out what network it is: neighbours, lease and routers may be others.
    fn look_around(&mut self) {
        // Which makes smoltcp forget its neighbours.
        self.interface.update_ip_addrs(|_| ());
        self.neighbors.clear();
        self.renew_lease();
        if let Some(autoconf) = &mut self.autoconf {
            autoconf.look_again(self.now);
        }
        self.upkeep_is_due = true;
    }
}
