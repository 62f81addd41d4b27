//! Futures that must be ready in time.

use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;

use super::{Instant, Sleep, sleep, sleep_until};

/// Waits for `future`, but no longer than `duration`, which begins when it first has to wait. When
/// the time is up the future is dropped with the returned one, which cancels what it was doing.
///
/// A future that is ready at once does not even cost a look at the clock.
pub fn timeout<F: Future>(duration: Duration, future: F) -> Timeout<F> {
    Timeout { future, limit: Limit::After(duration) }
}

/// As [`timeout`], with a point in time.
pub fn timeout_at<F: Future>(deadline: Instant, future: F) -> Timeout<F> {
    Timeout { future, limit: Limit::At(sleep_until(deadline)) }
}

/// A timer for timeouts that come one after the other, each of them as [`timeout`] gives it.
/// Cheaper, if most of them end before their time: the timer is not made anew, and looked at again
/// only when the first of them would have rung.
#[derive(Debug, Default)]
pub struct Watchdog(Option<Sleep>);

impl Watchdog {
    /// One that watches nothing yet.
    pub const fn new() -> Self {
        Self(None)
    }

    /// As [`timeout`].
    pub fn timeout<F: Future>(&mut self, duration: Duration, future: F) -> Watched<'_, F> {
        Watched { future, duration: Some(duration), sleep: &mut self.0 }
    }
}

pin_project! {
    /// The future that [`Watchdog::timeout`] returns.
    #[must_use = "futures do nothing unless awaited"]
    #[derive(Debug)]
    pub struct Watched<'a, F> {
        #[pin]
        future: F,
        duration: Option<Duration>,
        sleep: &'a mut Option<Sleep>,
    }
}

impl<F: Future> Future for Watched<'_, F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.future.poll(cx) {
            return Poll::Ready(Ok(result));
        }
        if let Some(duration) = this.duration.take() {
            let deadline = Instant::now() + duration;
            this.sleep.get_or_insert_with(|| sleep_until(deadline)).reset(deadline);
        }
        let Some(sleep) = this.sleep else { return Poll::Pending };
        Pin::new(sleep).poll(cx).map(|()| Err(TimedOut))
    }
}

#[derive(Debug)]
enum Limit {
    /// The wait has not begun.
    After(Duration),
    At(Sleep),
}

pin_project! {
    /// The future that [`timeout`] returns.
    #[must_use = "futures do nothing unless awaited"]
    #[derive(Debug)]
    pub struct Timeout<F> {
        #[pin]
        future: F,
        limit: Limit,
    }
}

impl<F: Future> Future for Timeout<F> {
    type Output = Result<F::Output, TimedOut>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(result) = this.future.poll(cx) {
            return Poll::Ready(Ok(result));
        }
        if let Limit::After(duration) = *this.limit {
            *this.limit = Limit::At(sleep(duration));
        }
        let Limit::At(sleep) = this.limit else { return Poll::Pending };
        Pin::new(sleep).poll(cx).map(|()| Err(TimedOut))
    }
}

/// The time was up before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimedOut;

impl fmt::Display for TimedOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the operation took longer than its timeout; try again or allow more time")
    }
}

impl core::error::Error for TimedOut {}
