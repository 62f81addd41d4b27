//! The states of either side.

/// `enum xenbus_state` (xen/include/public/io/xenbus.h).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum State {
    /// There is no state, or none that is known.
    Unknown = 0,
    /// It begins.
    Initialising = 1,
    /// A back end: it has written what it can do.
    InitWait = 2,
    /// It has written what the other side needs.
    Initialised = 3,
    /// It works.
    Connected = 4,
    /// It is about to stop.
    Closing = 5,
    /// It has stopped.
    Closed = 6,
    /// It changes while it works; as good as `Connected` here.
    Reconfiguring = 7,
    /// It has changed while it works.
    Reconfigured = 8,
}

impl State {
    const ALL: [Self; 9] = [
        Self::Unknown,
        Self::Initialising,
        Self::InitWait,
        Self::Initialised,
        Self::Connected,
        Self::Closing,
        Self::Closed,
        Self::Reconfiguring,
        Self::Reconfigured,
    ];

    /// The state of this number, `Unknown` if there is none.
    pub(super) fn parse(text: &str) -> Self {
        let number = text.trim().parse().unwrap_or(0);
        Self::ALL.get(number).copied().unwrap_or(Self::Unknown)
    }

    /// How it is written.
    pub(super) fn text(self) -> &'static str {
        const DIGITS: [&str; 9] = ["0", "1", "2", "3", "4", "5", "6", "7", "8"];
        DIGITS.get(self as usize).copied().unwrap_or("0")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_numbers() {
        for state in State::ALL {
            assert_eq!(State::parse(state.text()), state);
        }
        for text in ["", "9", "-1", "four", "4294967297"] {
            assert_eq!(State::parse(text), State::Unknown);
        }
        assert_eq!(State::parse("4\n"), State::Connected);
    }
}
