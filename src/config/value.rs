//! Settings as text: how each type of value is read and written, and what must hold for it.
//!
//! What is wrong is said as a fragment that follows the setting's name: "`25x` is not a time such as 25s".

use std::{fmt::Display, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use url::Url;

use crate::{
    protocol::{SessionToken, codec::Validate},
    provider::BaseUrlPattern,
    telemetry::{self, LogFormat},
};

/// A value that a setting can have.
pub(super) trait Value: Sized {
    /// Whether it may stand on the command line without a value.
    const FLAG: bool = false;
    /// Whether it may be given more than once.
    const LIST: bool = false;

    fn read(text: &str) -> Result<Self, String>;

    /// The text from which `read` makes it again; none for what is not there.
    fn show(&self) -> Option<String>;
}

fn not_a<T>(text: &str, what: &str) -> Result<T, String> {
    Err(format!("`{text}` is not {what}"))
}

fn parsed<T: FromStr>(text: &str, what: &str) -> Result<T, String> {
    text.trim().parse().or_else(|_| not_a(text, what))
}

impl Value for SocketAddr {
    fn read(text: &str) -> Result<Self, String> {
        parsed(text, "an address with a port such as 127.0.0.1:3001 or [::1]:3001")
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for PathBuf {
    fn read(text: &str) -> Result<Self, String> {
        if text.is_empty() { not_a(text, "a path") } else { Ok(text.into()) }
    }

    fn show(&self) -> Option<String> {
        Some(self.display().to_string())
    }
}

impl Value for Option<PathBuf> {
    fn read(text: &str) -> Result<Self, String> {
        PathBuf::read(text).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(Value::show)
    }
}

impl Value for bool {
    const FLAG: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        parsed(text, "true or false")
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for usize {
    fn read(text: &str) -> Result<Self, String> {
        parsed(text, "a whole number")
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for u64 {
    fn read(text: &str) -> Result<Self, String> {
        parsed(text, "a whole number")
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Value for Option<u64> {
    fn read(text: &str) -> Result<Self, String> {
        if text == "all" { Ok(None) } else { u64::read(text).map(Some) }
    }

    fn show(&self) -> Option<String> {
        self.map_or_else(|| Some("all".to_owned()), |number| number.show())
    }
}

impl Value for f64 {
    fn read(text: &str) -> Result<Self, String> {
        parsed(text, "a number")
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Milliseconds of each unit, the longest first.
const UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
/// No time that can be set is longer: clocks may add it to now.
const LONGEST: Duration = Duration::from_secs(3_650 * 86_400);

impl Value for Duration {
    fn read(text: &str) -> Result<Self, String> {
        let trimmed = text.trim();
        let digits = trimmed.bytes().take_while(u8::is_ascii_digit).count();
        let (number, unit) = trimmed.split_at(digits);
        let unit = UNITS.iter().find(|(name, _)| *name == unit.trim_start());
        let time = unit.and_then(|(_, ms)| number.parse::<u64>().ok()?.checked_mul(*ms)).map(Self::from_millis);
        match time {
            None => not_a(text, "a time such as 500ms, 25s, 5m, 24h or 30d"),
            Some(time) if time.is_zero() || time > LONGEST => not_a(text, "a time between 1ms and 3650d"),
            Some(time) => Ok(time),
        }
    }

    fn show(&self) -> Option<String> {
        let ms = self.as_millis() as u64;
        let (unit, of_unit) = UNITS.into_iter().find(|(_, of_unit)| ms.is_multiple_of(*of_unit)).unwrap_or(("ms", 1));
        Some(format!("{}{unit}", ms / of_unit))
    }
}

impl Value for Option<Duration> {
    fn read(text: &str) -> Result<Self, String> {
        if text == "never" { Ok(None) } else { Duration::read(text).map(Some) }
    }

    fn show(&self) -> Option<String> {
        self.map_or_else(|| Some("never".to_owned()), |time| time.show())
    }
}

/// A list, with commas between.
impl Value for Vec<String> {
    const LIST: bool = true;

    fn read(text: &str) -> Result<Self, String> {
        Ok(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    fn show(&self) -> Option<String> {
        (!self.is_empty()).then(|| self.join(","))
    }
}

impl Value for String {
    fn read(text: &str) -> Result<Self, String> {
        Ok(text.to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(self.clone())
    }
}

impl Value for LogFormat {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => not_a(text, "text or json"),
        }
    }

    fn show(&self) -> Option<String> {
        Some(if *self == Self::Text { "text" } else { "json" }.to_owned())
    }
}

impl Value for Validate {
    fn read(text: &str) -> Result<Self, String> {
        match text {
            "typed" => Ok(Self::Typed),
            "both" => Ok(Self::Both),
            _ => not_a(text, "typed or both"),
        }
    }

    fn show(&self) -> Option<String> {
        Some(if *self == Self::Typed { "typed" } else { "both" }.to_owned())
    }
}

impl Value for Option<SessionToken> {
    fn read(text: &str) -> Result<Self, String> {
        // Not shown, not even in an error: it may be a good token with one character too many.
        let wrong = |_| "is not a session token: 43 characters of A-Z a-z 0-9 - _".to_owned();
        SessionToken::new(text.trim()).map(Some).map_err(wrong)
    }

    /// Never: it is a secret.
    fn show(&self) -> Option<String> {
        None
    }
}

/// A number from `least` to `most`.
pub(super) fn between<T: PartialOrd + Display>(least: T, most: T) -> impl Fn(&T) -> Result<(), String> {
    move |value| {
        let inside = *value >= least && *value <= most;
        inside.then_some(()).ok_or_else(|| format!("`{value}` is not between {least} and {most}"))
    }
}

/// Holds what is there to `check`.
pub(super) fn some<T>(check: impl Fn(&T) -> Result<(), String>) -> impl Fn(&Option<T>) -> Result<(), String> {
    move |value| value.as_ref().map_or(Ok(()), &check)
}

/// Web origins as browsers write them: scheme, host, port if it is not the usual one, and nothing else.
#[expect(clippy::ptr_arg, reason = "checks take the setting's own type")]
pub(super) fn origins(origins: &Vec<String>) -> Result<(), String> {
    let is_origin = |text: &str| {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
        url.is_some_and(|url| {
            !text.contains('*') && url.origin().ascii_serialization() == text.trim_end_matches('/').to_ascii_lowercase()
        })
    };
    match origins.iter().find(|text| *text != "*" && !is_origin(text)) {
        Some(text) => not_a(text, "an origin such as https://app.example.com"),
        None => Ok(()),
    }
}

/// Names or addresses, with or without a port.
#[expect(clippy::ptr_arg, reason = "checks take the setting's own type")]
pub(super) fn hosts(hosts: &Vec<String>) -> Result<(), String> {
    let is_host = |text: &str| {
        let url = Url::parse(&format!("http://{text}/")).ok();
        url.is_some_and(|url| url.path() == "/" && url.username().is_empty() && !text.ends_with('/'))
    };
    match hosts.iter().find(|text| *text != "*" && !is_host(text)) {
        Some(text) => not_a(text, "a host such as chat.example.com or chat.example.com:8443"),
        None => Ok(()),
    }
}

#[expect(clippy::ptr_arg, reason = "checks take the setting's own type")]
pub(super) fn base_urls(patterns: &Vec<String>) -> Result<(), String> {
    match patterns.iter().find(|text| text.parse::<BaseUrlPattern>().is_err()) {
        Some(text) => not_a(text, "of the form [scheme://]host[:port], *.example.com or 10.0.0.0/8"),
        None => Ok(()),
    }
}

/// Servers of NATS.
#[expect(clippy::ptr_arg, reason = "checks take the setting's own type")]
pub(super) fn nats(servers: &Vec<String>) -> Result<(), String> {
    let is_server = |text: &String| {
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "nats" | "tls"));
        url.is_some_and(|url| url.has_host())
    };
    // Not shown: it may hold a password.
    let wrong = || "a server of NATS is written as nats://host:4222 or tls://host".to_owned();
    servers.iter().all(is_server).then_some(()).ok_or_else(wrong)
}

pub(super) fn lease(time: &Duration) -> Result<(), String> {
    let inside = (1..=300).contains(&time.as_secs());
    inside.then_some(()).ok_or_else(|| "a lease is between 1s and 5m".to_owned())
}

#[expect(clippy::ptr_arg, reason = "checks take the setting's own type")]
pub(super) fn filter(text: &String) -> Result<(), String> {
    // A word that is no level would be taken for a part of the program, and silence all others.
    let levels = ["off", "error", "warn", "info", "debug", "trace"];
    let known = |part: &str| {
        let word = part.trim().to_ascii_lowercase();
        !word.chars().all(char::is_alphabetic) || word.is_empty() || levels.contains(&word.as_str())
    };
    match telemetry::is_filter(text) && text.split(',').all(known) {
        true => Ok(()),
        false => not_a(text, "a level such as info, nor a filter such as info,agent_world::ws=debug"),
    }
}
