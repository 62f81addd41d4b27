//! Types that can be the value of a boot argument.

use alloc::string::String;
use core::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6},
    num::NonZeroU16,
    time::Duration,
};

/// A type that can be read from the text after `key=`. Apps may implement it for their own types.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be read from a boot argument",
    label = "not a boot argument's type",
    note = "use a number, String, an address, Duration, bool, Option or Vec of these, or implement mayfly::config::Value"
)]
pub trait Value: Sized {
    /// What the text must look like, for the help and for errors: "an IPv4 address".
    const EXPECTS: &'static str;

    /// Reads the text; `None` if it is not what `EXPECTS` says.
    fn parse(text: &str) -> Option<Self>;
}

/// Implements [`Value`] for types whose `FromStr` reads what we want.
macro_rules! from_str {
    ($($type:ty: $expects:expr;)*) => {$(
        impl Value for $type {
            const EXPECTS: &'static str = $expects;

            fn parse(text: &str) -> Option<Self> {
                text.parse().ok()
            }
        }
    )*};
}

from_str! {
    u8: "a whole number from 0 to 255";
    u16: "a whole number from 0 to 65535";
    NonZeroU16: "a whole number from 1 to 65535";
    u32: "a whole number from 0 to 4294967295";
    u64: "a whole number";
    usize: "a whole number";
    i8: "a whole number from -128 to 127";
    i16: "a whole number from -32768 to 32767";
    i32: "a whole number from -2147483648 to 2147483647";
    i64: "a whole number, which may be negative";
    isize: "a whole number, which may be negative";
    char: "one character";
    Ipv4Addr: "an IPv4 address such as 10.0.0.1";
    Ipv6Addr: "an IPv6 address such as fd00::1";
    IpAddr: "an IP address such as 10.0.0.1 or fd00::1";
    SocketAddrV4: "an IPv4 address and port such as 10.0.0.1:80";
    SocketAddrV6: "an IPv6 address and port such as [fd00::1]:80";
    SocketAddr: "an address and port such as 10.0.0.1:80 or [fd00::1]:80";
}

impl Value for String {
    const EXPECTS: &'static str = "text";

    fn parse(text: &str) -> Option<Self> {
        Some(text.into())
    }
}

impl Value for bool {
    const EXPECTS: &'static str = "yes or no";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "yes" | "on" | "true" | "1" => Some(true),
            "no" | "off" | "false" | "0" => Some(false),
            _ => None,
        }
    }
}

impl Value for Duration {
    const EXPECTS: &'static str = "a time with its unit (us, ms, s, m, h), such as 500ms or 2s";

    fn parse(text: &str) -> Option<Self> {
        let digits = text.find(|c: char| !c.is_ascii_digit())?;
        let (number, unit) = text.split_at_checked(digits)?;
        let microseconds: u64 = match unit {
            "us" => 1,
            "ms" => 1_000,
            "s" => 1_000_000,
            "m" => 60_000_000,
            "h" => 3_600_000_000,
            _ => return None,
        };
        Some(Self::from_micros(number.parse::<u64>().ok()?.checked_mul(microseconds)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_need_a_unit() {
        assert_eq!(Duration::parse("1500ms"), Some(Duration::from_millis(1500)));
        assert_eq!(Duration::parse("2h"), Some(Duration::from_secs(7200)));
        for bad in ["", "5", "s", "-1s", "1.5s", "1d", "99999999999999999999s", "9999999999999h"] {
            assert_eq!(Duration::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn ports_to_listen_on_are_not_0() {
        assert_eq!(NonZeroU16::parse("80"), NonZeroU16::new(80));
        for bad in ["", "0", "-1", "65536"] {
            assert_eq!(NonZeroU16::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn switches_have_several_spellings() {
        assert_eq!(["yes", "on", "true", "1"].map(bool::parse), [Some(true); 4]);
        assert_eq!(["no", "off", "false", "0"].map(bool::parse), [Some(false); 4]);
        assert_eq!(bool::parse("maybe"), None);
    }

    #[test]
    fn numbers_are_checked_for_range() {
        assert_eq!((u8::parse("255"), u8::parse("256"), u8::parse("")), (Some(255), None, None));
        assert_eq!(i8::parse("-128"), Some(-128));
    }
}
