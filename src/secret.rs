//! A key that does not print itself.

use std::fmt;

/// An API key. It has no `Display`, its `Debug` is redacted, and it is not serialisable, so that it leaves only
/// where [`Secret::expose`] is written (docs/PROTOCOL.md §6, *keys*).
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The key itself: for the request to its own provider, and for storage.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::Secret;

    #[test]
    fn debug_hides_it_in_any_nesting() {
        let nested = vec![Some(("a1", Secret::new("sk-live")))];
        let printed = format!("{nested:?} {nested:#?}");
        assert!(!printed.contains("sk-live"), "{printed}");
        assert_eq!(nested[0].as_ref().map(|(_, s)| s.expose()), Some("sk-live"));
    }
}
