//! The handle to one network.

use alloc::{boxed::Box, rc::Rc, vec::Vec};
use core::{cell::RefCell, fmt, future::poll_fn, net::IpAddr, task::Poll};

use mayfly_device::NetDevice;

use super::{Error, NetConfig, Stats, runner, stack::Stack};
use crate::{
    executor::{self, Awaiting},
    random, time,
};

/// One network interface and all that belongs to it. Clones are handles to the same one.
#[derive(Clone)]
pub struct Network {
    stack: Rc<RefCell<Stack>>,
}

impl Network {
    /// Puts the network on a device, and starts the task that serves it. That task runs until the
    /// device is gone.
    pub fn start(device: Box<dyn NetDevice>, mut config: NetConfig) -> Self {
        if config.seed == 0 {
            config.seed = random_seed();
        }
        let stack = Stack::new(device, &config, runner::smoltcp_time(time::Instant::now()));
        let network = Self { stack: Rc::new(RefCell::new(stack)) };
        executor::spawn_essential("network", runner::run(network.clone())).detach();
        network
    }

    /// Waits until there is an address to talk to the world with: an IPv4 address, or if IPv4 is
    /// off, any IPv6 address.
    ///
    /// # Errors
    /// [`Error::DeviceGone`].
    pub async fn wait_configured(&self) -> Result<(), Error> {
        if self.with(|stack| stack.has_no_family()) {
            log::warn!("network: waiting for an address, but IPv4 and IPv6 are off; leave one on");
        }
        poll_fn(|cx| {
            self.with(|stack| {
                if stack.is_dead {
                    return Poll::Ready(Err(Error::DeviceGone));
                }
                let addresses = stack.interface.ip_addrs();
                let is_configured = if stack.addressing.wants_ipv4 {
                    stack.interface.ipv4_addr().is_some()
                } else {
                    !addresses.is_empty()
                };
                if is_configured {
                    return Poll::Ready(Ok(()));
                }
                stack.address_waiters.register(cx.waker());
                executor::describe(Awaiting::new("an address for the network", 0));
                Poll::Pending
            })
        })
        .await
    }

    /// Waits until addresses, routers or name servers are other than at the time of the call.
    ///
    /// # Errors
    /// [`Error::DeviceGone`].
    pub async fn changed(&self) -> Result<(), Error> {
        let version = self.with(|stack| stack.addressing.version);
        poll_fn(|cx| {
            self.with(|stack| {
                if stack.is_dead {
                    return Poll::Ready(Err(Error::DeviceGone));
                }
                if stack.addressing.version != version {
                    return Poll::Ready(Ok(()));
                }
                stack.address_waiters.register(cx.waker());
                executor::describe(Awaiting::new("another address of the network", 0));
                Poll::Pending
            })
        })
        .await
    }

    /// The addresses of the interface and the lengths of their prefixes in bits.
    pub fn addresses(&self) -> Vec<(IpAddr, u8)> {
        self.with(|stack| {
            let own = stack.interface.ip_addrs().iter();
            own.map(|cidr| (cidr.address().into(), cidr.prefix_len())).collect()
        })
    }

    /// The routers to other networks: that for IPv4 and that for IPv6, if known.
    pub fn gateways(&self) -> Vec<IpAddr> {
        self.with(|stack| {
            let v4 = stack.addressing.gateway.map(IpAddr::V4);
            v4.into_iter().chain(stack.addressing.gateway6.map(IpAddr::V6)).collect()
        })
    }

    /// The name servers that are asked.
    pub fn name_servers(&self) -> Vec<IpAddr> {
        self.with(|stack| stack.addressing.name_servers.iter().map(|&at| at.into()).collect())
    }

    /// The Ethernet address of the device.
    pub fn mac(&self) -> [u8; 6] {
        self.with(|stack| stack.port.info.mac)
    }

    /// What the network has done so far.
    pub fn stats(&self) -> Stats {
        self.with(|stack| stack.port.stats)
    }

    /// Works on the stack. Never called from within itself: the stack calls nothing but wakers and
    /// the closures of `read_with` and its like, which have no handle in their hands.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Stack) -> R) -> R {
        work(&mut self.stack.borrow_mut())
    }
}

fn random_seed() -> u64 {
    let mut seed = [0; 8];
    if random::fill(&mut seed).is_err() {
        log::warn!(
            "network: no source of randomness, so ports and sequence numbers can be guessed"
        );
        seed = time::Instant::now().as_nanos().to_ne_bytes();
    }
    u64::from_ne_bytes(seed)
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        if let Ok(stack) = self.stack.try_borrow() {
            for cidr in stack.interface.ip_addrs() {
                list.entry(&format_args!("{cidr}"));
            }
        }
        list.finish()
    }
}
