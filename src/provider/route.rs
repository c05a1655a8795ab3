//! Decides who answers a call, and lets them.

use super::{
    Account, BaseUrlPolicy, BaseUrlRefused, Call, Provider, ProviderError, ProviderKind, ProviderSettings, Step, Steps,
    clients::Clients,
    deadline::guarded,
    ollama::Ollama,
    policy::parse_base_url,
    remote::{self, Target},
    script::ScriptBook,
    step::server,
};
use futures_util::StreamExt;
use std::{collections::BTreeMap, sync::Arc};
use url::Url;

/// All providers behind one door. Cheap to clone; built once.
#[derive(Clone)]
pub struct Providers(Arc<Inner>);

struct Inner {
    settings: ProviderSettings,
    script: ScriptBook,
    clients: Clients,
    ollama: Ollama,
}

enum Route {
    Remote(Target),
    Script,
}

impl Providers {
    pub fn new(mut settings: ProviderSettings) -> Self {
        let script = settings.script.take().unwrap_or_else(ScriptBook::demo);
        let clients = Clients::new(settings.deadlines);
        Self(Arc::new(Inner { settings, script, clients, ollama: Ollama::default() }))
    }

    /// Where clients may point an agent: see [`BaseUrlPolicy::check`].
    pub fn base_urls(&self) -> &BaseUrlPolicy {
        &self.0.settings.base_urls
    }
}

impl Provider for Providers {
    fn call(&self, call: Call) -> Steps {
        let inner = Arc::clone(&self.0);
        let deadlines = inner.settings.deadlines;
        let steps = async_stream::try_stream! {
            let mut steps = match inner.route(&call).await? {
                Route::Remote(target) => {
                    let server = Some(server(&target.base));
                    yield Step::Resolved { provider: target.kind, model: target.model.clone(), server };
                    remote::reply(target, call)
                }
                Route::Script => {
                    yield Step::Resolved { provider: ProviderKind::Script, model: inner.script.name().to_owned(), server: None };
                    inner.script.play(&call)
                }
            };
            while let Some(step) = steps.next().await {
                yield step?;
            }
        };
        guarded(steps, deadlines)
    }
}

impl Inner {
    async fn route(&self, call: &Call) -> Result<Route, ProviderError> {
        if self.settings.script_all {
            return Ok(Route::Script);
        }
        let config = &call.config;
        let kind = match config.provider {
            ProviderKind::Auto if config.base_url.is_some() => ProviderKind::OpenAiCompatible,
            ProviderKind::Auto if config.api_key.is_some() => {
                return Err(ProviderError::lasting(
                    "provider auto cannot tell whose the apiKey is: name the provider",
                    "apiKey with provider auto",
                ));
            }
            ProviderKind::Auto => self.choose().await,
            kind => kind,
        };
        if kind == ProviderKind::Script {
            return Ok(Route::Script);
        }
        let own = self.account(kind);
        let (base, client) = match config.base_url.as_deref() {
            Some(base_url) => {
                let url = parse_base_url(kind, base_url).map_err(refused)?;
                let addresses = self.settings.base_urls.resolve(&url).await.map_err(|why| refused(why).at(&url))?;
                let client = self.clients.pinned(&url, addresses)?;
                (url, client)
            }
            None => {
                // The operator's address is for the operator's key: an agent's own goes to its provider.
                let url = own_base(kind, own.filter(|_| config.api_key.is_none()))?;
                let client = self.clients.own(&url)?;
                (url, client)
            }
        };
        let key = match (&config.api_key, &config.base_url, own) {
            (Some(key), ..) => Some(key.clone()),
            (None, None, Some(account)) => account.key.clone(),
            // The operator's key goes to the operator's address only.
            (None, Some(_), _) | (None, None, None) => None,
        };
        let public_service = kind.defaults().base_url.is_some() && kind != ProviderKind::Ollama;
        if key.is_none() && config.base_url.is_none() && public_service {
            return Err(no_key(kind));
        }
        let named = config.model.clone().or_else(|| own.and_then(|account| account.model.clone()));
        let model = match (named, kind.defaults().model) {
            (Some(model), _) => model,
            (None, Some(model)) => model.to_owned(),
            (None, None) => {
                // `auto` has just asked; whoever names Ollama wants to know how it is now.
                let model = match config.provider {
                    ProviderKind::Auto => self.ollama.recent_first_model(&client, &base).await,
                    _ => {
                        // However slow to answer: whether it is there is known once it is connected.
                        let patience = self.settings.deadlines.connect;
                        self.ollama.first_model(&client, &base, key.as_ref(), patience).await
                    }
                };
                model.ok_or_else(|| no_model().at(&base))?
            }
        };
        if kind == ProviderKind::Google && !fits_a_path(&model) {
            return Err(ProviderError::lasting("google has no model of this name", "model name does not fit a path"));
        }
        Ok(Route::Remote(Target { kind, model, base, key, client }))
    }

    /// What `auto` means now: whoever the operator has a key for, else a local Ollama, else the
    /// script. Never `Auto`.
    async fn choose(&self) -> ProviderKind {
        let keyed = [ProviderKind::OpenAi, ProviderKind::Anthropic, ProviderKind::Google, ProviderKind::Xai];
        if let Some(kind) = keyed.into_iter().find(|kind| self.account(*kind).is_some_and(|own| own.key.is_some())) {
            return kind;
        }
        let Ok(base) = own_base(ProviderKind::Ollama, self.account(ProviderKind::Ollama)) else {
            return ProviderKind::Script;
        };
        let Ok(client) = self.clients.own(&base) else {
            return ProviderKind::Script;
        };
        match self.ollama.recent_first_model(&client, &base).await {
            Some(_) => ProviderKind::Ollama,
            None => ProviderKind::Script,
        }
    }

    fn account(&self, kind: ProviderKind) -> Option<&Account> {
        let accounts: &BTreeMap<_, _> = &self.settings.accounts;
        accounts.get(&kind)
    }
}

/// Google's models are named in the path of the request, where another name could lead to another
/// operation, with the operator's key.
fn fits_a_path(model: &str) -> bool {
    model.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte)) && !model.contains("..")
}

fn own_base(kind: ProviderKind, own: Option<&Account>) -> Result<Url, ProviderError> {
    if let Some(url) = own.and_then(|account| account.base_url.clone()) {
        return Ok(url);
    }
    let Some(base_url) = kind.defaults().base_url else {
        let message = format!("provider {kind} needs a baseUrl");
        return Err(ProviderError::lasting(message, "no base URL"));
    };
    parse_base_url(kind, base_url).map_err(refused)
}

fn refused(refused: BaseUrlRefused) -> ProviderError {
    // A name that is not known now may be soon; everything else needs a person.
    let retryable = refused == BaseUrlRefused::Unresolved;
    ProviderError { retryable, ..ProviderError::lasting(refused.to_string(), format!("base URL: {refused}")) }
}

fn no_key(kind: ProviderKind) -> ProviderError {
    let variable = kind.defaults().key_vars.first().copied().unwrap_or_default();
    let message = format!("no API key for {kind}: set the agent's apiKey, or {variable} where the server runs");
    ProviderError::lasting(message, "no API key")
}

fn no_model() -> ProviderError {
    ProviderError::passing(
        "Ollama did not name a model: is it running, and has it pulled one? (ollama pull llama3.2)",
        "no answer, or no model, from /api/tags",
    )
}
