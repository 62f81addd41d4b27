//! A smoltcp as its own documentation shows it, as the other end of a link.

use std::{collections::VecDeque, time::Duration};

use mayfly::time::timeout;
use smoltcp::{
    iface::{Config, Interface, PollResult, SocketHandle, SocketSet},
    phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken},
    socket::tcp::{Socket, SocketBuffer},
    time::Instant,
    wire::{EthernetAddress, IpAddress, IpCidr},
};

use crate::{link::LinkDevice, peer::Raw};

/// Frames for it, and from it.
#[derive(Default)]
struct Queues {
    inbound: VecDeque<Vec<u8>>,
    outbound: VecDeque<Vec<u8>>,
}

impl Device for Queues {
    type RxToken<'a> = Inbound;
    type TxToken<'a> = Outbound<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Inbound, Outbound<'_>)> {
        let frame = self.inbound.pop_front()?;
        Some((Inbound(frame), Outbound(&mut self.outbound)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Outbound<'_>> {
        Some(Outbound(&mut self.outbound))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Inbound(Vec<u8>);

impl RxToken for Inbound {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, look: F) -> R {
        look(&self.0)
    }
}

struct Outbound<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Outbound<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.push_back(frame);
        result
    }
}

/// An interface at 10.0.0.1 with one TCP socket.
pub struct Plain {
    raw: Raw,
    queues: Queues,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
}

impl Plain {
    pub fn new(device: LinkDevice, buffer: usize) -> Self {
        let mut queues = Queues::default();
        let config = Config::new(EthernetAddress([2, 0, 0, 0, 0, 1]).into());
        let mut interface = Interface::new(config, &mut queues, now());
        let own = IpCidr::new(IpAddress::v4(10, 0, 0, 1), 24);
        interface.update_ip_addrs(|addresses| addresses.push(own).expect("room for an address"));
        let buffers = [0, 1].map(|_| SocketBuffer::new(vec![0; buffer]));
        let [receive, send] = buffers;
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(Socket::new(receive, send));
        Self { raw: Raw(device), queues, interface, sockets, handle }
    }

    pub fn socket(&mut self) -> &mut Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Begins to connect to this port of 10.0.0.2.
    pub fn connect(&mut self, port: u16) {
        let socket = self.sockets.get_mut::<Socket<'_>>(self.handle);
        let remote = (IpAddress::v4(10, 0, 0, 2), port);
        socket.connect(self.interface.context(), remote, 50_000).expect("a fresh socket");
    }

    /// Runs until `step` says that it is done; calls it whenever something may have happened.
    pub async fn run(&mut self, mut step: impl FnMut(&mut Socket<'static>) -> bool) {
        loop {
            let at = now();
            self.poll(at);
            let is_done = step(self.sockets.get_mut(self.handle));
            self.poll(at);
            for frame in self.queues.outbound.drain(..) {
                self.raw.send(&frame);
            }
            if is_done {
                return;
            }
            let wait = self.interface.poll_delay(at, &self.sockets);
            let wait = wait.map_or(Duration::from_secs(60), Duration::from);
            let wait = wait.max(Duration::from_micros(1));
            if let Ok(frame) = timeout(wait, self.raw.receive()).await {
                self.queues.inbound.push_back(frame);
            }
        }
    }

    fn poll(&mut self, at: Instant) {
        let (interface, queues, sockets) =
            (&mut self.interface, &mut self.queues, &mut self.sockets);
        while interface.poll(at, queues, sockets) == PollResult::SocketStateChanged {}
    }
}

fn now() -> Instant {
    Instant::from_micros((mayfly::time::Instant::now().as_nanos() / 1000) as i64)
}
