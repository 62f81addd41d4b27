//! When a connection sends again what was not acknowledged.
//!
//! smoltcp 0.14 has a timer for that, which doubles each time, and is only itself again when
//! something new is acknowledged with nothing having been sent again in between. RFC 6298 allows
//! that (section 5), but on a link that loses one frame in fifteen the next loss mostly comes first,
//! and the timer grows to a minute. And when several segments were lost, it sends the first of them
//! at once and waits for the timer with each of the others.
//!
//! So the round trip is measured here as well, and what is missing is sent again
//!
//! - after a time that doubles until anything is acknowledged, as Linux has it;
//! - at once, when what was missing has come, and the next gap is told of (RFC 6582 section 3.2: a
//!   partial acknowledgement).
//!
//! smoltcp's timer stays. It rarely comes first, but it is the one for a handshake, for the end of a
//! stream that is missing alone, for a connection in LAST-ACK, where smoltcp cannot be asked, and for
//! a path on which nothing helps: only it reduces what is under way to one segment.

use smoltcp::{
    time::{Duration, Instant},
    wire::TcpSeqNumber,
};

/// Before the first measurement (RFC 6298 section 2.1).
const FIRST: Duration = Duration::from_secs(1);
/// What is added to the round trip at least, in microseconds: RFC 6298 section 2.4 wants a second in
/// all, Linux has this, within which nearly everybody acknowledges.
const LEAST_MARGIN: u32 = 200_000;
/// The longest time (RFC 6298 section 2.5).
const LONGEST: Duration = Duration::from_secs(60);
/// How often something is sent again by this timer before anything is acknowledged: after that, the
/// path may be full of it, and smoltcp's timer makes room (RFC 5681 section 3.1).
const TRIES: u8 = 2;
/// With so many, any time is the longest.
const MOST_DOUBLINGS: u8 = 16;
/// How often a time of a second may have been too short before one of two is kept.
const CHANCES: u8 = 4;
/// Longest round trip that is taken for one, in microseconds.
const LONGEST_ROUND_TRIP: u64 = 60_000_000;

/// What a segment that went out was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// New, up to this number.
    New(TcpSeqNumber),
    /// Some of it new, behind what has gone out before: in a probe of a closed window, say.
    Partly,
    /// The first that is not acknowledged, once more, up to this number.
    First(TcpSeqNumber),
    /// Another one once more: smoltcp goes over all of them.
    Later,
}

/// Round trips, in microseconds (RFC 6298 section 2).
#[derive(Clone, Copy, Debug)]
struct RoundTrip {
    smoothed: u32,
    variation: u32,
}

impl RoundTrip {
    fn measured(before: Option<Self>, time: u32) -> Self {
        let Some(Self { smoothed, variation }) = before else {
            return Self { smoothed: time, variation: time / 2 };
        };
        Self {
            smoothed: smoothed - smoothed / 8 + time / 8,
            variation: variation - variation / 4 + smoothed.abs_diff(time) / 4,
        }
    }
}

/// See the module. By default, nothing was sent.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Retransmission {
    round_trip: Option<RoundTrip>,
    /// The segment that is measured: the number after it, and when it was sent.
    timed: Option<(TcpSeqNumber, Instant)>,
    /// When to send again.
    due: Option<Instant>,
    /// Since when there has always been something under way.
    waits_since: Option<Instant>,
    /// How often the time was doubled since anything was acknowledged.
    doublings: u8,
    /// What it had become then, while no round trip has been measured since.
    grown: Duration,
    /// How often that was so, one time after the other.
    unmeasured: u8,
    /// While single segments are sent again: the number up to which all had been sent then.
    recovers_to: Option<TcpSeqNumber>,
    /// The end of the last one of these.
    sent_again: Option<TcpSeqNumber>,
    /// Whether what is missing next is to be sent again at once.
    is_partial: bool,
}

impl Retransmission {
    /// Notes what went out; before `next`, all was sent.
    pub(super) fn sent(&mut self, what: Sent, next: TcpSeqNumber, now: Instant) {
        match what {
            Sent::New(end) => {
                // Behind a gap, the acknowledgement waits for that to be closed.
                if self.recovers_to.is_none() {
                    self.timed.get_or_insert((end, now));
                }
                return self.start(now);
            }
            Sent::Partly => {
                self.timed = None;
                return self.start(now);
            }
            Sent::First(end) => {
                self.recovers_to = self.recovers_to.or(Some(next));
                self.sent_again = Some(end);
            }
            Sent::Later => self.recovers_to = None,
        }
        // Which of them is acknowledged cannot be known (RFC 6298 section 3).
        self.timed = None;
        self.due = Some(now + self.time());
    }

    /// Starts the timer, unless it runs.
    fn start(&mut self, now: Instant) {
        self.waits_since.get_or_insert(now);
        if self.due.is_none() {
            self.due = Some(now + self.time());
        }
    }

    /// Notes that everything before `number` is acknowledged, some of it newly, and whether that is
    /// all that was written.
    pub(super) fn acknowledged(&mut self, number: TcpSeqNumber, is_all: bool, now: Instant) {
        if self.doublings > 0 {
            self.unmeasured = (self.unmeasured + 1).min(MOST_DOUBLINGS);
            self.grown = self.time().min(FIRST * (1 << (self.unmeasured / CHANCES)));
            self.doublings = 0;
        }
        if let Some((_, sent)) = self.timed.take_if(|(end, _)| *end <= number) {
            let time = (now - sent).total_micros().min(LONGEST_ROUND_TRIP) as u32;
            self.round_trip = Some(RoundTrip::measured(self.round_trip, time));
            (self.grown, self.unmeasured) = (Duration::ZERO, 0);
        }
        self.due = (!is_all).then(|| now + self.time());
        self.waits_since = self.waits_since.filter(|_| !is_all);
        self.recovers_to = self.recovers_to.filter(|end| !is_all && number < *end);
        // All of what was sent again has come, and more is missing.
        let has_come = self.sent_again.is_some_and(|end| end <= number);
        self.is_partial = has_come && self.recovers_to.is_some();
    }

    /// When to look again.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.is_partial { Some(Instant::ZERO) } else { self.due }
    }

    /// Whether the first that is not acknowledged is to be sent again now. True once for each time.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        if core::mem::take(&mut self.is_partial) {
            return true;
        }
        let is_due = self.due.is_some_and(|due| due <= now);
        if is_due {
            self.doublings = (self.doublings + 1).min(MOST_DOUBLINGS);
            self.due = Some(now + self.time());
        }
        is_due
    }

    /// What was due has not gone out, although it could: it still is due.
    pub(super) fn postpone(&mut self) {
        self.is_partial = true;
        self.doublings = self.doublings.saturating_sub(1);
    }

    /// Leaves it to others what becomes of what was due.
    pub(super) fn stop(&mut self) {
        self.due = None;
        self.doublings = self.doublings.saturating_sub(1);
    }

    /// Whether nothing helps: nothing was acknowledged although it was sent again several times.
    pub(super) fn is_in_vain(&self) -> bool {
        self.doublings > TRIES
    }

    /// When something went out first while nothing else was under way; `None` if nothing is.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        self.waits_since
    }

    /// How long to wait for an acknowledgement.
    fn time(&self) -> Duration {
        let first = self.round_trip.map_or(FIRST, |round_trip| {
            let margin = round_trip.variation.saturating_mul(4).max(LEAST_MARGIN);
            Duration::from_micros(u64::from(round_trip.smoothed) + u64::from(margin))
        });
        LONGEST.min(first.max(self.grown) * (1 << self.doublings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where numbers wrap.
    const START: TcpSeqNumber = TcpSeqNumber(i32::MAX - 1000);

    fn at(millis: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(millis)
    }

    /// One that has measured a round trip of 40 ms, and has nothing under way.
    fn measured() -> Retransmission {
        let mut timer = Retransmission::default();
        timer.sent(Sent::New(START), START, at(0));
        assert_eq!(timer.deadline(), Some(at(1000)));
        timer.acknowledged(START, true, at(40));
        assert_eq!(timer.deadline(), None);
        timer
    }

    /// The same with three segments of a kilobyte under way since 1000 ms.
    fn waiting() -> Retransmission {
        let mut timer = measured();
        for count in 1..=3 {
            let end = START + count * 1024;
            timer.sent(Sent::New(end), end, at(1000));
        }
        assert_eq!(timer.deadline(), Some(at(1240)));
        timer
    }

    /// The deadline has come: the first segment goes out again.
    fn send_again(timer: &mut Retransmission, next: TcpSeqNumber) -> Instant {
        let now = timer.deadline().unwrap();
        assert!(timer.take_due(now), "{timer:?}");
        timer.sent(Sent::First(START + 1024), next, now);
        now
    }

    #[test]
    fn the_time_follows_the_round_trip() {
        // By the formulas of RFC 6298, section 2.3.
        let mut timer = measured();
        for (time, deadline) in [(40, 2240), (440, 2523), (440, 2984), (440, 3127)] {
            timer.sent(Sent::New(START + 1), START + 1, at(1000));
            timer.acknowledged(START + 1, true, at(1000 + time));
            timer.sent(Sent::New(START + 2), START + 2, at(2000));
            assert_eq!(timer.deadline().unwrap().total_millis(), deadline);
            timer.acknowledged(START + 2, true, at(2000 + time));
        }
    }

    #[test]
    fn it_doubles_until_something_is_acknowledged() {
        let (mut timer, next) = (waiting(), START + 3072);
        let times: Vec<i64> =
            (0..10).map(|_| send_again(&mut timer, next).total_millis()).collect();
        let waits: Vec<i64> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waits, [480, 960, 1920, 3840, 7680, 15_360, 30_720, 60_000, 60_000]);
        let now = Instant::from_millis(*times.last().unwrap());
        timer.acknowledged(START + 1024, false, now);
        // The next gap is closed at once; after that, it is no longer than a second.
        assert_eq!(send_again(&mut timer, next), Instant::ZERO);
        timer.acknowledged(next, true, now);
        timer.sent(Sent::New(next + 1), next + 1, now);
        assert_eq!(timer.deadline(), Some(now + FIRST));
        // A new measurement is all that counts.
        timer.acknowledged(next + 1, true, now + Duration::from_millis(40));
        timer.sent(Sent::New(next + 2), next + 2, now);
        assert!(timer.deadline().unwrap() < now + Duration::from_millis(250));
    }

    #[test]
    fn gaps_are_closed_one_after_the_other() {
        let (mut timer, next) = (waiting(), START + 3072);
        timer.sent(Sent::First(START + 1024), next, at(1050));
        assert!(!timer.take_due(at(1090)));
        timer.acknowledged(START + 1024, false, at(1090));
        assert!(timer.take_due(at(1090)));
        assert!(!timer.take_due(at(1090)), "once is enough");
        // What is sent meanwhile is another matter.
        timer.sent(Sent::New(next + 10), next + 10, at(1090));
        timer.sent(Sent::First(START + 1024), next + 10, at(1090));
        timer.acknowledged(next, false, at(1130));
        assert!(!timer.take_due(at(1130)));
        assert_eq!(timer.deadline(), Some(at(1370)));
        // How long that waited for the gap is no round trip.
        timer.acknowledged(next + 10, false, at(3000));
        assert_eq!(timer.deadline(), Some(at(3240)));
    }

    #[test]
    fn who_goes_over_all_needs_no_help() {
        let (mut timer, next) = (waiting(), START + 3072);
        timer.sent(Sent::First(START + 1024), next, at(1300));
        timer.sent(Sent::Later, next, at(1300));
        timer.acknowledged(START + 1024, false, at(1340));
        assert!(!timer.take_due(at(1340)));
        // Nothing of that says how long the way is.
        assert_eq!(timer.deadline(), Some(at(1580)));
    }

    #[test]
    fn what_went_out_twice_in_part_is_not_measured() {
        let (mut timer, next) = (measured(), START + 1);
        // A probe, and ten seconds later, when the window opens, all of it.
        timer.sent(Sent::New(next), next, at(1000));
        timer.sent(Sent::Partly, next + 999, at(11_000));
        timer.acknowledged(next + 999, true, at(11_040));
        timer.sent(Sent::New(next + 1000), next + 1000, at(12_000));
        assert_eq!(timer.deadline(), Some(at(12_240)));
    }

    #[test]
    fn a_path_that_has_become_slow_is_measured_in_the_end() {
        const ROUND_TRIP: Duration = Duration::from_secs(7);
        let (mut timer, mut now, mut next) = (measured(), at(1000), START);
        let mut rounds = 0;
        while timer.time() < ROUND_TRIP {
            let came = now + ROUND_TRIP;
            next += 1000;
            timer.sent(Sent::New(next), next, now);
            while timer.deadline().is_some_and(|due| due < came) {
                send_again(&mut timer, next);
            }
            timer.acknowledged(next, true, came);
            (now, rounds) = (came, rounds + 1);
            assert!(rounds < 20, "{timer:?}");
        }
    }

    #[test]
    fn what_cannot_be_sent_is_not_asked_for_again() {
        let mut timer = waiting();
        assert!(timer.take_due(at(2000)));
        timer.stop();
        assert_eq!(timer.deadline(), None);
        timer.sent(Sent::New(START + 4096), START + 4096, at(3000));
        assert!(timer.deadline().is_some());
    }
}
