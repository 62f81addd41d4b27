//! Uses devices whose back ends mean harm, and says what becomes of that when dom0 asks
//! ([`guests::agent`]): the program is `hostile` of `tests/backends`.
//!
//! ```text
//! disk INDEX     begins to read the disk, again and again
//! net INDEX      begins to send and to receive datagrams
//! how INDEX      what has become of it: `connecting`, `works` and how often, `ended` and why
//! stop INDEX     ends it, wherever it is
//! rest, go       nobody asks a device for anything more, or again
//! usage          free pages of memory, free and deferred grants, bytes of the heap
//! ping
//! ```
//@ machine: lab
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use core::{cell::Cell, fmt::Display, time::Duration};

use mayfly::{
    JoinHandle, Machine, Result,
    alloc::{
        collections::BTreeMap,
        format,
        rc::Rc,
        string::{String, ToString},
    },
    memory,
    net::UdpSocket,
    println, spawn,
    time::sleep,
};

/// What a good back end fills sectors with.
const CONTENT: u8 = 0x5a;
/// The port of datagrams, and the time between them, or between reads.
const PORT: u16 = 7;
const INTERVAL: Duration = Duration::from_millis(10);

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let machine = Rc::new(machine);
    let mut agent =
        Agent { machine: Rc::clone(&machine), devices: BTreeMap::new(), rests: Rc::default() };
    guests::agent::obey(&machine, async |command| Some(agent.obey(command))).await
}

/// A device that is used.
struct Device {
    task: JoinHandle<()>,
    /// How often that has worked.
    count: Rc<Cell<u32>>,
    end: Rc<Cell<Option<String>>>,
}

struct Agent {
    machine: Rc<Machine>,
    devices: BTreeMap<u8, Device>,
    rests: Rc<Cell<bool>>,
}

impl Agent {
    fn obey(&mut self, command: &str) -> String {
        let (verb, index) = command.split_once(' ').unwrap_or((command, ""));
        let index = index.parse().unwrap_or(0);
        match verb {
            "disk" | "net" => self.begin(index, verb == "disk"),
            "how" => return self.how(index),
            "stop" => {
                if let Some(device) = self.devices.remove(&index) {
                    device.task.abort();
                }
            }
            "rest" => self.rests.set(true),
            "go" => self.rests.set(false),
            "usage" => return usage(),
            "ping" => {}
            _ => return "what?".to_string(),
        }
        "done".to_string()
    }

    fn begin(&mut self, index: u8, is_disk: bool) {
        println!("{} {index}", if is_disk { "disk" } else { "net" });
        let (count, end) = (Rc::default(), Rc::default());
        let used = Use {
            machine: Rc::clone(&self.machine),
            index,
            count: Rc::clone(&count),
            rests: Rc::clone(&self.rests),
        };
        let place: Rc<Cell<Option<String>>> = Rc::clone(&end);
        let task = spawn(async move {
            let result = if is_disk { used.disk().await } else { used.net().await };
            let text = result.err().map_or_else(String::new, |error| error.to_string());
            println!("{index} ended: {text}");
            place.set(Some(text));
        });
        self.devices.insert(index, Device { task, count, end });
    }

    fn how(&self, index: u8) -> String {
        let Some(device) = self.devices.get(&index) else { return "unknown".to_string() };
        if let Some(text) = device.end.take() {
            let answer = said("ended", &text);
            device.end.set(Some(text));
            return answer;
        }
        match device.count.get() {
            0 => "connecting".to_string(),
            count => said("works", count),
        }
    }
}

fn said(what: &str, more: impl Display) -> String {
    format!("{what} {more}")
}

fn usage() -> String {
    let Some(xen) = mayfly_xen::sharing() else { return String::new() };
    let deferred = xen.grants.poll_deferred();
    let memory = memory::stats();
    format!("{} {} {deferred} {}", memory.free_frames, xen.grants.free(), memory.heap_in_use)
}

/// How a device is used.
struct Use {
    machine: Rc<Machine>,
    index: u8,
    count: Rc<Cell<u32>>,
    rests: Rc<Cell<bool>>,
}

impl Use {
    /// Waits until something may be asked for again.
    async fn turn(&self) {
        sleep(INTERVAL).await;
        while self.rests.get() {
            sleep(10 * INTERVAL).await;
        }
    }

    fn has_worked(&self) {
        self.count.set(self.count.get() + 1);
    }

    async fn disk(&self) -> Result {
        let disk = self.machine.disk(self.index.into()).await?;
        let mut data = [0; 4096];
        loop {
            disk.read(0, &mut data).await?;
            if data.iter().any(|byte| *byte != CONTENT) {
                return Err("the disk has not what was read to it".into());
            }
            self.has_worked();
            self.turn().await;
        }
    }

    async fn net(&self) -> Result {
        let network = self.machine.network_at(self.index.into()).await?;
        let socket = Rc::new(UdpSocket::bind(&network, PORT).await?);
        let all = format!("10.98.{}.255:{PORT}", self.index).parse();
        let all = all.map_err(|_| "that is no address")?;
        let (receiver, count) = (Rc::clone(&socket), Rc::clone(&self.count));
        let receiving = spawn(async move {
            while receiver.recv().await.is_ok() {
                count.set(count.get() + 1);
            }
        });
        let error = loop {
            if let Err(error) = socket.send_to(b"hello", all).await {
                break error;
            }
            self.turn().await;
        };
        receiving.abort();
        Err(error.into())
    }
}
