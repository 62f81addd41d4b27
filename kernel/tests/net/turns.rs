//! A device that leaves the stack no rest.

use std::{
    cell::Cell,
    rc::Rc,
    task::{Context, Poll},
    time::Duration,
};

use mayfly::{
    net::Network,
    time::{Instant, sleep, timeout},
};
use mayfly_arch::simulation;
use mayfly_device::{Checksums, DeviceError, FramePool, NetDevice, NetInfo, PagePool, Received};

use crate::support::{simulate, static_config};

/// The back end answers every page at once, with an error: there is always something to receive, and
/// never a frame. For so many looks, so that a test that fails ends.
struct Errors {
    left: Rc<Cell<u32>>,
}

impl NetDevice for Errors {
    fn info(&self) -> NetInfo {
        NetInfo {
            mac: [2, 0, 0, 0, 0, 1],
            mtu: 1500,
            headroom: 0,
            checksums: Checksums::default(),
            spare_buffers: 64,
        }
    }

    fn pool(&self) -> Rc<dyn FramePool> {
        Rc::new(PagePool::new(2048, 256))
    }

    fn receive(&mut self) -> Option<Received> {
        // What dropping a ring full of answers takes.
        simulation::advance(10_000);
        None
    }

    fn transmit_room(&mut self) -> usize {
        256
    }

    fn transmit(&mut self, _: mayfly_device::FrameBuf) -> Result<(), DeviceError> {
        Ok(())
    }

    fn flush(&mut self) {}

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DeviceError>> {
        let Some(left) = self.left.get().checked_sub(1) else { return Poll::Pending };
        self.left.set(left);
        Poll::Ready(Ok(()))
    }
}

#[test]
fn a_device_that_is_always_ready_leaves_time_to_others() {
    simulate(async {
        let left = Rc::new(Cell::new(100_000));
        let _network = Network::start(Box::new(Errors { left: left.clone() }), static_config(1));
        for _ in 0..10 {
            let before = Instant::now();
            sleep(Duration::from_micros(100)).await;
            assert!(before.elapsed() < Duration::from_millis(2), "{:?}", before.elapsed());
        }
        let never = std::future::pending::<()>();
        assert!(timeout(Duration::from_millis(10), never).await.is_err());
        assert!(left.get() > 0);
    });
}
