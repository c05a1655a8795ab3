//! The command line: `--name value`, all of them.

use std::{collections::BTreeMap, net::SocketAddr, str::FromStr};

use super::Failure;

pub struct Options(BTreeMap<String, String>);

impl Options {
    pub fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Failure> {
        let mut options = BTreeMap::new();
        while let Some(name) = arguments.next() {
            let name = name.strip_prefix("--").ok_or_else(|| format!("{name} is no option"))?.to_owned();
            let value = arguments.next().ok_or_else(|| format!("--{name} has no value"))?;
            options.insert(name, value);
        }
        Ok(Self(options))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    pub fn get<T: FromStr>(&self, name: &str, default: T) -> Result<T, Failure> {
        match self.text(name) {
            None => Ok(default),
            Some(text) => text.parse().map_err(|_| format!("--{name} {text}: cannot be read").into()),
        }
    }

    pub fn address(&self) -> Result<SocketAddr, Failure> {
        self.get("address", SocketAddr::from(([127, 0, 0, 1], 3001)))
    }
}
