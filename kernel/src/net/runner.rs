//! The task that moves frames: it runs the stack whenever the device, a socket or a timer has a
//! reason to, and otherwise waits.

use core::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};

use smoltcp::time::Instant as SmolInstant;

use super::{Network, stack::Stack};
use crate::{
    executor::{self, Awaiting},
    time::{Instant, Sleep, sleep_until},
};

const NANOS_PER_MICRO: u64 = 1000;
/// How often the stack runs before other tasks have their turn. Whoever is on the other side of the
/// device may always have something for us that turns out to be nothing, on a processor of its own.
const MAX_TURNS: usize = 8;

/// The time in the unit of smoltcp, rounded down.
pub(super) fn smoltcp_time(instant: Instant) -> SmolInstant {
    SmolInstant::from_micros(micros(instant.as_nanos()) as i64)
}

/// What a compiler makes of `nanos / 1000`, except for processors of 32 bits: there, it calls a
/// function for the division, which takes some hundred instructions, and this is for every wake-up.
fn micros(nanos: u64) -> u64 {
    // 2 to the power of 68 by 125, rounded up.
    const RECIPROCAL: u128 = 0x20c4_9ba5_e353_f7cf;
    ((u128::from(nanos >> 3) * RECIPROCAL) >> 68) as u64
}

fn kernel_time(instant: SmolInstant) -> Instant {
    let micros = u64::try_from(instant.total_micros()).unwrap_or(0);
    Instant::from_nanos(micros.saturating_mul(NANOS_PER_MICRO))
}

/// Serves a network until its device is gone.
pub(super) async fn run(network: Network) {
    let mut alarm = Alarm::default();
    poll_fn(|cx| network.with(|stack| poll(stack, &mut alarm, cx))).await;
    network.with(Stack::die);
}

/// Ready when the device is gone.
fn poll(stack: &mut Stack, alarm: &mut Alarm, cx: &mut Context<'_>) -> Poll<()> {
    stack.register_runner(cx.waker());
    for _ in 0..MAX_TURNS {
        if stack.run(smoltcp_time(Instant::now())) {
            break;
        }
        match stack.port.poll_ready(cx) {
            Poll::Ready(Ok(())) => {
                if let Some(change) = stack.port.link_change() {
                    stack.link_changed(change);
                }
            }
            Poll::Ready(Err(error)) => {
                log::error!("network: {error}");
                return Poll::Ready(());
            }
            Poll::Pending if alarm.poll(stack.deadline(), stack.now, cx).is_ready() => {}
            Poll::Pending => {
                executor::describe(Awaiting::new("a frame or a timer of the network", 0));
                return Poll::Pending;
            }
        }
    }
    // More to do, but others first.
    cx.waker().wake_by_ref();
    Poll::Pending
}

/// A timer that is only touched when it has to ring earlier than it would: most deadlines move
/// later before they come.
#[derive(Default)]
struct Alarm(Option<Sleep>);

impl Alarm {
    /// Ready when it rings, which may be before `deadline`. `now` is the present.
    fn poll(
        &mut self,
        deadline: Option<SmolInstant>,
        now: SmolInstant,
        cx: &mut Context<'_>,
    ) -> Poll<()> {
        let Some(deadline) = deadline.map(kernel_time) else {
            self.0 = None;
            return Poll::Pending;
        };
        match &mut self.0 {
            // It is set, and for later.
            Some(sleep) if sleep.deadline() <= deadline && sleep.deadline() > kernel_time(now) => {
                return Poll::Pending;
            }
            Some(sleep) => sleep.reset(deadline),
            None => self.0 = Some(sleep_until(deadline)),
        }
        let Some(sleep) = &mut self.0 else { return Poll::Pending };
        let rings = Pin::new(sleep).poll(cx);
        if rings.is_ready() {
            self.0 = None;
        }
        rings
    }
}

impl Stack {
    /// Brings the stack's idea of the time up to date.
    pub(super) fn update_clock(&mut self) {
        self.now = smoltcp_time(Instant::now());
    }

    /// The device is gone: tells everybody who waits.
    fn die(&mut self) {
        self.is_dead = true;
        self.is_link_up = false;
        self.port.die();
        self.forget_name_servers();
        self.address_waiters.wake();
        self.room_waiters.wake();
        for binding in self.bindings.values_mut() {
            binding.waker.wake();
        }
        for listener in self.listeners.values_mut() {
            listener.waker.wake();
        }
        self.for_each_connection(|stack, id| {
            if let Some(connection) = stack.connections.get_mut(id) {
                connection.error = Some(super::Error::DeviceGone);
                connection.socket().abort();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn microseconds_are_a_thousandth(nanos in any::<u64>(), near in any::<u16>()) {
            let multiple = nanos / 1000 * 1000;
            for nanos in [nanos, multiple, multiple.wrapping_sub(1), near.into(), !u64::from(near)] {
                prop_assert_eq!(micros(nanos), nanos / 1000);
            }
        }
    }
}
