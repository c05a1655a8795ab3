//! What the operator decides about providers, once, at the start.

use super::{BaseUrlPolicy, ProviderKind, ScriptBook, Secret, policy};
use std::{collections::BTreeMap, time::Duration};
use url::Url;

/// Everything that [`Providers`](super::Providers) is built from.
#[derive(Debug, Clone, Default)]
pub struct ProviderSettings {
    /// The operator's own accounts.
    pub accounts: BTreeMap<ProviderKind, Account>,
    /// Where clients may point an agent.
    pub base_urls: BaseUrlPolicy,
    /// What the `script` provider plays; the embedded demo if absent.
    pub script: Option<ScriptBook>,
    /// It speaks for every agent, whatever its provider.
    pub script_all: bool,
    pub deadlines: Deadlines,
}

/// The operator's account with one provider. The key goes to this `base_url`, or to the provider's
/// own address if there is none, and nowhere else.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Account {
    pub key: Option<Secret>,
    pub base_url: Option<Url>,
    /// Replaces the default model.
    pub model: Option<String>,
}

/// How long a model may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// For the connection.
    pub connect: Duration,
    /// From the call to the first sign of life.
    pub first: Duration,
    /// Between two signs of life.
    pub between: Duration,
    /// For the whole call.
    pub total: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            first: Duration::from_secs(60),
            between: Duration::from_secs(60),
            total: Duration::from_secs(600),
        }
    }
}

/// An environment variable whose value is no address; its value is not repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{variable} is not an http or https address")]
pub struct InvalidAccount {
    pub variable: &'static str,
}

impl ProviderSettings {
    /// Reads the accounts from the environment: `OPENAI_API_KEY`, `OPENAI_BASE_URL`,
    /// `AGENT_WORLD_OPENAI_MODEL`, and so on for each provider; `lookup` is `std::env::var(_).ok()`.
    /// Empty values count as not set.
    ///
    /// # Errors
    /// A base URL that is not one.
    pub fn accounts_from(
        lookup: impl Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<ProviderKind, Account>, InvalidAccount> {
        let read =
            |variable: &str| lookup(variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let mut accounts = BTreeMap::new();
        for kind in ProviderKind::ALL {
            let defaults = kind.defaults();
            let mut account = Account {
                key: defaults.key_vars.iter().find_map(|variable| read(variable)).map(Secret::new),
                base_url: None,
                model: defaults.model_var.and_then(read),
            };
            if let Some(variable) = defaults.base_url_var
                && let Some(value) = read(variable)
            {
                let value = if kind == ProviderKind::Ollama { ollama_address(&value) } else { value };
                account.base_url = Some(policy::parse_base_url(kind, &value).map_err(|_| InvalidAccount { variable })?);
            }
            if account != Account::default() {
                accounts.insert(kind, account);
            }
        }
        Ok(accounts)
    }
}

/// `OLLAMA_HOST` is written for Ollama's server too: without a scheme, as `:port` alone, or as an
/// address to listen on, which for a client means this machine.
fn ollama_address(value: &str) -> String {
    let (scheme, rest) = value.split_once("://").unwrap_or(("http", value));
    let rest = rest.trim_end_matches('/');
    let (host, port) = match rest.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => (host, Some(port)),
        _ => (rest, None),
    };
    let host = if matches!(host, "" | "0.0.0.0" | "[::]") { "127.0.0.1" } else { host };
    match port {
        Some(port) => format!("{scheme}://{host}:{port}/"),
        None if value.contains("://") => format!("{scheme}://{host}/"),
        None => format!("{scheme}://{host}:11434/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ollama_host_is_read_as_its_own_client_reads_it() {
        for (value, address) in [
            ("127.0.0.1", "http://127.0.0.1:11434/"),
            ("0.0.0.0", "http://127.0.0.1:11434/"),
            ("0.0.0.0:8080", "http://127.0.0.1:8080/"),
            (":8080", "http://127.0.0.1:8080/"),
            ("gpu.lan", "http://gpu.lan:11434/"),
            ("[::]:9", "http://127.0.0.1:9/"),
            ("http://gpu.lan:11434/", "http://gpu.lan:11434/"),
            ("https://gpu.lan", "https://gpu.lan/"),
        ] {
            assert_eq!(ollama_address(value), address, "{value}");
        }
    }

    #[test]
    fn accounts_come_from_the_environment() {
        let environment = |name: &str| match name {
            "GOOGLE_API_KEY" => Some("g".to_owned()),
            "OPENAI_API_KEY" => Some("  ".to_owned()),
            "OPENAI_COMPATIBLE_BASE_URL" => Some("http://127.0.0.1:8080".to_owned()),
            "AGENT_WORLD_ANTHROPIC_MODEL" => Some("claude-test".to_owned()),
            _ => None,
        };
        let accounts = ProviderSettings::accounts_from(environment).unwrap();
        assert_eq!(
            accounts.keys().copied().collect::<Vec<_>>(),
            [ProviderKind::Anthropic, ProviderKind::Google, ProviderKind::OpenAiCompatible]
        );
        assert_eq!(accounts[&ProviderKind::Google].key, Some(Secret::new("g")));
        let compatible = accounts[&ProviderKind::OpenAiCompatible].base_url.as_ref().map(Url::as_str);
        assert_eq!(compatible, Some("http://127.0.0.1:8080/v1/"));

        let refused = ProviderSettings::accounts_from(|name| (name == "XAI_BASE_URL").then(|| "ftp://x".to_owned()));
        assert_eq!(refused, Err(InvalidAccount { variable: "XAI_BASE_URL" }));
    }
}
