//! [`Fault`]: what is wrong with a schema, where, and what to write instead.

use std::fmt;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, relative to `schema/`.
    pub file: String,
    /// A JSON Pointer into the file.
    pub pointer: String,
    pub rule: String,
    /// What to write instead; may be empty.
    pub instead: String,
}

impl Fault {
    pub fn new(
        file: impl Into<String>,
        pointer: impl Into<String>,
        rule: impl Into<String>,
        instead: impl Into<String>,
    ) -> Self {
        Self { file: file.into(), pointer: pointer.into(), rule: rule.into(), instead: instead.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "schema/{}#{}: {}", self.file, self.pointer, self.rule)?;
        if !self.instead.is_empty() {
            write!(f, "; write {}", self.instead)?;
        }
        Ok(())
    }
}

/// Everything that is wrong, one line each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Faults {
    pub fn or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl From<Fault> for Faults {
    fn from(fault: Fault) -> Self {
        Self(vec![fault])
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for fault in &self.0 {
            writeln!(f, "{fault}")?;
        }
        Ok(())
    }
}
