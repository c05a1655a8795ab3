//! Where replies come from: a stream of text for a prompt, whatever answers it.
//!
//! [`Providers`] is the one implementation that the rest of the server sees. It reads an agent's
//! [`ModelConfig`], decides who answers (`route`), and streams from a remote model (`remote`, in the
//! words of its `wire`) or from a script (`script`); `deadline` holds what every caller may rely on.
//! This layer knows no world, log or socket.
//!
//! Rules: docs/PROTOCOL.md §6, rows *provider* and *keys*.

mod call;
mod clients;
mod deadline;
mod failure;
mod kind;
mod ollama;
mod policy;
mod remote;
mod route;
mod script;
mod settings;
mod step;
mod wire;

#[cfg(test)]
mod answer_tests;
#[cfg(test)]
mod fake_upstream;
#[cfg(test)]
mod remote_tests;
#[cfg(test)]
mod route_tests;
#[cfg(test)]
mod script_tests;

pub use crate::secret::Secret;
pub use call::{Call, ModelConfig, Prompt, PromptItem, Role};
#[cfg(test)]
pub use kind::table;
pub use kind::{ProviderKind, UnknownProvider};
pub use policy::{BaseUrlPattern, BaseUrlPolicy, BaseUrlRefused, InvalidPattern};
pub use route::Providers;
pub use script::{DEMO, InvalidScript, ScriptBook};
pub use settings::{Account, Deadlines, InvalidAccount, ProviderSettings};
pub use step::{Finish, ProviderError, Step, Usage, server};

use futures_util::stream::BoxStream;

/// A reply as it comes: one [`Step::Resolved`], any number of [`Step::Text`], and then exactly one
/// terminal item, which is [`Step::End`] or an error. Nothing follows it.
///
/// A call that fails before anybody was chosen to answer has no `Resolved`.
pub type Steps = BoxStream<'static, Result<Step, ProviderError>>;

/// Something that answers prompts.
pub trait Provider: Send + Sync {
    /// Starts one call. Nothing happens until the stream is polled; dropping it aborts the call
    /// and closes the connection to the model.
    fn call(&self, call: Call) -> Steps;
}
