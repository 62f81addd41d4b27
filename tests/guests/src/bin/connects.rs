//! Connects all of its devices at the same time: dom0 has their back ends come in the opposite order,
//! one when the one before is connected, so that a device that waited for another would wait for
//! ever.
//@ machine: xen
//@ disk: 1M
//@ disk: 2M
//@ network: lab
//@ arguments: ip=10.99.0.13/24 ip6=off
//@ dom0: connects.sh
#![no_std]
#![no_main]
#![forbid(unsafe_code)]

use guests::check;
use mayfly::{
    Error, Machine, Result,
    alloc::{format, rc::Rc},
    time::{self, Duration},
};

/// Longer than dom0 takes for all of them.
const PATIENCE: Duration = Duration::from_secs(50);

#[mayfly::main]
async fn main(machine: Machine) -> Result {
    let machine = Rc::new(machine);
    let xen = machine.xen().ok_or("there is no Xen")?;
    let store = xen.store();
    // dom0 takes the back ends away first.
    while store.read("data/go").await.is_err() {
        time::sleep(Duration::from_millis(100)).await;
    }
    let tasks = ["disk0", "disk1", "network"].map(|device| {
        let (machine, store) = (Rc::clone(&machine), store.clone());
        mayfly::spawn(async move {
            connect(&machine, device).await?;
            store.write(&format!("data/{device}"), "connected").await?;
            Ok::<_, Error>(())
        })
    });
    let together = async {
        for task in tasks {
            task.await??;
        }
        Ok::<_, Error>(())
    };
    time::timeout(PATIENCE, together).await.map_err(|_| "a device waits for another")??;
    guests::pass()
}

/// Connects a device, and uses it.
async fn connect(machine: &Machine, device: &str) -> Result {
    match device {
        "network" => {
            let network = machine.network_at(0).await?;
            network.wait_configured().await?;
            check(network.is_link_up(), "the network has no link")
        }
        _ => {
            let index = usize::from(device == "disk1");
            let disk = machine.disk(index).await?;
            check(disk.size() == (1 << 20) << index, "a disk is another one")?;
            let mut sector = [1; 512];
            disk.read(0, &mut sector).await?;
            check(sector.iter().all(|&byte| byte == 0), "a new disk is not empty")
        }
    }
}
