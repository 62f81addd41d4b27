//! Everything about one network: the device, smoltcp's interface, and the sockets.
//!
//! It knows no tasks and no clock: `run` is told the time and does all that is to be done by then,
//! which makes the runner small and lets tests drive it by hand.

use alloc::{boxed::Box, collections::VecDeque, vec::Vec};

use mayfly_device::{NetDevice, Received};
use smoltcp::{
    iface::{Config, Interface, PollResult, SocketSet},
    time::{Duration, Instant},
    wire::{EthernetAddress, IpAddress},
};

use super::{
    NetConfig,
    autoconf::Autoconf,
    configure::Addressing,
    deadlines::Deadlines,
    flow_map::{FlowMap, Id},
    neighbors::Neighbors,
    phy::Phy,
    port::Port,
    port_map::PortMap,
    random::Random,
    slot_set::SlotSet,
    tcp::{Connection, Crowd, LATE, Listener, TimeWait},
    udp::{self, Binding, Kept},
    waker::{WakerList, WakerSlot},
    wire::{Class, PROTOCOL_TCP, PROTOCOL_UDP, classify},
};

/// Frames that are taken in before other tasks have their turn.
const MAX_BURST: usize = 64;
/// As often, frames are taken in and nothing else is done after a standstill: more than devices keep.
const MOST_BURSTS_BEHIND: u8 = 8;

/// See the module.
pub(super) struct Stack {
    pub(super) port: Port,
    pub(super) interface: Interface,
    /// When `run` was last called.
    pub(super) now: Instant,
    pub(super) random: Random,
    /// What has no flow: DHCP and DNS.
    pub(super) base: SocketSet<'static>,
    base_is_due: bool,
    base_deadline: Option<Instant>,
    pub(super) upkeep_is_due: bool,
    upkeep_at: Option<Instant>,
    pub(super) addressing: Box<Addressing>,
    pub(super) autoconf: Option<Autoconf>,
    pub(super) neighbors: Neighbors,
    pub(super) connections: FlowMap<Connection>,
    pub(super) deadlines: Deadlines,
    /// Connections that are looked at next.
    pub(super) line: VecDeque<Id>,
    /// The slots of those that may wait for a neighbour's address.
    pub(super) neighbor_waiters: SlotSet,
    /// Connections without an owner.
    pub(super) orphans: usize,
    /// How often frames were taken in since the last standstill.
    bursts_behind: u8,
    /// There are too many connections of a kind.
    pub(super) crowd: Option<Crowd>,
    pub(super) time_wait: TimeWait,
    pub(super) listeners: PortMap<Listener>,
    pub(super) bindings: PortMap<Box<Binding>>,
    /// What their queues hold.
    pub(super) kept: Kept,
    /// Tasks that wait for room in the device.
    pub(super) room_waiters: WakerList,
    /// The device has a link.
    pub(super) is_link_up: bool,
    /// Tasks that wait for other addresses, or for the link.
    pub(super) address_waiters: WakerList,
    /// DNS queries under way.
    pub(super) queries: usize,
    runner: WakerSlot,
    runner_is_awake: bool,
    /// The device is gone.
    pub(super) is_dead: bool,
}

impl Stack {
    /// Takes a device over. Nothing happens before `run` is called.
    pub(super) fn new(device: Box<dyn NetDevice>, config: &NetConfig, now: Instant) -> Self {
        let mut port = Port::new(device);
        let mac = EthernetAddress(port.info.mac);
        let mut random = Random::new(config.seed);
        let mut options = Config::new(mac.into());
        options.random_seed = random.next();
        let mut phy = Phy::output(&mut port, 0);
        let interface = Interface::new(options, &mut phy, now);
        let mut stack = Self {
            port,
            interface,
            now,
            base: SocketSet::new(Vec::new()),
            base_is_due: true,
            base_deadline: None,
            upkeep_is_due: true,
            upkeep_at: None,
            addressing: Box::default(),
            autoconf: None,
            neighbors: Neighbors::default(),
            connections: FlowMap::new(random.next()),
            deadlines: Deadlines::new(),
            line: VecDeque::new(),
            neighbor_waiters: SlotSet::new(),
            orphans: 0,
            bursts_behind: 0,
            crowd: None,
            time_wait: TimeWait::new(random.next()),
            listeners: PortMap::new(),
            bindings: PortMap::new(),
            kept: Kept::default(),
            room_waiters: WakerList::default(),
            is_link_up: true,
            address_waiters: WakerList::default(),
            queries: 0,
            runner: WakerSlot::new(),
            runner_is_awake: false,
            is_dead: false,
            random,
        };
        stack.configure(config);
        stack
    }

    /// Sends what is due, takes in what the device has, and tells the device. Returns whether there
    /// is more to do, after others had their turn.
    ///
    /// What comes in is not answered in the same call: the tasks that it wakes may have something
    /// to say, and then the acknowledgement goes with that, and one window update is enough.
    pub(super) fn run(&mut self, now: Instant) -> bool {
        self.now = now;
        self.port.stats.runs += 1;
        let overdue = self.deadlines.first().filter(|first| now > *first + LATE);
        let catches_up = match overdue {
            Some(first) => self.catches_up(now - first),
            None => {
                // What was late may have ended with what was taken in.
                self.bursts_behind = 0;
                false
            }
        };
        let has_room = !catches_up && self.do_what_is_due();
        let mut budget = MAX_BURST;
        while budget > 0
            && let Some(received) = self.port.receive()
        {
            self.input(received);
            budget -= 1;
        }
        if self.crowd.is_some_and(|crowd| crowd.is_due(now)) {
            self.thin_out(budget > 0);
        }
        self.port.flush();
        let goes_on = self.port.has_found_room() || has_room && !self.line.is_empty();
        budget == 0 || self.upkeep_is_due || goes_on || catches_up
    }

    /// Sends what is due. Returns whether the device has room for more.
    #[inline(always)]
    fn do_what_is_due(&mut self) -> bool {
        while let Some(slot) = self.deadlines.take_due(self.now) {
            if let Some(id) = self.connections.id_of_slot(slot) {
                self.line_up_to_send(id);
            }
        }
        let has_room = self.serve_line();
        if self.upkeep_is_due || self.upkeep_at.is_some_and(|at| at <= self.now) {
            self.upkeep();
        }
        if has_room {
            self.room_waiters.wake();
        }
        has_room
    }

    /// Whether to take in first what has come while the stack stood still, because something is late
    /// by that time: it may be to give up somebody who has not been heard.
    #[cold]
    fn catches_up(&mut self, standstill: Duration) -> bool {
        if self.bursts_behind == 0 {
            self.make_up_for(standstill);
        }
        self.bursts_behind = (self.bursts_behind + 1) % MOST_BURSTS_BEHIND;
        self.bursts_behind > 0
    }

    /// When `run` is to be called again, if nothing else happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match (self.deadlines.first(), self.upkeep_at) {
            (Some(first), Some(at)) => Some(first.min(at)),
            (first, at) => first.or(at),
        }
    }

    /// Makes smoltcp look at DHCP and DNS soon.
    pub(super) fn base_is_due(&mut self) {
        self.base_is_due = true;
        self.upkeep_is_due = true;
    }

    /// Everything that is not about frames and connections. Out of line: within the loop of the
    /// runner, the addresses of all that it touches were worked out for every frame.
    #[cold]
    #[inline(never)]
    fn upkeep(&mut self) {
        self.upkeep_is_due = false;
        self.run_base();
        if self.neighbors.deadline().is_some_and(|deadline| deadline <= self.now) {
            let interface = &self.interface;
            let source = |to: &IpAddress| interface.get_source_address(to);
            self.neighbors.ask_again(&mut self.port, source, self.now);
        }
        if self.time_wait.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.time_wait.expire(self.now);
        }
        self.run_autoconf();
        let autoconf = self.autoconf.as_ref().and_then(|autoconf| autoconf.deadline());
        let neighbors = self.neighbors.deadline();
        let time_wait = self.time_wait.deadline();
        let crowd = self.crowd.map(Crowd::look_at);
        let deadlines = [self.base_deadline, neighbors, autoconf, time_wait, crowd];
        self.upkeep_at = deadlines.into_iter().flatten().min();
    }

    fn input(&mut self, received: Received) {
        let bytes = received.frame.bytes();
        match classify(bytes, self.port.info.mac) {
            Class::Tcp(segment) if udp::is_intact(&received, &segment, PROTOCOL_TCP) => {
                self.input_tcp(&received.frame, &segment);
            }
            Class::Udp(segment) if udp::is_intact(&received, &segment, PROTOCOL_UDP) => {
                self.input_udp(received, &segment);
            }
            Class::Arp => {
                self.learn_from_arp(bytes);
                self.input_link(bytes);
            }
            Class::Icmpv6(start) => {
                self.learn_from_icmpv6(bytes, start);
                self.input_link(bytes);
            }
            Class::Other => self.input_base(bytes),
            Class::Tcp(_) | Class::Udp(_) | Class::Drop => self.port.stats.dropped_frames += 1,
        }
    }

    /// A frame that may tell smoltcp the address of a neighbour.
    #[cold]
    fn input_link(&mut self, bytes: &[u8]) {
        self.input_base(bytes);
        self.base_is_due();
        self.neighbor_learned();
    }

    /// Gives smoltcp a frame that belongs to no socket of this layer.
    pub(super) fn input_base(&mut self, bytes: &[u8]) {
        let mut phy = Phy::input(&mut self.port, bytes);
        self.interface.poll_ingress_single(self.now, &mut phy, &mut self.base);
    }

    /// Lets connections send. Returns whether the device has room for more.
    fn serve_line(&mut self) -> bool {
        self.port.go_on_cutting();
        for _ in 0..self.line.len() {
            if !self.port.has_room() {
                return false;
            }
            let Some(id) = self.line.pop_front() else { break };
            if !self.serve(id) {
                return false;
            }
        }
        self.port.has_room()
    }

    fn run_base(&mut self) {
        if !self.base_is_due && self.base_deadline.is_none_or(|deadline| deadline > self.now) {
            return;
        }
        self.base_is_due = false;
        let frames = self.port.stats.sent_frames;
        loop {
            let mut phy = Phy::output(&mut self.port, 0);
            let result = self.interface.poll_egress(self.now, &mut phy, &mut self.base);
            self.apply_lease();
            if result == PollResult::None {
                break;
            }
        }
        // One that has passed means that something could not be sent: try again, but not at once.
        let wanted = self.interface.poll_at(self.now, &self.base);
        if self.queries > 0 && frames == self.port.stats.sent_frames && self.waits_to_ask(wanted) {
            let servers = self.addressing.name_servers.clone();
            servers.iter().for_each(|server| self.ask_for(server));
        }
        let soon = self.now + Duration::from_millis(100);
        self.base_deadline = wanted.map(|at| if at > self.now { at } else { soon });
    }

    /// Registers the task that calls `run`.
    pub(super) fn register_runner(&mut self, waker: &core::task::Waker) {
        self.runner.register(waker);
        self.runner_is_awake = false;
    }

    /// Makes the runner call `run` soon.
    pub(super) fn wake_runner(&mut self) {
        if !self.runner_is_awake {
            self.runner_is_awake = true;
            self.runner.wake_by_ref();
        }
    }
}
