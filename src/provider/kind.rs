//! The providers that can be named, and the one table of their defaults.

use std::{fmt, str::FromStr};

/// A provider, as `config.provider` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProviderKind {
    /// Decided anew for each call: the operator's first key, else Ollama, else the script.
    Auto,
    OpenAi,
    Anthropic,
    Google,
    Xai,
    Ollama,
    /// Any server that speaks `OpenAI`'s chat completions, Azure's v1 included.
    OpenAiCompatible,
    /// Plays a script file.
    Script,
}

/// What is assumed about a provider when nobody says otherwise.
pub(super) struct Defaults {
    /// The name on the wire.
    pub name: &'static str,
    /// Environment variables that may hold the operator's key, the first that is set counts.
    pub key_vars: &'static [&'static str],
    /// Environment variable with the operator's own address; the key goes there and nowhere else.
    pub base_url_var: Option<&'static str>,
    pub base_url: Option<&'static str>,
    /// The path that an address without one means.
    pub base_path: &'static str,
    /// Environment variable that replaces `model`.
    pub model_var: Option<&'static str>,
    /// A small, current model.
    pub model: Option<&'static str>,
}

impl ProviderKind {
    /// Every provider, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Auto,
        Self::OpenAi,
        Self::Anthropic,
        Self::Google,
        Self::Xai,
        Self::Ollama,
        Self::OpenAiCompatible,
        Self::Script,
    ];

    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        self.defaults().name
    }

    pub(super) fn defaults(self) -> &'static Defaults {
        match self {
            Self::Auto => &AUTO,
            Self::OpenAi => &OPENAI,
            Self::Anthropic => &ANTHROPIC,
            Self::Google => &GOOGLE,
            Self::Xai => &XAI,
            Self::Ollama => &OLLAMA,
            Self::OpenAiCompatible => &OPENAI_COMPATIBLE,
            Self::Script => &SCRIPT,
        }
    }
}

impl fmt::Display for ProviderKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name that is no provider's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown provider")]
pub struct UnknownProvider;

impl FromStr for ProviderKind {
    type Err = UnknownProvider;

    fn from_str(name: &str) -> Result<Self, UnknownProvider> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name).ok_or(UnknownProvider)
    }
}

const OPENAI: Defaults = Defaults {
    name: "openai",
    key_vars: &["OPENAI_API_KEY"],
    base_url_var: Some("OPENAI_BASE_URL"),
    base_url: Some("https://api.openai.com/v1/"),
    base_path: "/v1/",
    model_var: Some("AGENT_WORLD_OPENAI_MODEL"),
    // Not a reasoning model: those refuse a temperature, which agents may set.
    model: Some("gpt-4.1-mini"),
};

const ANTHROPIC: Defaults = Defaults {
    name: "anthropic",
    key_vars: &["ANTHROPIC_API_KEY"],
    base_url_var: Some("ANTHROPIC_BASE_URL"),
    base_url: Some("https://api.anthropic.com/v1/"),
    base_path: "/v1/",
    model_var: Some("AGENT_WORLD_ANTHROPIC_MODEL"),
    model: Some("claude-haiku-4-5"),
};

const GOOGLE: Defaults = Defaults {
    name: "google",
    key_vars: &["GEMINI_API_KEY", "GOOGLE_API_KEY"],
    base_url_var: Some("GEMINI_BASE_URL"),
    base_url: Some("https://generativelanguage.googleapis.com/v1beta/"),
    base_path: "/v1beta/",
    model_var: Some("AGENT_WORLD_GOOGLE_MODEL"),
    model: Some("gemini-2.5-flash"),
};

const XAI: Defaults = Defaults {
    name: "xai",
    key_vars: &["XAI_API_KEY"],
    base_url_var: Some("XAI_BASE_URL"),
    base_url: Some("https://api.x.ai/v1/"),
    base_path: "/v1/",
    model_var: Some("AGENT_WORLD_XAI_MODEL"),
    model: Some("grok-3-mini"),
};

const OLLAMA: Defaults = Defaults {
    name: "ollama",
    key_vars: &[],
    base_url_var: Some("OLLAMA_HOST"),
    base_url: Some("http://127.0.0.1:11434/"),
    base_path: "/",
    model_var: Some("AGENT_WORLD_OLLAMA_MODEL"),
    // The first one that it has.
    model: None,
};

const OPENAI_COMPATIBLE: Defaults = Defaults {
    name: "openai-compatible",
    key_vars: &["OPENAI_COMPATIBLE_API_KEY"],
    base_url_var: Some("OPENAI_COMPATIBLE_BASE_URL"),
    base_url: None,
    base_path: "/v1/",
    model_var: Some("AGENT_WORLD_OPENAI_COMPATIBLE_MODEL"),
    // Servers with one model ignore the name, and most have one.
    model: Some("default"),
};

const AUTO: Defaults = local("auto");
const SCRIPT: Defaults = local("script");

/// A provider without an address of its own.
const fn local(name: &'static str) -> Defaults {
    Defaults { name, key_vars: &[], base_url_var: None, base_url: None, base_path: "/", model_var: None, model: None }
}

/// The table of docs/CONFIGURATION.md.
#[cfg(test)]
pub fn table() -> String {
    let code = |texts: &[&str], or: &str| match texts {
        [] => or.to_owned(),
        texts => texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(" or "),
    };
    let mut table =
        "| provider | key | address | its default | model | its default |\n|---|---|---|---|---|---|\n".to_owned();
    for kind in ProviderKind::ALL {
        let Defaults { name, key_vars, base_url_var: Some(base_url_var), base_url, model_var, model, .. } =
            kind.defaults()
        else {
            continue;
        };
        let cells = [
            code(&[name], ""),
            code(key_vars, "–"),
            code(&[base_url_var], ""),
            code(base_url.as_slice(), "–"),
            code(model_var.as_slice(), "–"),
            code(model.as_slice(), "the first that it has"),
        ];
        table += &format!("| {} |\n", cells.join(" | "));
    }
    table
}
